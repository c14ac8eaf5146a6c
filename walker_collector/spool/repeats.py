"""Events with ids that came before: a client has sent them again, as it got no answer.

They were accepted the first time. So they get the number of the first, and are not stored.

What became of an event is remembered with its id, as long as the id: see `RecentEvent`. An event
that every destination gets costs nothing for that.
"""

from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Final, NamedTuple

from attrs import frozen

from walker_collector.events import decode
from walker_collector.spool.base import DeadLetter, NewEvent, SpoolUpdate

_MARK_BYTES: Final = 16
_UNSTORED_MAX: Final = 500
_UNTRUSTED: Final = "\0"
_COMMAND: Final = "\1"
"""Stand before an id of an untrusted sender, and of a command; no id of an event has them."""


class Unstored(NamedTuple):
    """An event that no destination takes: the mark of its id, its time (ms), and each refusal.

    `left_out`: the destinations, each with "ignored" or "dropped".
    """

    mark: bytes
    at: int
    left_out: Mapping[str, str]


class UnstoredEvents:
    """Events that no destination takes, until they are written together by `write`.

    A commit for each would cost more than all the rest of them.
    """

    def __init__(self, write: Callable[[Sequence[Unstored]], object]) -> None:
        self._write = write
        self._events: list[Unstored] = []

    def keep(self, events: Sequence[Unstored]) -> None:
        """Add events; write all if they have become many."""
        self._events.extend(events)
        if len(self._events) >= _UNSTORED_MAX:
            self.write()

    def write(self) -> None:
        """Write the events, if there are any."""
        events, self._events = self._events, []
        if events:
            self._write(events)


class RecentOutcome(NamedTuple):
    """The outcome of an event at a destination that did not get it, and its time (ms)."""

    kind: str
    at: int
    reason: str = ""


@frozen
class RecentEvent:
    """The trace of an event that came with an id lately, at `at` (ms since 1970).

    seq: its number; it may be stored under it still. destinations: those that it was stored for.
    outcomes: destinations that did not get it, each with "ignored", "empty", "dropped", "deleted"
    or "erased". Any other destination got it, unless it is stored still.
    """

    at: int
    seq: int
    destinations: frozenset[str]
    outcomes: Mapping[str, RecentOutcome]


class OutcomeAt(NamedTuple):
    """The outcome of an event at a destination that did not get it, at a time (ms)."""

    seq: int
    body: bytes
    destination: str
    kind: str
    at: int
    reason: str = ""


def outcome_at(destination: str, update: SpoolUpdate) -> OutcomeAt:
    """Return the outcome that an update has."""
    seq, _, _, body = update.entry
    reason = update.delivery.reason
    return OutcomeAt(seq, body, destination, update.outcome, update.at, reason)


def outcome_of_deleted(letter: DeadLetter, at: int) -> OutcomeAt:
    """Return the outcome of a dead letter that is deleted."""
    return OutcomeAt(letter.seq, letter.body, letter.destination, "deleted", at)


def mark_of_id(id_: str, *, trusted: bool = True, command: bool = False) -> bytes:
    """Return a stand-in for an event's id: a short hash.

    An untrusted sender that guesses an id must not keep the event of a trusted one away.
    """
    kind = (_COMMAND if command else "") + ("" if trusted else _UNTRUSTED)
    text = f"{kind}{id_}" if kind else id_
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_MARK_BYTES).digest()


def marks_of_event(body: bytes) -> tuple[bytes, bytes] | None:
    """Return the marks that the id of a stored event may have: of a trusted sender, or another.

    None: its JSON is damaged.
    """
    try:
        id_ = decode(body)["id"]
    except (ValueError, KeyError, TypeError):
        return None
    return possible_marks(id_) if isinstance(id_, str) else None


def possible_marks(id_: str) -> tuple[bytes, bytes]:
    """Return the marks of an id from a trusted sender, and from any other."""
    return mark_of_id(id_), mark_of_id(id_, trusted=False)


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
