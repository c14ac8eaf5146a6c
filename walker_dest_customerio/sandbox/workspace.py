"""The state of a workspace, and its change by each operation. No I/O; time is passed in.

Choices that the documentation leaves open are described at the method that makes them. Operations
that Customer.io accepts with 200 and does not apply are noted in `ignored`.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

from walker_dest_customerio import limits
from walker_dest_customerio.sandbox.anonymous import AnonymousActivity
from walker_dest_customerio.sandbox.attributes import identifiers_in, with_changes, with_defaults
from walker_dest_customerio.sandbox.profiles import Profile, Profiles, StoredEvent
from walker_dest_customerio.sandbox.received import (
    Identifier,
    JsonObject,
    ObjectKey,
    ReceivedAddDevice,
    ReceivedDelete,
    ReceivedDeleteDevice,
    ReceivedDeleteObject,
    ReceivedEvent,
    ReceivedIdentify,
    ReceivedIdentifyObject,
    ReceivedMerge,
    ReceivedOperation,
    ReceivedRelate,
    ReceivedRelateAnonymous,
    ReceivedSend,
    ReceivedSuppress,
    ReceivedUnsuppress,
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
        self.anonymous = AnonymousActivity()
        self.objects: dict[ObjectKey, JsonObject] = {}
        self.messages: list[JsonObject] = []
        self.ignored: deque[JsonObject] = deque(maxlen=IGNORED_KEPT)
        self.ignored_count = 0
        self.duplicates = 0
        self.suppressed: dict[Identifier, frozenset[Identifier]] = {}
        self._seen_ids: set[str] = set()
        self._sequence = 0
        self._appliers: dict[type[Any], Callable[[Any, float], None]] = {
            ReceivedIdentify: self._identify,
            ReceivedDelete: self._delete,
            ReceivedSuppress: self._suppress,
            ReceivedUnsuppress: self._unsuppress,
            ReceivedMerge: self._merge,
            ReceivedEvent: self._event,
            ReceivedAddDevice: self._add_device,
            ReceivedDeleteDevice: self._delete_device,
            ReceivedRelate: self._relate,
            ReceivedRelateAnonymous: self._relate_anonymous,
            ReceivedIdentifyObject: self._identify_object,
            ReceivedDeleteObject: self._delete_object,
        }

    def apply(self, operation: ReceivedOperation, now: float) -> None:
        """Apply an operation to the state; `now` is the time of receipt (unix s)."""
        self._appliers[type(operation)](operation, now)

    def send(self, operation: ReceivedSend, now: float) -> JsonObject:
        """Record a transactional message and return the record.

        A missing person is created (README of the official SDK; the `auto_create` field of the App
        API reference, false by default, says otherwise). For a suppressed person the record has
        `suppressed: true`: the call is accepted, but nothing would be delivered.
        """
        blocked = operation.person is not None and operation.person in self.suppressed
        person = None
        if operation.person is not None and not blocked:
            person = self.people.find_or_create(operation.person)
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

    def _identify(self, operation: ReceivedIdentify, now: float) -> None:
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
        if anonymous_id and not self.anonymous.claim(person, anonymous_id, now):
            self._ignore(operation, operation.person, ANONYMOUS_TAKEN)

    def _refusal(
        self,
        operation: ReceivedIdentify,
        person: Profile | None,
        names: list[Identifier],
        stamp: int,
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
        fixed = [who for who in names if who.kind != "email" or not self.allow_email_change]
        if not by_cio_id and any(map(person.has_other, fixed)):
            return RENAME
        if person.edited_at is not None and stamp < person.edited_at:
            return OUTDATED
        if len(with_changes(person.attributes, operation.attributes)) > limits.ATTRIBUTES:
            return TOO_MANY
        return None

    def _delete(self, operation: ReceivedDelete, now: float) -> None:
        """Remove a person; a missing one is not an error."""
        if person := self._existing(operation, operation.person):
            self._remove(person)

    def _suppress(self, operation: ReceivedSuppress, now: float) -> None:
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

    def _unsuppress(self, operation: ReceivedUnsuppress, now: float) -> None:
        """Unblock all identifiers that were suppressed together; the profile stays removed."""
        for who in self.suppressed.get(operation.person, frozenset()):
            del self.suppressed[who]

    def _merge(self, operation: ReceivedMerge, now: float) -> None:
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
        primary.add_events(secondary.events)
        self.anonymous.move(secondary.anonymous_ids, primary, now)

    def _event(self, operation: ReceivedEvent, now: float) -> None:
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
        self._sequence += 1
        event = _stored(operation, self._sequence, now)
        if operation.person is None:
            self.anonymous.add_event(event, now)
        elif person := self._addressee(operation, operation.person):
            person.events.append(event)

    def _add_device(self, operation: ReceivedAddDevice, now: float) -> None:
        """Add or replace a device; an unknown person is created, as by an event."""
        if person := self._addressee(operation, operation.person):
            person.devices[operation.token] = operation.details

    def _delete_device(self, operation: ReceivedDeleteDevice, now: float) -> None:
        """Remove a device; a missing one is not an error."""
        if person := self._existing(operation, operation.person):
            person.devices.pop(operation.token, None)

    def _relate(self, operation: ReceivedRelate, now: float) -> None:
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

    def _relate_anonymous(self, operation: ReceivedRelateAnonymous, now: float) -> None:
        """Add a relationship to the person identified by the anonymous_id, now or later."""
        self.objects.setdefault(operation.target, {})
        self.anonymous.relate(operation.anonymous_id, operation.target, operation.attributes)

    def _identify_object(self, operation: ReceivedIdentifyObject, now: float) -> None:
        """Create or update an object."""
        current = self.objects.get(operation.target, {})
        self.objects[operation.target] = with_changes(current, operation.attributes)

    def _delete_object(self, operation: ReceivedDeleteObject, now: float) -> None:
        """Remove an object and every relationship to it."""
        self.objects.pop(operation.target, None)
        for person in self.people:
            person.relationships.pop(operation.target, None)

    def _addressee(self, cause: ReceivedOperation, who: Identifier) -> Profile | None:
        """Find or create a person; None, and noted, if suppressed or an unknown cio_id."""
        if who in self.suppressed:
            self._ignore(cause, who, SUPPRESSED)
            return None
        person = self.people.find_or_create(who)
        if person is None:
            self._ignore(cause, who, UNKNOWN_CIO_ID)
        return person

    def _existing(self, cause: ReceivedOperation, who: Identifier) -> Profile | None:
        """Find a person; None, and noted, if there is none."""
        person = self.people.find(who)
        if person is None:
            self._ignore(cause, who, SUPPRESSED if who in self.suppressed else UNKNOWN_PERSON)
        return person

    def _remove(self, person: Profile) -> None:
        self.people.remove(person)
        self.anonymous.release(person)

    def _ignore(self, cause: ReceivedOperation, who: Identifier | None, reason: str) -> None:
        """Note an operation that was accepted without effect."""
        self.ignored_count += 1
        note = {
            "operation": type(cause).__name__.removeprefix("Received"),
            "person": str(who) if who else None,
        }
        self.ignored.append({**note, "reason": reason})


def _stored(operation: ReceivedEvent, sequence: int, now: float) -> StoredEvent:
    return StoredEvent(
        sequence=sequence,
        kind=operation.kind,
        name=operation.name.strip(),
        data=operation.data,
        id=operation.id,
        timestamp=int(now) if operation.timestamp is None else operation.timestamp,
        received_at=now,
        anonymous_id=operation.anonymous_id,
    )
