"""The progress of one entry's delivery, part by part, kept in the spool."""

from collections.abc import Mapping

from attrs import define

from walker_collector.config import PartState
from walker_collector.delivery.pending import PendingEvents
from walker_collector.spool import Entry


@define(eq=False)  # one is made per event, and a frozen class would take three times as long
class EntryProgress:
    """The progress of one entry's delivery; see hookspecs.Progress."""

    _pending: PendingEvents
    _entry: Entry
    parts: Mapping[str, PartState]
    _refusals: Mapping[str, str]

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
        after = self._pending.mark(self._entry, part, state, reason)
        self.parts, self._refusals = after.parts, after.refusals
