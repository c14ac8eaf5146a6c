"""The progress of one entry's delivery, part by part, kept in the spool."""

from collections.abc import Mapping, Sequence
from typing import Final, cast

from msgspec import Struct

from walker_collector.config import PartState
from walker_collector.delivery.pending_state import PendingState
from walker_collector.delivery.task import BatchInProgress
from walker_collector.errors import RetryLater, SpoolError
from walker_collector.hookspecs import Item
from walker_collector.spool import FRESH, Entry, SpoolUpdate, UpdateKind
from walker_collector.text import storable

_PART_MAX: Final = 200
"""Characters of a part's name."""


class EntryProgress(Struct, eq=False, gc=False):  # one is made per event
    """The progress of one entry's delivery; see hookspecs.Progress.

    When called, it says whether the entry, at an index of its batch, may still be sent.
    """

    _state: PendingState
    _entry: Entry
    parts: Mapping[str, PartState]
    _refusals: Mapping[str, str]
    _batch: BatchInProgress
    _at: int

    def __call__(self) -> bool:
        return self._batch.may_proceed(self._at)

    def of_all(self, items: Sequence[Item]) -> bool:
        """Return whether all of some items of its batch may still be sent."""
        places = [cast(EntryProgress, item.context.proceed)._at for item in items]
        return self._batch.may_all_proceed(places)

    def state(self, part: str) -> PartState | None:
        return self.parts.get(part)

    def reason(self, part: str) -> str:
        return self._refusals.get(part, "")

    def begin(self, part: str) -> None:
        self._mark(part, "begun")

    def abandon(self, part: str) -> None:
        self._mark(part, None)

    def finish(self, part: str) -> None:
        self._mark(part, "done")

    def reject(self, part: str, reason: str) -> None:
        self._mark(part, "rejected", reason)

    def _mark(self, part: str, state: PartState | None, reason: str = "") -> None:
        """Write the state of a part durably; None: not begun.

        Raises RetryLater after the delivery was given up (`timeout`), so that a call that hung
        goes no further when it returns. Raises SpoolError if it cannot be written: a part is then
        not begun, as its call is not made.
        """
        pending, entry = self._state, self._entry
        part, reason = storable(part, _PART_MAX), storable(reason)
        with pending.lock:
            self._check_in_flight()
            before = pending.attempts.get(entry[0], FRESH)
            after = pending.attempts[entry[0]] = before.with_part(part, state, reason)
        # If the delivery is given up right now, its outcome stands: only the parts change.
        update = SpoolUpdate(entry, UpdateKind.PROGRESSED, after, pending.now())
        try:
            # An older update of the entry would replace this one if it were written later.
            with pending.unacked.none_kept():
                self._check_in_flight()
                pending.spool.settle(pending.destination.id, [update])
        except SpoolError:
            if state == "begun":
                with pending.lock:
                    if pending.attempts.get(entry[0]) is after:
                        pending.attempts[entry[0]] = before
            raise
        self.parts, self._refusals = after.parts, after.refusals

    def _check_in_flight(self) -> None:
        if self._entry[0] not in self._state.in_flight:
            raise RetryLater("this delivery was given up")
