"""What can be asked of Customer.io, one class per operation.

Each operation knows its call (as `walker simulate` prints it), its version 1 request through the
official SDK (`send`), and its entry in a Track v2 batch (`entry`). The shapes of entries are those
of https://docs.customer.io/integrations/api/track/, POST /api/v2/batch.

Nothing changes an operation once it is made; the classes are not frozen because several are made
per event, which would take three times as long. So would naming their arguments twice as long:
where that counts, they are given by position.
"""

import math
from typing import Any, ClassVar

from attrs import define, field

from walker_collector import Rejected
from walker_dest_customerio import identify_attributes, limits
from walker_dest_customerio.encode import dumps
from walker_dest_customerio.identify_cache import IdentifyMemory
from walker_dest_customerio.identity import identifiers, person_keys

Json = dict[str, Any]
Call = list[Any]

MERGE_TYPES = frozenset({"id", "email", "cio_id"})
PLATFORMS = ("ios", "android")
_DOTS = (".", "..")
FRESH = 60
"""Seconds within which a stamp is about now: longer than a delivery takes that is tried again, with
room for clocks that differ; shorter than it takes people to change what was just sent.
"""


@define
class Operation:
    """One thing asked of Customer.io.

    part: its name, unique within an event.
    alone: nothing else of the same person may share its request, as the order within one is not
        promised and here decides who exists afterwards.
    refusal: why Customer.io will surely refuse it, so that it is not sent; None where it may be.
    """

    part: ClassVar[str]
    alone: ClassVar[bool] = False

    refusal: str | None = field(default=None, init=False, eq=False, repr=False)

    @property
    def call(self) -> Call:
        """The call in the words of `walker simulate`."""
        raise NotImplementedError

    @property
    def people(self) -> tuple[str, ...]:
        """Keys of the persons concerned, besides the event's own."""
        return ()

    def send(self, client: Any) -> Any:
        """Make the call through an SDK client; raises what the client raises."""
        raise NotImplementedError

    def entry(self) -> Json | None:
        """Return the entry in a v2 batch, or None where it can only be sent by itself."""
        raise NotImplementedError

    def problem(self, now: float) -> str | None:
        """Return why Customer.io will surely refuse it; `now` is in unix seconds."""
        return None

    def size_problem(self) -> str | None:
        """Return why Customer.io will surely refuse so much; takes as long as to write it."""
        return None

    def note(self, memory: IdentifyMemory, now: float) -> None:
        """Tell the memory of people what follows from this having been done at `now` (unix s)."""

    def doubt(self, memory: IdentifyMemory) -> None:
        """Tell the memory of people what is uncertain while this may or may not have been done."""


@define
class PersonOperation(Operation):
    """An operation on one person; `person` is a customer id."""

    person: str

    def problem(self, now: float) -> str | None:
        return _id_problem(self.person)

    def _entry(self, action: str, **rest: Any) -> Json:
        named = identifiers(self.person)
        return {"type": "person", "identifiers": named, "action": action, **rest}


def _id_problem(id_: str, what: str = "the id") -> str | None:
    if id_ in _DOTS:
        return f"{what} is one or two dots, which cannot stand in the path of a request"
    return _length_problem(what, id_, limits.PERSON_ID)


def _length_problem(what: str, text: str, limit: int) -> str | None:
    if limits.is_longer(text, limit):
        size = len(text.encode("utf-8", "replace"))
        return f"{what} has {size:,} bytes; Customer.io takes at most {limit}"
    return None


def _token_problem(token: str) -> str | None:
    return _id_problem(token, "the token") if token in _DOTS else None


