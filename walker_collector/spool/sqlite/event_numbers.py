"""The numbers of events in a spool file, in the order of their commits."""

from collections.abc import Callable

from walker_collector.spool.processes.page import SEQ
from walker_collector.spool.sqlite.file_core import FileCore


class EventNumbers:
    """Gives numbers to the events that this process appends, within its transactions.

    `on_foreign` is called by `tell_of_foreign` if another process has given numbers since it was
    called last: see `DurableSpool.join`.
    """

    def __init__(self, core: FileCore) -> None:
        self._core = core
        self.on_foreign: Callable[[], None] = lambda: None
        self._expected = core.last_old + 1
        """The next number, if no other process appends."""
        self._foreign = False

    def take(self, count: int) -> range:
        """Reserve numbers before events are written: none is ever given twice."""
        words = self._core.words
        first = words[SEQ] + 1
        words[SEQ] += count
        if first != self._expected:
            self._foreign = True
        self._expected = first + count
        return range(first, first + count)

    def give_back(self, seqs: range, used: int) -> range:
        """Give back the last of the numbers just reserved, which nothing was written under.

        Returns those in use.
        """
        left = len(seqs) - used
        self._core.words[SEQ] -= left
        self._expected -= left
        return seqs[:used]

    def tell_of_foreign(self) -> None:
        """Call `on_foreign` if another process has given numbers in between."""
        if self._foreign:
            self._foreign = False
            self.on_foreign()
