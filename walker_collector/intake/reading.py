"""Reading the input of an application, whose objects may raise anything."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from walker_collector.errors import EventError, WalkerError
from walker_collector.events import check_parts

T = TypeVar("T")


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
