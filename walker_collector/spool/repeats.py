"""Events whose ids came before: a client has sent them again, as it got no answer.

They were accepted the first time. So they get the number of the first, and are not stored.
"""

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Final

from walker_collector.spool.base import NewEvent

_MARK_BYTES: Final = 16
_UNTRUSTED: Final = "\0"
_COMMAND: Final = "\1"
"""Stand before an id of an untrusted sender, and of a command; no id of an event has them."""


def mark_of_id(id_: str, *, trusted: bool = True, command: bool = False) -> bytes:
    """Return a stand-in for an event's id, short whatever its length, and nothing to be read.

    An untrusted sender that guesses an id must not keep the event of a trusted one away.
    """
    kind = (_COMMAND if command else "") + ("" if trusted else _UNTRUSTED)
    text = f"{kind}{id_}" if kind else id_
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_MARK_BYTES).digest()


def marks_of(events: Sequence[NewEvent]) -> list[bytes]:
    """Return the marks of those events that have one."""
    return [event.mark for event in events if event.mark]


def without_repeats(events: Sequence[NewEvent], known: Mapping[bytes, int]) -> list[NewEvent]:
    """Return the events to store: of those with the same mark the first, and none that is known."""
    seen = set(known)
    new = []
    for event in events:
        if event.mark:
            if event.mark in seen:
                continue
            seen.add(event.mark)
        new.append(event)
    return new


def note_repeats(
    events: Sequence[NewEvent], stored: Mapping[bytes, int], known: Mapping[bytes, int]
) -> None:
    """Tell each event which one it repeats, if any.

    `stored` has the numbers of the marks that were stored now, `known` of those before.
    """
    first = dict(stored)
    for event in events:
        is_new = not event.mark or first.pop(event.mark, None) is not None
        event.repeats = 0 if is_new else known.get(event.mark) or stored[event.mark]
