"""Events between reading and storing: one that was read, and those that are stored together."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from attrs import define

from walker_collector.errors import SpoolFull, WalkerError
from walker_collector.results import PushResult, Waiter
from walker_collector.spool import NewEvent, Position
from walker_collector.spool.repeats import Unstored

_GROUP: Final = 1_000
"""Events that are stored with one commit."""

Prepared = tuple[NewEvent, PushResult, int]
"""An event to store, its result, and the version of the consents that decided on it."""


@define(eq=False)
class ReadEvent:
    """An event or command as it was pushed, independent of the application's objects.

    `body` is the JSON of an event; in its place there may be a command. `at` is the time (ms) of
    the push. `waiter` is told the destinations' answers. `cancelled`: nobody waits for it any more;
    it is left out. `prepared` is the decision on it, once that is made.
    """

    body: bytes = b""
    at: int = 0
    mark: bytes = b""
    waiter: Waiter | None = None
    command: Mapping[str, Any] | None = None
    cancelled: bool = False
    prepared: Prepared | None = None


class EventGroup:
    """Events that are stored together; one that is refused stops no others.

    `store` is that of an intake, `keep_unstored` and `keep_positions` of its sink. `waits`: for
    room; a group that has waited in vain waits no more. `is_full`: there was no room for all of
    them. `failure`: the error for which the last ones could not be stored, which is none of theirs.
    """

    def __init__(
        self,
        store: Callable[..., int],
        keep_unstored: Callable[[Sequence[Unstored]], object],
        keep_positions: Callable[[Sequence[Position]], object] = lambda positions: None,
        *,
        waits: bool = True,
    ) -> None:
        self.results: list[PushResult | WalkerError] = []
        self.is_full = False
        self.failure: WalkerError | None = None
        self.unstored: list[Unstored] = []
        """Events that steps have left out since the last `store`."""
        self._keep_unstored = keep_unstored
        self._keep_positions = keep_positions
        self._store = store
        self._may_wait = waits
        self._records: dict[int, NewEvent] = {}
        self._passed: dict[str, tuple[int, Position]] = {}
        """By input, the position after an item that is not stored, and the place of its result."""
        self._version = 0
        """The version of the consents that decided on the first event."""

    def waits(self) -> bool:
        """Return whether the next event may wait for room."""
        return self._may_wait and not self.is_full

    def add(self, prepared: Prepared, position: Position | None = None) -> None:
        """Add an event, and store those before it if they are many."""
        record, result, version = prepared
        record.position = position
        if position is not None and self._passed:
            self._passed.pop(position.input, None)  # this one is further on
        if not self._records:
            self._version = version
        self._records[len(self.results)] = record
        self.results.append(result)
        if len(self._records) >= _GROUP:
            self.store()

    def pass_over(self, position: Position) -> None:
        """Keep the position after the last item with a result, of which nothing is stored."""
        self._passed[position.input] = (len(self.results) - 1, position)

    def refuse(self, error: WalkerError) -> None:
        """Give the next event this error as its result."""
        self.results.append(_without_frames(error))
        self.is_full |= isinstance(error, SpoolFull)

    def store(self) -> None:
        """Store the events added since the last call; an error becomes the result of each."""
        if self.unstored:
            self._keep_unstored(self.unstored)
            self.unstored = []
        self._store_records()
        if self._passed:
            self._store_passed()

    def _store_records(self) -> None:
        places, records = list(self._records), list(self._records.values())
        self._records.clear()
        done = 0
        while done < len(records):
            try:
                done += self._store(records[done:], self._version, waits=self.waits())
            except WalkerError as error:  # none of the rest has better luck
                _without_frames(error)
                for at in places[done:]:
                    self.results[at] = error
                self.is_full |= isinstance(error, SpoolFull)
                self.failure = error
                break

    def _store_passed(self) -> None:
        """Store the positions after events that are passed over, if all before them are stored."""
        passed, self._passed = self._passed, {}
        try:
            if self.failure is None:
                self._keep_positions([position for _, position in passed.values()])
        except WalkerError as error:
            self.failure = _without_frames(error)
        if self.failure is not None:
            for at, _ in passed.values():
                self.results[at] = self.failure


def _without_frames(error: WalkerError) -> WalkerError:
    """Drop the traceback of an error that becomes a result, as its frames refer to the results.

    Such circles are left to Python's garbage collector, which stops all threads while it looks
    through them: for some hundred results longer than an event loop should stand still.
    """
    error.__context__ = None
    return error.with_traceback(None)
