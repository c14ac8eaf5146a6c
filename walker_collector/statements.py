"""What an application hands to a collector, checked and brought into one form."""

from collections.abc import Mapping
from typing import Any, Final

from walker_collector.config import Consent
from walker_collector.delivery import CONSENT_CHANGED
from walker_collector.errors import EventError
from walker_collector.events import Bounds, check_grants, check_parts, plain_object
from walker_collector.identity import identifiers

COMMANDS: Final = ("walker consent", "walker user", "walker globals")


def raw_event(event: str | Mapping[str, Any], parts: dict[str, Any]) -> Mapping[str, Any]:
    """Return what was handed to `push` as one mapping; raises EventError for what is no event."""
    if type(event) is dict and not parts:  # the usual case, and much the cheapest test
        return event
    if isinstance(event, str):
        check_parts(parts)
        return {**parts, "name": event}
    if not isinstance(event, Mapping):
        raise EventError(
            f"an event is a name or a mapping, not {type(event).__name__}; "
            'write push("order complete", data={...})'
        )
    if parts:
        check_parts(parts)
        return {**event, **parts}
    return event


def plain_statement(
    update: Any, user: Any, bounds: Bounds
) -> tuple[dict[str, bool], dict[str, Any] | None]:
    """Return an update of consent and its user (None: the process default) as plain JSON.

    Raises EventError for an update that is none, or a user who cannot be addressed.
    """
    if not isinstance(update, Mapping) or not update:
        raise EventError('consent: must be an object such as {"marketing": true}')
    check_grants(update)
    plain = plain_object("consent", update, bounds)
    return plain, None if user is None else plain_person("consent", user, bounds)


def plain_person(what: str, user: Any, bounds: Bounds) -> dict[str, Any]:
    """Return a user as plain JSON; raises EventError for one who cannot be addressed. `what` is
    asked for them.
    """
    if isinstance(user, Mapping):
        plain = plain_object("user", user, bounds)
        if identifiers(plain):
            return plain
    raise EventError(f'{what}: user needs an id, a device or a session, such as {{"id": "u1"}}')


def consent_change(
    update: Consent, state: Consent, user: Mapping[str, Any], *, id: str, now: int
) -> dict[str, Any]:
    """Return the event as which a change of consent queues for destinations that listen.

    `state` is what holds now; `user` addresses the person, and is empty for the process default.
    """
    return {
        "name": CONSENT_CHANGED,
        "id": id,
        "data": dict(update),
        "custom": dict(state),
        "user": dict(user),
        "timestamp": now,
    }


def address(user: Mapping[str, Any], person: str) -> dict[str, Any]:
    """Return the identifiers of a person, with the one they are known by."""
    known = {kind: user[kind] for kind in ("id", "device", "session") if user.get(kind)}
    kind, _, value = person.partition(":")
    return {**known, kind: known.get(kind, value)}
