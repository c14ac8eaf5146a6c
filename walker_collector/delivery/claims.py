"""Claims: the check before a call of a hook, while several processes use a spool.

Leases spread the work; a claim decides. It is one short write transaction before a call of a hook,
so it comes before or after every statement of consent and every erasure, of whatever process: what
was stated before counts, and whoever states something later sees the call and waits for its end.
"""

import time
from collections.abc import Callable, Collection, Sequence
from typing import Final

from walker_collector.delivery.outcome import NOT_ATTEMPTED, Outcome
from walker_collector.delivery.task import Task
from walker_collector.errors import SpoolError
from walker_collector.people.consent import ConsentStore
from walker_collector.spool import DurableSpool, LeaseLost, SpoolBusy, StalePeople

_VALID: Final = 1.0
"""Seconds. A process may be stopped between its claim and its call: then it claims again."""
_UNWRITTEN: Final = -1
"""Stands for the number of a claim that could not be written."""
_BUSY: Final = Outcome("retry", "a call for its person is under way", after=0.05, postponed=True)
"""After an identity merge: another process delivers older events of the session."""
_ERASING: Final = Outcome("retry", "its person is being erased", after=1.0, postponed=True)


class Claim:
    """The claim of one batch: made before its first call, and anew when people have changed.

    `follow_joins` notes the merges of people that a version includes, so that no entry of a batch
    overtakes those that have become its person's.
    """

    def __init__(
        self,
        destination: str,
        spool: DurableSpool,
        consents: ConsentStore,
        revoked: set[int],
        follow_joins: Callable[[], None],
    ) -> None:
        self._destination = destination
        self._follow_joins = follow_joins
        self._spool = spool
        self._consents = consents
        self._revoked = revoked
        self._number: int | None = None
        self._until = 0.0

    def hold(self, tasks: Sequence[Task]) -> None:
        """Claim the calls for these tasks, unless they are claimed. Raises SpoolError.

        Entries that the spool has no more are revoked; those of people who are being erased wait.
        """
        if self._number is not None:
            if time.monotonic() < self._until and not self._consents.is_stale:
                return
            self.end()
        left = [task for task in tasks if task.outcome is NOT_ATTEMPTED]
        self._until = time.monotonic() + _VALID
        self._consents.refresh()
        while self._number is None:
            version = self._consents.known_version  # first: see `follow_joins`
            entries = {task.entry[0]: self._consents.canonical(task.entry[1]) for task in left}
            self._follow_joins()
            try:
                claimed = self._spool.claim(self._destination, entries, version)
            except StalePeople:
                self._consents.refresh(surely=True)
                continue
            except (LeaseLost, SpoolBusy):
                raise
            except SpoolError:  # the file is lost, or the disk full: nobody can state anything
                self._number = _UNWRITTEN
                return
            self._number = claimed.number
        self._revoked |= claimed.gone
        if claimed.erasing or claimed.busy:
            self._postpone(left, claimed.erasing, _ERASING)
            self._postpone(left, claimed.busy, _BUSY)

    def _postpone(self, tasks: Sequence[Task], people: Collection[str], outcome: Outcome) -> None:
        for task in tasks:
            if task.entry[1] in people or self._consents.canonical(task.entry[1]) in people:
                task.outcome, task.item = outcome, None

    def end(self) -> None:
        """End the claim: its calls are over."""
        if self._number not in (None, _UNWRITTEN):
            self._spool.end_claim(self._number)
        self._number = None
