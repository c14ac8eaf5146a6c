"""Read the input of an application: its objects may raise anything."""

from collections.abc import AsyncIterable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

from walker_collector.errors import EventError, WalkerError
from walker_collector.events import KEYS, check_parts
from walker_collector.text import storable
from walker_collector.usage import MISSING

T = TypeVar("T")

_PARTS: Final = frozenset(KEYS)


def raw_event(
    event: str | Mapping[str, Any],
    parts: Mapping[str, Any],
    more: Sequence[object] = (),
    call: str = "push",
) -> Mapping[str, Any]:
    """Return the arguments of a call as one mapping; raises EventError if they are no event.

    `more` has its positional arguments after the event; there should be none.
    """
    if more:
        raise EventError(_too_many(call, event, more))
    if type(event) is dict and not parts:  # the usual case, and much the cheapest test
        return event
    if event is MISSING:
        raise EventError(_without_event(call, parts))
    if not _PARTS.issuperset(parts):
        check_parts(parts)
    if isinstance(event, str):
        if "name" in parts:
            raise EventError(f"{call}: name: it is the first argument already")
        return {**parts, "name": event}
    if isinstance(event, EventError):
        raise event
    if not isinstance(event, Mapping):
        raise EventError(
            f"an event is a name or a mapping, not {type(event).__name__}; "
            f'write {call}("order complete", data={{...}})'
        )
    return readable(lambda: {**event, **parts})


def blamed(error: Exception, read: Callable[[], object]) -> Exception:
    """Return the error to raise for an input that could not be read.

    That is an EventError naming the exception of one of its objects. If reading it again succeeds,
    a signal handler has raised instead, and its exception is returned.
    """
    if isinstance(error, WalkerError):
        return error
    try:
        read()
    except Exception:
        name = type(error).__name__
        made = EventError(f"the argument cannot be read: an object in it raised {name}")
        made.__cause__ = error
        return made
    return error


def readable(read: Callable[[], T]) -> T:
    """Return the result of reading an input; raises EventError if one of its objects raises."""
    try:
        return read()
    except Exception as error:
        raise blamed(error, read) from None


def check_events(call: str, events: object) -> None:
    """Raise EventError, naming the call, for anything but an iterable of events."""
    if isinstance(events, Mapping | str | bytes) or not isinstance(events, Iterable):
        if isinstance(events, AsyncIterable):
            collected = f"{call}([event async for event in events])"
            raise EventError(f"{call}: takes a list of events; collect them: {collected}")
        one = call.removesuffix("_many")
        raise EventError(
            f"{call}: takes a list of events, not {type(events).__name__}; "
            f"write {one}(event) for one, {call}([event]) for a list"
        )


def check_statement(call: str, update: Any, user: Any) -> None:
    """Raise EventError, naming the call, for an update or a user that is surely a mistake."""
    if not isinstance(update, Mapping):
        raise EventError(
            f"{call}: takes an object of keys, granted or not, not {type(update).__name__}; "
            f'write {call}({{"marketing": True}}, user={{"id": "u1"}})'
        )
    if user is None:
        raise EventError(
            f'{call}: user is None; write user={{"id": "u1"}}, or leave user out to set the '
            "default, which is for everybody"
        )


def until_it_raises(call: str, events: Iterable[Any]) -> Iterator[Any]:
    """Yield events; if their iterator raises, yield an EventError that says so, and end."""
    count = 0
    try:
        for event in events:
            count += 1
            yield event
    except Exception as error:  # a generator may raise anything
        ended = EventError(
            f"{call}: the iterable of events raised {type(error).__name__} after {count:,} of "
            "them; these were handled"
        )
        ended.__cause__ = error
        yield ended


def _without_event(call: str, parts: Mapping[str, Any]) -> str:
    """Return the reason to refuse a call without an event, with the right call."""
    for key in ("name", "event"):
        if isinstance(name := parts.get(key), str):
            right = f'{call}("{storable(name, 80)}", data={{...}})'
            return f"{call}: the name of an event is the first argument; write {right}"
    return f'{call}: takes an event; write {call}("order complete", data={{...}})'


def _too_many(call: str, event: object, more: Sequence[object]) -> str:
    """Return the reason to refuse positional arguments after the event, with the right call."""
    name = storable(event, 80) if isinstance(event, str) else "order complete"
    right = f'{call}("{name}", data={{...}})'
    if len(more) == 1 and isinstance(more[0], Mapping):
        return f"{call}: the parts of an event are given by name; write {right}"
    return f"{call}: takes one event, and its parts by name; write {right}"
