"""Events between reading and storing: one that was read, and those that are stored together."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from attrs import define

from walker_collector.errors import SpoolFull, WalkerError
from walker_collector.results import PushResult, Waiter
from walker_collector.spool import NewEvent, Position
from walker_collector.spool.repeats import Unstored

_GROUP: Final = 500
"""Events that are stored with one commit."""

Prepared = tuple[NewEvent, PushResult, int]
"""An event to store, its result, and the version of the consents that decided on it."""


@define(eq=False)
class ReadEvent:
    """An event or command as it was pushed, independent of the application's objects.

    `body` is the JSON of an event; a command has none. `at` is the time (ms) of the push. `waiter`
    is told the destinations' answers. `cancelled`: nobody waits for it any more; it is left
    out. `prepared` is the decision on it, once that is made.
    """

    event: Mapping[str, Any]
    body: bytes = b""
    at: int = 0
    mark: bytes = b""
    waiter: Waiter | None = None
    cancelled: bool = False
    prepared: Prepared | None = None


class EventGroup:
    """Events that are stored together; one that is refused stops no others.

    `store` is that of an intake, `keep_unstored` of its sink. `is_full`: there was no room for all
    of them.
    """

    def __init__(
        self,
        store: Callable[[Sequence[NewEvent], int], int],
        keep_unstored: Callable[[Sequence[Unstored]], object],
    ) -> None:
        self.results: list[PushResult | WalkerError] = []
        self.is_full = False
        self.unstored: list[Unstored] = []
        """Events that steps have left out since the last `store`."""
        self._keep_unstored = keep_unstored
        self._store = store
        self._records: dict[int, NewEvent] = {}
        self._version = 0
        """The version of the consents that decided on the first event."""

    def add(self, prepared: Prepared, position: Position | None = None) -> None:
        """Add an event, and store those before it if they are many."""
        record, result, version = prepared
        record.position = position
        if not self._records:
            self._version = version
        self._records[len(self.results)] = record
        self.results.append(result)
        if len(self._records) >= _GROUP:
            self.store()

    def store(self) -> None:
        """Store the events added since the last call; an error becomes the result of each."""
        if self.unstored:
            self._keep_unstored(self.unstored)
            self.unstored = []
        places, records = list(self._records), list(self._records.values())
        self._records.clear()
        done = 0
        while done < len(records):
            try:
                done += self._store(records[done:], self._version)
            except WalkerError as error:  # none of the rest has better luck
                for at in places[done:]:
                    self.results[at] = error
                self.is_full = isinstance(error, SpoolFull)
                break
