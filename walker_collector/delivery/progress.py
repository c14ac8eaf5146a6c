"""How far the delivery of one entry is, part by part."""

from attrs import define

from walker_collector.delivery.backlog import Backlog
from walker_collector.spool import Entry


@define(eq=False)  # not frozen: one is made per event, which takes three times as long
class EntryProgress:
    """How far the delivery of one entry is; see hookspecs.Progress."""

    _backlog: Backlog
    _entry: Entry

    def state(self, part: str) -> str | None:
        return self._backlog.attempt_of(self._entry[0]).parts.get(part)

    def begin(self, part: str) -> None:
        self._backlog.mark(self._entry, part, "begun")

    def finish(self, part: str) -> None:
        self._backlog.mark(self._entry, part, "done")
