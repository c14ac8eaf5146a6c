"""What an application hands to a collector, checked and brought into one form."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, TypeVar

from walker_collector.config import Consent
from walker_collector.delivery import CONSENT_CHANGED
from walker_collector.errors import EventError, WalkerError
from walker_collector.events import Bounds, check_grants, check_parts, plain_object
from walker_collector.identity import identifiers

T = TypeVar("T")

COMMANDS: Final = ("walker consent", "walker user", "walker globals")


def raw_event(event: str | Mapping[str, Any], parts: dict[str, Any]) -> Mapping[str, Any]:
    """Return what was handed to `push` as one mapping; raises EventError for what is no event."""
    if type(event) is dict and not parts:  # the usual case, and much the cheapest test
        return event
    if isinstance(event, str):
        check_parts(parts)
        return {**parts, "name": event}
    if isinstance(event, EventError):
        raise event
    if not isinstance(event, Mapping):
        raise EventError(
            f"an event is a name or a mapping, not {type(event).__name__}; "
            'write push("order complete", data={...})'
        )
    if parts:
        check_parts(parts)
    try:
        return {**event, **parts}
    except Exception as error:
        raise blamed(error, lambda: {**event, **parts}) from None


def blamed(error: Exception, read: Callable[[], object]) -> Exception:
    """Return the error of something that could not be read: an EventError that names what one of
    its objects has raised. Where reading it again goes well, a signal handler has raised instead.
    """
    if isinstance(error, WalkerError):
        return error
    try:
        read()
    except Exception:
        name = type(error).__name__
        made = EventError(f"what was handed in cannot be read: an object in it raised {name}")
        made.__cause__ = error
        return made
    return error


def readable(read: Callable[[], T]) -> T:
    """Return what reading something gives; raises no foreign exceptions."""
    try:
        return read()
    except Exception as error:
        raise blamed(error, read) from None


def is_command(raw: Mapping[str, Any]) -> bool:
    """Whether it is no event but a command."""
    name = raw.get("name")
    return isinstance(name, str) and name in COMMANDS


def until_it_raises(events: Iterable[Any]) -> Iterator[Any]:
    """Yield events; where their iterator raises, an EventError that says so, as the last."""
    count = 0
    try:
        for event in events:
            count += 1
            yield event
    except Exception as error:  # a generator may raise anything
        ended = EventError(
            f"push_many: the iterable of events raised {type(error).__name__} after {count:,} of "
            "them; these were handled"
        )
        ended.__cause__ = error
        yield ended


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
