"""Views of the workspace as JSON, in copies of their own."""

import copy
from collections.abc import Iterable

from walker_dest_customerio.sandbox.profiles import Profile, StoredEvent
from walker_dest_customerio.sandbox.received import JsonObject
from walker_dest_customerio.sandbox.workspace import Workspace


def people_view(workspace: Workspace) -> dict[str, JsonObject]:
    """Return people by id (else email, phone, cio_<id>), in the order in which they were created.

    If one's id is another's email, the later of the two is under cio_<id>.
    """
    result: dict[str, JsonObject] = {}
    for person in workspace.people:
        key = person.key if person.key not in result else f"cio_{person.cio_id}"
        result[key] = _person_view(person)
    return result


def _person_view(person: Profile) -> JsonObject:
    ties = [
        {"object_type_id": key.type_id, "object_id": key.id, "attributes": copy.deepcopy(tie)}
        for key, tie in person.relationships.items()
    ]
    return {
        "id": person.identifiers.get("id"),
        "email": person.identifiers.get("email"),
        "phone": person.identifiers.get("phone"),
        "cio_id": person.cio_id,
        "attributes": copy.deepcopy(person.attributes),
        "devices": copy.deepcopy(person.devices),
        "events": event_views(person.events, person.key),
        "anonymous_ids": list(person.anonymous_ids),
        "relationships": ties,
        "edited_at": person.edited_at,
    }


def event_views(events: Iterable[StoredEvent], person: str | None = None) -> list[JsonObject]:
    """Return events as JSON; `person` is the key of their person."""
    return [_event_view(event, person) for event in events]


def _event_view(event: StoredEvent, person: str | None) -> JsonObject:
    return {
        "person": person,
        "anonymous_id": event.anonymous_id,
        "type": event.kind,
        "name": event.name,
        "data": copy.deepcopy(event.data),
        "timestamp": event.timestamp,
        "id": event.id,
        "received_at": event.received_at,
    }


def all_events_view(workspace: Workspace) -> list[JsonObject]:
    """Return all stored events: people's, anonymous ones and invites, in the order of arrival."""
    owned = [(event, person.key) for person in workspace.people for event in person.events]
    unowned = [event for events in workspace.anonymous.events.values() for event in events]
    everything = [*owned, *((event, None) for event in [*unowned, *workspace.anonymous.invites])]
    everything.sort(key=lambda pair: pair[0].sequence)
    return [_event_view(event, person) for event, person in everything]


def anonymous_view(workspace: Workspace) -> dict[str, list[JsonObject]]:
    """Return the events without a person yet, by anonymous_id."""
    return {name: event_views(events) for name, events in workspace.anonymous.events.items()}


def suppressed_view(workspace: Workspace) -> list[str]:
    """Return the values of all suppressed identifiers, sorted."""
    return sorted({who.value for who in workspace.suppressed})


def workspace_view(workspace: Workspace) -> JsonObject:
    """Return the whole workspace."""
    return {
        "people": people_view(workspace),
        "anonymous_events": anonymous_view(workspace),
        "invites": event_views(workspace.anonymous.invites),
        "messages": copy.deepcopy(workspace.messages),
        "objects": {str(key): dict(value) for key, value in workspace.objects.items()},
        "suppressed": suppressed_view(workspace),
        "ignored": list(workspace.ignored),
    }