@define
class Identify(PersonOperation):
    """Create or update a person; `timestamp` (unix s) keeps a late one from undoing newer ones.

    `fingerprint`: of the attributes as they were made; None where they are not all there is to say.
    """

    part = "identify"

    attributes: Json
    timestamp: int | None = None
    fingerprint: int | None = field(default=None, eq=False, repr=False)

    @property
    def call(self) -> Call:
        return ["identify", self.person, self.attributes]

    @property
    def people(self) -> tuple[str, ...]:
        return person_keys(self.attributes)

    def problem(self, now: float) -> str | None:
        return _id_problem(self.person) or identify_attributes.problem(self.attributes)

    def send(self, client: Any) -> Any:
        """Make the PUT behind `client.identify`, whose keywords leave no room for one named id."""
        body = self.attributes
        if self.timestamp is not None:
            body = {"_timestamp": self.timestamp, **body}
        return client.send_request("PUT", client.get_customer_query_string(self.person), body)

    def entry(self) -> Json | None:
        """Return the entry: what v1 takes among the attributes stands beside them in v2.

        v2 adds relationships with an identify but cannot cut them: then there is no entry.
        """
        attributes = self.attributes
        beside: Json = {}
        if self.timestamp is not None:
            beside["timestamp"] = self.timestamp
        if "_timestamp" in attributes or "cio_relationships" in attributes:
            attributes = dict(attributes)
            if "_timestamp" in attributes:
                beside["timestamp"] = attributes.pop("_timestamp")
            if "cio_relationships" in attributes:
                relationships = _added(attributes.pop("cio_relationships"))
                if relationships is None:
                    return None
                beside["cio_relationships"] = relationships
        return self._entry("identify", **beside, attributes=attributes)

    def note(self, memory: IdentifyMemory, now: float) -> None:
        """Remember what was told, as far as Customer.io has surely taken it.

        It answers 200 and ignores an update that is stamped before the person's last change,
        whoever made that. Only what is stamped about now is surely newer; what bears an earlier
        stamp counts for others of about that time.
        """
        if self.fingerprint is None:
            memory.discard(self.person)
            return
        stamp = self.attributes.get("_timestamp", self.timestamp)
        until = math.inf if stamp is None or now - stamp <= FRESH else stamp + FRESH
        memory.put(self.person, self.fingerprint, self.people, until)

    def doubt(self, memory: IdentifyMemory) -> None:
        memory.discard(self.person)


def _added(value: Any) -> Any:
    """Return relationships in v2's form: a list, all of them to add; None where v1 must do it."""
    if not isinstance(value, dict):
        return value
    return value.get("relationships") if value.get("action") == "add_relationships" else None


def fingerprint(attributes: Json) -> int:
    """Return a number that equal attributes share, whatever their order.

    Only comparable within this process. Raises Rejected where JSON cannot hold the attributes.
    """
    return hash(dumps(attributes, "identify", sort_keys=True))


_SHORT_ID = limits.PERSON_ID // 4
_SHORT_NAME = limits.EVENT_NAME // 4
"""Characters in which no limit is reached, whatever they are."""


@define
class Occurrence(Operation):
    """Something that happened: an event, in Customer.io's words.

    who: the customer id of whom it happened to; of a TrackAnonymous, their anonymous id.
    data: what is known of it.
    timestamp: when it happened, in unix seconds.
    id: the ULID by which Customer.io knows a repetition.
    """

    action: ClassVar[str] = "event"

    who: str
    name: str
    data: Json
    timestamp: int | None = None
    id: str | None = None

    @property
    def described(self) -> Json:
        """The event in the words of `walker simulate`, which leave out the id."""
        described = {"name": self.name, "data": self.data}
        return described if self.timestamp is None else {**described, "timestamp": self.timestamp}

    @property
    def named(self) -> Json:
        """The identifiers of whom it happened to."""
        return identifiers(self.who)

    def problem(self, now: float) -> str | None:
        who, name = self.who, self.name
        if 2 < len(who) <= _SHORT_ID and len(name) <= _SHORT_NAME:  # as with almost all
            return None
        return _id_problem(who) or _length_problem("the name", name.strip(), limits.EVENT_NAME)

    def size_problem(self) -> str | None:
        size = len(dumps(self.data, "its data"))
        if size <= limits.EVENT_DATA:
            return None
        return f"data of {size:,} bytes of JSON; Customer.io takes at most {limits.EVENT_DATA:,}"

    def entry(self) -> Json:
        """Return the entry in a v2 batch; what v1 calls data is attributes there."""
        entry: Json = {
            "type": "person",
            "identifiers": self.named,
            "action": self.action,
            "name": self.name,
            "attributes": self.data,
        }
        if self.id is not None:
            entry["id"] = self.id
        if self.timestamp is not None:
            entry["timestamp"] = self.timestamp
        return entry


