"""Operations that create, update, merge or remove people."""

import math
from typing import Any

import orjson
from attrs import define, field

from walker_dest_customerio import identify_attributes
from walker_dest_customerio.identify_cache import IdentifyMemory
from walker_dest_customerio.identity import identifiers, key_of, person_keys
from walker_dest_customerio.operations.base import (
    Call,
    Json,
    Operation,
    PersonOperation,
    id_problem,
)

MERGE_TYPES = frozenset({"id", "email", "cio_id"})
FRESH = 60
"""Seconds within which a timestamp counts as current.

Longer than a retried delivery takes, with room for clocks that differ; shorter than the time until
somebody changes the same attributes again.
"""


@define
class Identify(PersonOperation):
    """Create or update a person.

    timestamp: in unix seconds; Customer.io ignores an update older than the last one.
    fingerprint: a hash of the mapped attributes; None if they are not all of the person's.
    encoded: the JSON of the attributes, if they are encoded already.
    """

    part = "identify"
    is_remembered = True

    attributes: Json
    timestamp: int | None = None
    fingerprint: int | None = field(default=None, eq=False, repr=False)
    encoded: bytes | None = field(default=None, eq=False, repr=False)
    _people: tuple[str, ...] | None = field(default=None, init=False, eq=False, repr=False)

    @property
    def call(self) -> Call:
        return ["identify", self.person, self.attributes]

    @property
    def people(self) -> tuple[str, ...]:
        if self._people is None:  # asked twice by each delivery
            self._people = person_keys(self.attributes)
        return self._people

    @property
    def guard(self) -> str:
        """`unrelate` for an identify that removes relationships."""
        related = self.attributes.get("cio_relationships")
        return "" if related is None or _added(related) is not None else "unrelate"

    def problem(self, now: float) -> str | None:
        return id_problem(self.person) or identify_attributes.problem(self.attributes)

    def send(self, client: Any) -> Any:
        """Make the PUT of `client.identify`, which cannot take an attribute named `id`."""
        body = self.attributes
        if self.timestamp is not None:
            body = {"_timestamp": self.timestamp, **body}
        return client.send_request("PUT", client.get_customer_query_string(self.person), body)

    def entry(self) -> Json | None:
        """Return the entry, or None for an identify that removes relationships: v2 can only add.

        Version 1 takes timestamp and relationships among the attributes, v2 beside them.
        """
        attributes: Any = self.attributes
        named = identifiers(self.person)
        entry: Json = {"type": "person", "identifiers": named, "action": "identify"}
        if self.timestamp is not None:
            entry["timestamp"] = self.timestamp
        if "_timestamp" in attributes or "cio_relationships" in attributes:
            attributes = dict(attributes)
            if "_timestamp" in attributes:
                entry["timestamp"] = attributes.pop("_timestamp")
            if "cio_relationships" in attributes:
                relationships = _added(attributes.pop("cio_relationships"))
                if relationships is None:
                    return None
                entry["cio_relationships"] = relationships
        elif self.encoded is not None:
            attributes = orjson.Fragment(self.encoded)
        entry["attributes"] = attributes
        return entry

    def note(self, memory: IdentifyMemory, now: float) -> None:
        """Remember the attributes as far as Customer.io has certainly stored them.

        Customer.io answers 200 but ignores an update older than the person's last change, by
        anybody. Only an update with about the current time is certainly newer than that change, so
        it counts without end. An older one may have been ignored: it counts for other updates of
        about its own time, which would be ignored just as well. With `_update` it may have been
        ignored for want of the person.
        """
        if self.fingerprint is None or self.attributes.get("_update") is True:
            memory.discard(self.person)
            return
        stamp = self.attributes.get("_timestamp", self.timestamp)
        until = math.inf if stamp is None or now - stamp <= FRESH else stamp + FRESH
        memory.put(self.person, self.fingerprint, self.people, until)

    def doubt(self, memory: IdentifyMemory) -> None:
        memory.discard(self.person)


def _added(value: Any) -> Any:
    """Return relationships to add, as the list that v2 takes; None if they are to be removed."""
    if not isinstance(value, dict):
        return value
    return value.get("relationships") if value.get("action") == "add_relationships" else None


@define
class ExistenceOperation(PersonOperation):
    """An operation that creates or removes a person; earlier identifies do not count after it."""

    exclusive = True
    is_remembered = True

    def note(self, memory: IdentifyMemory, now: float) -> None:
        self.doubt(memory)

    def doubt(self, memory: IdentifyMemory) -> None:
        memory.discard_people((key_of(self.person),))


@define
class Delete(ExistenceOperation):
    """Remove a person; a later identify creates them again."""

    part = "delete"
    guarded = "destroy"

    @property
    def call(self) -> Call:
        return ["delete", self.person]

    def send(self, client: Any) -> Any:
        return client.delete(self.person)

    def entry(self) -> Json:
        return self.person_entry("delete")


@define
class Suppress(ExistenceOperation):
    """Remove a person and refuse their identifiers until they are unsuppressed."""

    part = "suppress"
    guarded = "suppress"

    @property
    def call(self) -> Call:
        return ["suppress", self.person]

    def send(self, client: Any) -> Any:
        return client.suppress(self.person)

    def entry(self) -> Json:
        return self.person_entry("suppress")


@define
class Unsuppress(ExistenceOperation):
    """Accept a suppressed person's identifiers again; it does not bring the person back."""

    part = "unsuppress"
    guarded = "unsuppress"

    @property
    def call(self) -> Call:
        return ["unsuppress", self.person]

    def send(self, client: Any) -> Any:
        return client.unsuppress(self.person)

    def entry(self) -> Json:
        return self.person_entry("unsuppress")


@define
class Merge(Operation):
    """Move the secondary person into the primary one; types are id, email or cio_id."""

    part = "merge"
    guarded = "merge"
    exclusive = True
    is_remembered = True

    primary_type: str
    primary_id: str
    secondary_type: str
    secondary_id: str

    @property
    def call(self) -> Call:
        primary = [self.primary_type, self.primary_id]
        return ["merge_customers", *primary, self.secondary_type, self.secondary_id]

    @property
    def people(self) -> tuple[str, ...]:
        primary = person_keys({self.primary_type: self.primary_id})
        return (*primary, *person_keys({self.secondary_type: self.secondary_id}))

    def problem(self, now: float) -> str | None:
        for name, value in (
            ("primaryType", self.primary_type),
            ("secondaryType", self.secondary_type),
        ):
            if value not in MERGE_TYPES:
                return f"{name} must be id, email or cio_id; see the rule's merge"
        primary = id_problem(self.primary_id, "primaryId")
        return primary or id_problem(self.secondary_id, "secondaryId")

    def send(self, client: Any) -> Any:
        return client.merge_customers(*self.call[1:])

    def entry(self) -> Json:
        return {
            "type": "person",
            "action": "merge",
            "primary": {self.primary_type: self.primary_id},
            "secondary": {self.secondary_type: self.secondary_id},
        }

    def note(self, memory: IdentifyMemory, now: float) -> None:
        memory.discard_people(self.people)

    def doubt(self, memory: IdentifyMemory) -> None:
        memory.discard_people(self.people)
