"""The state of a workspace, and its change by each operation. No I/O; time is passed in.

Choices that the documentation leaves open are described at the method that makes them. Operations
that Customer.io accepts with 200 and does not apply are noted in `ignored`.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from walker_dest_customerio import limits
from walker_dest_customerio.sandbox.attributes import identifiers_in, with_changes, with_defaults
from walker_dest_customerio.sandbox.profiles import Profile, Profiles, StoredEvent
from walker_dest_customerio.sandbox.workspace_operations import (
    AddDevice,
    Delete,
    DeleteDevice,
    DeleteObject,
    Event,
    Identifier,
    Identify,
    IdentifyObject,
    JsonObject,
    Merge,
    ObjectKey,
    Operation,
    Relate,
    RelateAnonymous,
    Send,
    Suppress,
    Unsuppress,
)

IGNORED_KEPT = 10_000

SUPPRESSED = "suppressed"
DUPLICATE = "duplicate event id"
UNKNOWN_CIO_ID = "unknown cio_id"
UNKNOWN_PERSON = "unknown person"
FAILED_CHANGE = "failed attribute change: _update on an unknown person"
CONFLICT = "attribute update failure: an identifier belongs to someone else"
RENAME = "attribute update failure: changing an identifier needs cio_<id>"
OUTDATED = "older than the latest attribute update"
TOO_MANY = "more than 300 attributes"
SAME_PERSON = "primary and secondary are the same person"
ANONYMOUS_TAKEN = "anonymous_id belongs to someone else"


class Workspace:
    """One Customer.io workspace.

    `allow_email_change` is the workspace setting "Allow updates to email using ID". Without it, an
    identifier that is set can be changed only if the person is addressed by cio_id.
    """

    def __init__(self, *, allow_email_change: bool = False) -> None:
        self.allow_email_change = allow_email_change
        self.people = Profiles()
        self.anonymous: dict[str, list[StoredEvent]] = {}
        self.invites: list[StoredEvent] = []
        self.objects: dict[ObjectKey, JsonObject] = {}
        self.messages: list[JsonObject] = []
        self.ignored: deque[JsonObject] = deque(maxlen=IGNORED_KEPT)
        self.ignored_count = 0
        self.duplicates = 0
        self.suppressed: dict[Identifier, frozenset[Identifier]] = {}
        self._seen_ids: set[str] = set()
        self._sequence = 0
        self._anonymous_owners: dict[str, tuple[Profile, float]] = {}
        self._anonymous_relationships: dict[str, dict[ObjectKey, JsonObject]] = {}
        self._appliers: dict[type[Any], Callable[[Any, float], None]] = {
            Identify: self._identify,
            Delete: self._delete,
            Suppress: self._suppress,
            Unsuppress: self._unsuppress,
            Merge: self._merge,
            Event: self._event,
            AddDevice: self._add_device,
            DeleteDevice: self._delete_device,
            Relate: self._relate,
            RelateAnonymous: self._relate_anonymous,
            IdentifyObject: self._identify_object,
            DeleteObject: self._delete_object,
        }

    def apply(self, operation: Operation, now: float) -> None:
        """Apply an operation to the state; `now` is the time of receipt (unix s)."""
        self._appliers[type(operation)](operation, now)

    def send(self, operation: Send, now: float) -> JsonObject:
        """Record a transactional message and return the record.

        A missing person is created (README of the official SDK; the `auto_create` field of the App
        API reference, false by default, says otherwise). For a suppressed person the record has
        `suppressed: true`: the call is accepted, but nothing would be delivered.
        """
        blocked = operation.person is not None and operation.person in self.suppressed
        person = None
        if operation.person is not None and not blocked:
            person = self._find_or_create(operation.person)
        device = operation.request.get("custom_device")
        if person is not None and device is not None:
            details = {name: value for name, value in device.items() if name != "token"}
            person.devices[device["token"]] = details
        message = {
            "delivery_id": f"sandbox-{len(self.messages) + 1:06d}",
            "channel": operation.channel,
            "queued_at": int(now),
            "person": person.key if person is not None else None,
            "suppressed": blocked,
            "request": operation.request,
        }
        self.messages.append(message)
        return message

    def _identify(self, operation: Identify, now: float) -> None:
        """Create or update a person.

        The whole call is dropped at a conflict of identifiers, at a change of one that is set, and
        if it is older than the latest update. Without a timestamp the time of receipt counts.
        """
        names = [operation.person, *identifiers_in(operation.attributes)]
        stamp = int(now) if operation.timestamp is None else operation.timestamp
        person = next(filter(None, map(self.people.find, names)), None)
        refusal = self._refusal(operation, person, names, stamp)
        if refusal is not None:
            self._ignore(operation, operation.person, refusal)
            return
        if person is None:
            person = self.people.create()
        for who in names:
            self.people.name(person, who)
        person.edited_at = stamp
        person.attributes = with_changes(person.attributes, operation.attributes)
        if operation.person.kind in ("email", "phone"):
            person.attributes.setdefault(operation.person.kind, operation.person.value)
        if "email" not in person.attributes:  # removed by "" or null, so it identifies no longer
            self.people.unname(person, "email")
        anonymous_id = operation.attributes.get("anonymous_id")
        if anonymous_id:
            self._claim_anonymous(person, anonymous_id, operation, now)

    def _refusal(
        self, operation: Identify, person: Profile | None, names: list[Identifier], stamp: int
    ) -> str | None:
        """Return the reason not to apply an identify, or None."""
        if any(who in self.suppressed for who in names):
            return SUPPRESSED
        by_cio_id = operation.person.kind == "cio_id"
        if by_cio_id and self.people.find(operation.person) is None:
            return UNKNOWN_CIO_ID
        if person is None:
            return FAILED_CHANGE if operation.never_create else None
        if any(self.people.find(who) not in (None, person) for who in names):
            return CONFLICT
        if not by_cio_id and any(self._renames(person, who) for who in names):
            return RENAME
        if person.edited_at is not None and stamp < person.edited_at:
            return OUTDATED
        if len(with_changes(person.attributes, operation.attributes)) > limits.ATTRIBUTES:
            return TOO_MANY
        return None

    def _renames(self, person: Profile, who: Identifier) -> bool:
        if who.kind == "email" and self.allow_email_change:
            return False
        return person.identifiers.get(who.kind, who.value) != who.value

    def _claim_anonymous(
        self, person: Profile, anonymous_id: str, cause: Identify, now: float
    ) -> None:
        """Give a person the anonymous events of `anonymous_id`, up to 30 days old.

        An anonymous_id is not reusable (reference): a second person gets no events by it. The same
        person may be identified with it again, and gets the events since.
        """
        owner, _ = self._anonymous_owners.get(anonymous_id, (person, now))
        if owner is not person:
            self._ignore(cause, cause.person, ANONYMOUS_TAKEN)
            return
        self._anonymous_owners[anonymous_id] = (person, now)
        if anonymous_id not in person.anonymous_ids:
            person.anonymous_ids.append(anonymous_id)
        oldest = now - limits.ANONYMOUS_KEPT
        earlier = self.anonymous.pop(anonymous_id, [])
        _add_events(person, (event for event in earlier if event.received_at >= oldest))
        person.relationships.update(self._anonymous_relationships.pop(anonymous_id, {}))

    def _delete(self, operation: Delete, now: float) -> None:
        """Remove a person; a missing one is not an error."""
        if person := self._existing(operation, operation.person):
            self._remove(person)

    def _suppress(self, operation: Suppress, now: float) -> None:
        """Remove a person and block their identifiers, or the given one of an unknown person."""
        person = self.people.find(operation.person)
        if person is None and operation.person.kind == "cio_id":
            self._ignore(operation, operation.person, UNKNOWN_CIO_ID)
            return
        # A cio_id is never given to another profile, so blocking it would have no effect.
        names = {operation.person} - {Identifier("cio_id", operation.person.value)}
        if person is not None:
            names |= {Identifier(*name) for name in person.identifiers.items()}
            self._remove(person)
        group = frozenset(names)
        self.suppressed.update(dict.fromkeys(group, group))

    def _unsuppress(self, operation: Unsuppress, now: float) -> None:
        """Unblock all identifiers that were suppressed together; the profile stays removed."""
        for who in self.suppressed.get(operation.person, frozenset()):
            del self.suppressed[who]

    def _merge(self, operation: Merge, now: float) -> None:
        """Move the secondary person into the primary: unset attributes, events, devices, and more.

        Nothing happens unless both exist. The secondary's id and email are taken over if the
        primary has none.
        """
        primary = self._existing(operation, operation.primary)
        secondary = self._existing(operation, operation.secondary) if primary else None
        if primary is None or secondary is None:
            return
        if primary is secondary:
            self._ignore(operation, operation.primary, SAME_PERSON)
            return
        names = [Identifier(*name) for name in secondary.identifiers.items()]
        # First removed, as an identifier belongs to one profile at most.
        self._remove(secondary)
        for who in names:
            if who.kind not in primary.identifiers:
                self.people.name(primary, who)
        primary.attributes = with_defaults(primary.attributes, secondary.attributes)
        primary.devices = {**secondary.devices, **primary.devices}
        primary.relationships = {**secondary.relationships, **primary.relationships}
        _add_events(primary, secondary.events)
        for anonymous_id in secondary.anonymous_ids:
            primary.anonymous_ids.append(anonymous_id)
            self._anonymous_owners[anonymous_id] = (primary, now)

    def _event(self, operation: Event, now: float) -> None:
        """Store an event, unless its id was seen before on any person's event.

        An event of an unknown person creates them: the reference does not say, and dropping the
        event would hide it.
        """
        if operation.id is not None:
            if operation.id.upper() in self._seen_ids:
                self.duplicates += 1
                self._ignore(operation, operation.person, DUPLICATE)
                return
            self._seen_ids.add(operation.id.upper())
        if operation.person is None:
            self._anonymous_event(operation, now)
        elif person := self._addressee(operation, operation.person):
            person.events.append(self._stored(operation, now))

    def _anonymous_event(self, operation: Event, now: float) -> None:
        """Store an anonymous event, or an invite.

        Up to five minutes after an identify, events of its anonymous_id go to the person; later
        ones wait for another identify.
        """
        event = self._stored(operation, now)
        if operation.anonymous_id is None:
            self.invites.append(event)
            return
        person, joined_at = self._anonymous_owners.get(operation.anonymous_id, (None, 0.0))
        if person is not None and now - joined_at <= limits.ANONYMOUS_JOIN:
            person.events.append(event)
        else:
            self.anonymous.setdefault(operation.anonymous_id, []).append(event)

    def _stored(self, operation: Event, now: float) -> StoredEvent:
        self._sequence += 1
        return StoredEvent(
            sequence=self._sequence,
            kind=operation.kind,
            name=operation.name.strip(),
            data=operation.data,
            id=operation.id,
            timestamp=int(now) if operation.timestamp is None else operation.timestamp,
            received_at=now,
            anonymous_id=operation.anonymous_id,
        )

    def _add_device(self, operation: AddDevice, now: float) -> None:
        """Add or replace a device; an unknown person is created, as by an event."""
        if person := self._addressee(operation, operation.person):
            person.devices[operation.token] = operation.details

    def _delete_device(self, operation: DeleteDevice, now: float) -> None:
        """Remove a device; a missing one is not an error."""
        if person := self._existing(operation, operation.person):
            person.devices.pop(operation.token, None)

    def _relate(self, operation: Relate, now: float) -> None:
        """Add or remove a relationship of a known person; a missing object is created."""
        person = self._existing(operation, operation.person)
        if person is None:
            return
        if operation.remove:
            person.relationships.pop(operation.target, None)
            return
        self.objects.setdefault(operation.target, {})
        current = person.relationships.get(operation.target, {})
        person.relationships[operation.target] = with_changes(current, operation.attributes)

    def _relate_anonymous(self, operation: RelateAnonymous, now: float) -> None:
        """Add a relationship to the person identified by the anonymous_id, now or later."""
        self.objects.setdefault(operation.target, {})
        person, _ = self._anonymous_owners.get(operation.anonymous_id, (None, 0.0))
        relationships = (
            person.relationships
            if person is not None
            else self._anonymous_relationships.setdefault(operation.anonymous_id, {})
        )
        relationships[operation.target] = operation.attributes

    def _identify_object(self, operation: IdentifyObject, now: float) -> None:
        """Create or update an object."""
        current = self.objects.get(operation.target, {})
        self.objects[operation.target] = with_changes(current, operation.attributes)

    def _delete_object(self, operation: DeleteObject, now: float) -> None:
        """Remove an object and every relationship to it."""
        self.objects.pop(operation.target, None)
        for person in self.people:
            person.relationships.pop(operation.target, None)

    def _find_or_create(self, who: Identifier) -> Profile | None:
        """Find a person or create them; a cio_id cannot be used to create one."""
        person = self.people.find(who)
        if person is None and who.kind != "cio_id":
            person = self.people.create()
            self.people.name(person, who)
            if who.kind != "id":
                person.attributes[who.kind] = who.value
        return person

    def _addressee(self, cause: Operation, who: Identifier) -> Profile | None:
        """Find or create a person; None, and noted, if suppressed or an unknown cio_id."""
        if who in self.suppressed:
            self._ignore(cause, who, SUPPRESSED)
            return None
        person = self._find_or_create(who)
        if person is None:
            self._ignore(cause, who, UNKNOWN_CIO_ID)
        return person

    def _existing(self, cause: Operation, who: Identifier) -> Profile | None:
        """Find a person; None, and noted, if there is none."""
        person = self.people.find(who)
        if person is None:
            self._ignore(cause, who, SUPPRESSED if who in self.suppressed else UNKNOWN_PERSON)
        return person

    def _remove(self, person: Profile) -> None:
        self.people.remove(person)
        for anonymous_id in person.anonymous_ids:
            del self._anonymous_owners[anonymous_id]

    def _ignore(self, cause: Operation, who: Identifier | None, reason: str) -> None:
        """Note an operation that was accepted without effect."""
        self.ignored_count += 1
        note = {"operation": type(cause).__name__, "person": str(who) if who else None}
        self.ignored.append({**note, "reason": reason})


def _add_events(person: Profile, events: Iterable[StoredEvent]) -> None:
    """Add events to a person's, in the order of arrival."""
    person.events = sorted([*person.events, *events], key=lambda event: event.sequence)