@define
class Track(Occurrence):
    """An event of a known person."""

    part = "track"

    @property
    def call(self) -> Call:
        return ["track", self.who, self.described]

    def send(self, client: Any) -> Any:
        return client.track(self.who, self.name, self.data, id=self.id, timestamp=self.timestamp)


@define
class TrackAnonymous(Occurrence):
    """An event of someone not known yet; Customer.io keeps it for the person they turn out to be.

    `anonymous_id` as the sole identifier of a v2 event is not in the reference, yet what the
    destinations of Segment and RudderStack send.
    """

    part = "track"

    @property
    def call(self) -> Call:
        return ["track_anonymous", self.who, self.described]

    @property
    def named(self) -> Json:
        return {"anonymous_id": self.who}

    def send(self, client: Any) -> Any:
        return client.track_anonymous(
            self.who, self.name, self.data, id=self.id, timestamp=self.timestamp
        )


@define
class Page(Occurrence):
    """A page view; `name` is the page's, its whole URL is in the data."""

    part = "page"
    action = "page"
    verb: ClassVar[str] = "pageview"

    @property
    def call(self) -> Call:
        """The call as the SDK has it, which takes the URL for the name."""
        data = {key: value for key, value in self.data.items() if key != "url"}
        call = [self.verb, self.who, self.data.get("url", self.name)]
        return [*call, data] if data else call

    def body(self) -> Json:
        """Return the body of version 1's request."""
        body: Json = {"type": "page", "name": self.name, "data": self.data}
        if self.id is not None:
            body["id"] = self.id
        if self.timestamp is not None:
            body["timestamp"] = self.timestamp
        return body

    def send(self, client: Any) -> Any:
        """Make the POST behind `client.pageview`, which knows neither id nor timestamp.

        Its keywords leave no room for data named `page` or `customer_id` either.
        """
        return client.send_request("POST", client.get_event_query_string(self.who), self.body())


@define
class PageAnonymous(Page):
    """A page view of someone not known yet; `client.track_anonymous` cannot send a page."""

    verb = "pageview_anonymous"

    @property
    def named(self) -> Json:
        return {"anonymous_id": self.who}

    def send(self, client: Any) -> Any:
        body = {**self.body(), "anonymous_id": self.who}
        return client.send_request("POST", client.get_events_query_string(), body)


@define
class ExistenceOperation(PersonOperation):
    """An operation that decides whether a person is there: nothing that was told them counts on."""

    alone = True

    def note(self, memory: IdentifyMemory, now: float) -> None:
        self.doubt(memory)

    def doubt(self, memory: IdentifyMemory) -> None:
        memory.discard_people(person_keys(identifiers(self.person)))


@define
class Delete(ExistenceOperation):
    """Remove a person; a later identify may create them anew."""

    part = "delete"

    @property
    def call(self) -> Call:
        return ["delete", self.person]

    def send(self, client: Any) -> Any:
        return client.delete(self.person)

    def entry(self) -> Json:
        return self._entry("delete")


@define
class Suppress(ExistenceOperation):
    """Remove a person and refuse their identifiers until they are unsuppressed."""

    part = "suppress"

    @property
    def call(self) -> Call:
        return ["suppress", self.person]

    def send(self, client: Any) -> Any:
        return client.suppress(self.person)

    def entry(self) -> Json:
        return self._entry("suppress")


@define
class Unsuppress(ExistenceOperation):
    """Accept a suppressed person's identifiers again; it does not bring the person back."""

    part = "unsuppress"

    @property
    def call(self) -> Call:
        return ["unsuppress", self.person]

    def send(self, client: Any) -> Any:
        return client.unsuppress(self.person)

    def entry(self) -> Json:
        return self._entry("unsuppress")


