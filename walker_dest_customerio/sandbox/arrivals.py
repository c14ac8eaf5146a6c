"""Arrivals at the sandbox, as values for asserts in tests."""

import copy
from collections.abc import Iterable
from typing import Any

from attrs import frozen

from walker_dest_customerio.sandbox import views
from walker_dest_customerio.sandbox.received import JsonObject
from walker_dest_customerio.sandbox.workspace import Workspace


@frozen
class Event:
    """An event, a page view or a screen: `type` is `event`, `page` or `screen`.

    person: the key of its person (id, else email, phone, cio_<id>); None for a visitor.
    anonymous_id: the visitor's, also after the event went to a person.
    timestamp: unix s. id: the ULID by which Customer.io knows duplicates.
    """

    name: str
    person: str | None
    data: JsonObject
    type: str
    anonymous_id: str | None
    timestamp: int
    id: str | None

    def __str__(self) -> str:
        return f"{self.type} {self.name!r} of {self.person or self.anonymous_id}: {self.data}"


@frozen
class Device:
    """A device of a person; `details` has platform, attributes and last_used as sent."""

    token: str
    person: str
    details: JsonObject

    @property
    def platform(self) -> str | None:
        """`ios` or `android`."""
        return self.details.get("platform")

    @property
    def attributes(self) -> JsonObject:
        """The attributes of the device."""
        attributes: JsonObject = self.details.get("attributes") or {}
        return attributes

    def __str__(self) -> str:
        return f"device {self.token!r} of {self.person}: {self.details}"


@frozen
class Object:
    """An object (a company, an account), by its type and id."""

    type_id: str
    id: str
    attributes: JsonObject

    def __str__(self) -> str:
        return f"object {self.id!r} of type {self.type_id}: {self.attributes}"


@frozen
class Relationship:
    """A relationship of a person with an object, and its attributes."""

    type_id: str
    object_id: str
    attributes: JsonObject


@frozen
class Message:
    """A transactional message: `channel` is `email`, `push` and so on, `request` its body.

    person: the key of its person, None if the request names none.
    suppressed: the person is suppressed, so nothing would be delivered.
    """

    channel: str
    person: str | None
    request: JsonObject
    delivery_id: str
    suppressed: bool

    @property
    def to(self) -> Any:
        """The recipient in the request."""
        return self.request.get("to")

    def __str__(self) -> str:
        return f"{self.channel} to {self.to or self.person}: {self.request}"


@frozen
class Person:
    """A person with everything known of them. `key` is the id, else email, phone, cio_<id>."""

    key: str
    id: str | None
    email: str | None
    phone: str | None
    cio_id: str
    attributes: JsonObject
    devices: tuple[Device, ...]
    events: tuple[Event, ...]
    relationships: tuple[Relationship, ...]
    anonymous_ids: tuple[str, ...]

    def has(self, identifier: str) -> bool:
        """Return whether this is one of the person's identifiers."""
        if self.email is not None and self.email == identifier.lower():
            return True
        return identifier in (self.id, self.phone, self.cio_id, f"cio_{self.cio_id}")

    def __str__(self) -> str:
        return f"person {self.key!r}: {self.attributes}"


def names_of(workspace: Workspace, identifier: str) -> frozenset[str]:
    """Return an identifier, with all the others of its person."""
    names = {identifier}
    for person in people_of(workspace):
        if person.has(identifier):
            known = (person.key, person.id, person.email, person.phone, f"cio_{person.cio_id}")
            names.update(name for name in known if name is not None)
    return frozenset(names)


def people_of(workspace: Workspace) -> list[Person]:
    """Return the people, in the order in which they were created."""
    return [_person(key, view) for key, view in views.people_view(workspace).items()]


def _person(key: str, view: JsonObject) -> Person:
    return Person(
        key=key,
        id=view["id"],
        email=view["email"],
        phone=view["phone"],
        cio_id=view["cio_id"],
        attributes=view["attributes"],
        devices=tuple(Device(token, key, kept) for token, kept in view["devices"].items()),
        events=tuple(_events(view["events"])),
        relationships=tuple(
            Relationship(tie["object_type_id"], tie["object_id"], tie["attributes"])
            for tie in view["relationships"]
        ),
        anonymous_ids=tuple(view["anonymous_ids"]),
    )


def events_of(workspace: Workspace) -> list[Event]:
    """Return the events of all people and visitors, in the order of arrival."""
    return _events(views.all_events_view(workspace))


def _events(found: Iterable[JsonObject]) -> list[Event]:
    return [
        Event(
            name=view["name"],
            person=view["person"],
            data=view["data"],
            type=view["type"],
            anonymous_id=view["anonymous_id"],
            timestamp=view["timestamp"],
            id=view["id"],
        )
        for view in found
    ]


def devices_of(workspace: Workspace) -> list[Device]:
    """Return the devices of all people."""
    return [device for person in people_of(workspace) for device in person.devices]


def objects_of(workspace: Workspace) -> list[Object]:
    """Return the objects, in the order in which they were created."""
    return [
        Object(key.type_id, key.id, copy.deepcopy(attributes))
        for key, attributes in workspace.objects.items()
    ]


def messages_of(workspace: Workspace) -> list[Message]:
    """Return the messages, in the order of arrival."""
    return [
        Message(
            channel=kept["channel"],
            person=kept["person"],
            request=copy.deepcopy(kept["request"]),
            delivery_id=kept["delivery_id"],
            suppressed=kept["suppressed"],
        )
        for kept in workspace.messages
    ]
