"""Events that are stored together."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from walker_collector.errors import SpoolFull, WalkerError
from walker_collector.intake.deciding import Prepared, Undecided
from walker_collector.intake.open_keys import OpenKeys
from walker_collector.intake.storing import Storing
from walker_collector.results import PushResult
from walker_collector.spool import Position
from walker_collector.spool.repeats import Unstored

_GROUP: Final = 1_000
"""Events that are stored with one commit."""
_UNDECIDED: Final = PushResult("")
"""Stands for the result of an event that is not decided yet."""


class EventGroup:
    """Events that are stored together; one that is refused stops no others.

    `keep_unstored` and `keep_positions` are those of a sink. `as_of`: that of the origin of the
    events. `waits`: for room; a group that has waited in vain waits no more. `is_full`: there was
    no room for all of them. `failure`: the error for which the last ones could not be stored, which
    is none of theirs.
    """

    def __init__(
        self,
        storing: Storing,
        keep_unstored: Callable[[Sequence[Unstored]], object],
        keep_positions: Callable[[Sequence[Position]], object] = lambda positions: None,
        *,
        as_of: int | None = None,
        waits: bool = True,
    ) -> None:
        self.results: list[PushResult | WalkerError] = []
        self.is_full = False
        self.failure: WalkerError | None = None
        self.unstored: list[Unstored] = []
        """Events that steps have left out since the last `store`."""
        self.is_decided = True
        """Whether all events since the last `store` are decided; the others are when stored."""
        self.open_keys = OpenKeys()
        """The keys of the others."""
        self._keep_unstored = keep_unstored
        self._keep_positions = keep_positions
        self._storing = storing
        self._as_of = as_of
        self._may_wait = waits
        self._items: dict[int, Prepared | Undecided] = {}
        """Events to store, by the places of their results."""
        self._passed: dict[str, tuple[int, Position]] = {}
        """By input, the position after an item that is not stored, and the place of its result."""

    def waits(self) -> bool:
        """Return whether the next event may wait for room."""
        return self._may_wait and not self.is_full

    def add(self, item: Prepared | Undecided, position: Position | None = None) -> None:
        """Add an event, and store those before it if they are many."""
        if position is not None:
            if self.failure is not None:
                self.refuse(self.failure)  # its input would have a gap
                return
            if self._passed:
                self._passed.pop(position.input, None)  # this one is further on
        results, items = self.results, self._items
        items[len(results)] = item
        if isinstance(item, tuple):  # as most are: a test for the other class takes longer
            if position is not None:
                item[0].position = position
            results.append(item[1])
        else:
            item.position = position
            self.is_decided = False
            self.open_keys.add(item.keys)
            results.append(_UNDECIDED)
        if len(items) >= _GROUP:
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
        self._store_items()
        if self._passed:
            self._store_passed()

    def _store_items(self) -> None:
        items, self._items = self._items, {}
        if self.is_decided:
            self._store_decided(items)  # type: ignore[arg-type]  # as that says
        else:
            self.is_decided, self.open_keys = True, OpenKeys()
            self._store_decided(self._decided(items))

    def _decided(self, items: Mapping[int, Prepared | Undecided]) -> Mapping[int, Prepared]:
        """Decide on events, and store them if there is room for all; return those left to store."""
        decided: Sequence[Prepared | WalkerError]
        try:
            decided, is_stored = self._storing.store_undecided(list(items.values()), self._as_of)
        except WalkerError as error:
            decided, is_stored = [error] * len(items), True
        left: dict[int, Prepared] = {}
        for place, item in zip(items, decided, strict=True):
            if isinstance(item, tuple):
                self.results[place] = item[1]
                left[place] = item
            else:
                self.results[place] = self.failure = _without_frames(item)
        return {} if is_stored else left

    def _store_decided(self, items: Mapping[int, Prepared]) -> None:
        places, prepared = list(items), list(items.values())
        records = [record for record, _, _ in prepared]
        version = min([version for _, _, version in prepared], default=0)
        done = 0
        while done < len(records):
            try:
                done += self._storing.store(
                    records[done:], version, waits=self.waits(), as_of=self._as_of
                )
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