@define
class AddDevice(PersonOperation):
    """Add or update a device; `data` is None where the mapping made none."""

    part = "add_device"

    device_id: str
    platform: str
    data: Json | None = None

    @property
    def call(self) -> Call:
        call = ["add_device", self.person, self.device_id, self.platform]
        return call if self.data is None else [*call, self.data]

    def problem(self, now: float) -> str | None:
        if self.platform not in PLATFORMS:
            return f"platform must be {' or '.join(PLATFORMS)}"
        if type((self.data or {}).get("last_used", 0)) is not int:
            return "data.last_used is no time; give unix seconds or ISO 8601"
        return _id_problem(self.person) or _token_problem(self.device_id)

    @property
    def details(self) -> Json:
        """The data in the API's form: `last_used` on top, all that is custom under `attributes`.

        The SDK's `add_device` would put everything on top, where Customer.io ignores it.
        """
        custom = dict(self.data or {})
        details: Json = {}
        if "last_used" in custom:
            details["last_used"] = custom.pop("last_used")
        if isinstance(nested := custom.get("attributes"), dict):
            custom = {**custom, **nested}
            del custom["attributes"]
        return {**details, "attributes": custom} if custom else details

    def send(self, client: Any) -> Any:
        return client.add_device(self.person, self.device_id, self.platform, **self.details)

    def entry(self) -> Json:
        device = {"token": self.device_id, "platform": self.platform, **self.details}
        return self._entry("add_device", device=device)


@define
class DeleteDevice(PersonOperation):
    """Remove a device from a person."""

    part = "delete_device"

    device_id: str
    platform: str

    def problem(self, now: float) -> str | None:
        return _id_problem(self.person) or _token_problem(self.device_id)

    @property
    def call(self) -> Call:
        return ["delete_device", self.person, self.device_id, self.platform]

    def send(self, client: Any) -> Any:
        return client.delete_device(self.person, self.device_id)

    def entry(self) -> Json:
        return self._entry("delete_device", device={"token": self.device_id})


@define
class Merge(Operation):
    """Move the secondary person into the primary one; types are id, email or cio_id."""

    part = "merge"
    alone = True

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
        primary = _id_problem(self.primary_id, "primaryId")
        return primary or _id_problem(self.secondary_id, "secondaryId")

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


@define
class Message(Operation):
    """A transactional message of the App API, which knows no repetition: never sent twice.

    `request` is the body as Customer.io documents it. It waits for what its event asks before it
    and holds back what comes after, so it is `alone`.
    """

    alone = True

    request: Json

    @property
    def call(self) -> Call:
        return [self.part, self.request]

    @property
    def people(self) -> tuple[str, ...]:
        named = self.request.get("identifiers")
        return person_keys(named) if isinstance(named, dict) else ()

    def problem(self, now: float) -> str | None:
        request = self.request
        when = request.get("send_at", 0)
        if type(when) is not int:
            return "send_at is no time; give unix seconds or ISO 8601"
        if when > now + limits.SEND_AHEAD:
            return f"send_at is more than {limits.SEND_AHEAD // 86_400} days ahead"
        files = request.get("attachments")
        if isinstance(files, dict):
            size = sum(len(file) for file in files.values() if isinstance(file, str))
            if size > limits.ATTACHMENTS:
                return f"attachments of {size:,} bytes; Customer.io takes {limits.ATTACHMENTS:,}"
        try:
            size = len(dumps(request, "it"))
        except Rejected as error:
            return error.reason
        if size > limits.APP_REQUEST:
            return f"{size:,} bytes of JSON; Customer.io takes at most {limits.APP_REQUEST:,}"
        return None

    def entry(self) -> None:
        return None


@define
class SendEmail(Message):
    """A transactional email."""

    part = "send_email"

    def problem(self, now: float) -> str | None:
        count = limits.recipients(self.request)
        if count > limits.RECIPIENTS:
            return f"{count} recipients; Customer.io takes at most {limits.RECIPIENTS}"
        return super().problem(now)

    def send(self, client: Any) -> Any:
        return client.send_email(self.request)


@define
class SendPush(Message):
    """A transactional push notification."""

    part = "send_push"

    def send(self, client: Any) -> Any:
        return client.send_push(self.request)


MESSAGE_PARTS = tuple(kind.part for kind in Message.__subclasses__())
"""The parts of a delivery that are messages to people."""
