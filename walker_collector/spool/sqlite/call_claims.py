"""Claims of calls of hooks: rows in the spool file, from before each call until its end.

A claim is a transaction, so that it comes before or after every commit of any process.
"""

import itertools
import sqlite3
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress

from walker_collector.spool.base import Claimed, Lease, LeaseLost
from walker_collector.spool.processes.members import living_processes
from walker_collector.spool.processes.membership import SpoolMembership
from walker_collector.spool.shards import shards_of
from walker_collector.spool.sqlite import claim_tables
from walker_collector.spool.sqlite.file_core import FileCore


class CallClaims:
    """The claims of this process. `membership` is its part in the deliveries; None: it has none."""

    def __init__(self, core: FileCore) -> None:
        self._core = core
        self.membership: SpoolMembership | None = None
        self._numbers = itertools.count(1)
        self.ended: deque[int] = deque()
        """The calls that are over, until this is written."""

    def claim(self, destination: str, entries: Mapping[int, str], version: int) -> Claimed:
        """Claim a call with these events; see `DurableSpool.claim`."""
        core, member = self._core, self.membership
        if member is None:
            raise LeaseLost(f"spool {core.path}: no deliveries have begun")
        call = (member.token, next(self._numbers))
        number = core.number_of(destination) if core.shards > 1 else None
        shards = self._shards_of(entries)

        def check_leases() -> None:
            # Within the transaction: nobody can have taken a lease over and claimed since.
            for shard in shards:
                if not member.holds(Lease(destination, shard)):
                    raise LeaseLost(f"destination {destination}: another process delivers now")

        def at_once(db: sqlite3.Connection) -> bool:
            check_leases()
            return claim_tables.claim_at_once(db, call, destination, entries, version)

        def work(db: sqlite3.Connection) -> Claimed:
            check_leases()
            return claim_tables.claim(db, call, destination, entries, version, number)

        if number is None and core.commits.run(at_once, single=True):
            return Claimed(call[1], set(), set(), set())
        claimed: Claimed = core.commits.run(work)
        return claimed

    def _shards_of(self, entries: Mapping[int, str]) -> set[int]:
        shards = self._core.shards
        return {0} if shards == 1 else shards_of(entries, shards)

    def write_ended(self) -> None:
        """Write the ends of calls, if there are any."""
        if self.ended:
            self._core.commits.run(self.delete_ended, self.note_written)

    def delete_ended(self, db: sqlite3.Connection) -> list[int]:
        """Delete the calls that are over, and return their numbers for `note_written`."""
        numbers = list(self.ended)
        if numbers and self.membership is not None:
            claim_tables.end(db, self.membership.token, numbers)
        return numbers

    def note_written(self, numbers: Sequence[int]) -> None:
        """Note that the ends of calls are committed."""
        for number in numbers:
            with suppress(ValueError):  # written by two writes of a group
                self.ended.remove(number)

    def end_calls_of_the_dead(self) -> None:
        """Delete the calls of processes that were killed."""
        # Looked for within the transaction: whoever has a call in the table was there before it.
        path = self._core.files.real
        self._core.commits.run(lambda db: claim_tables.keep_calls_of(db, living_processes(path)))

    def calls_of(self, people: Collection[str] | None) -> set[tuple[str, int]]:
        """Return the calls of living processes with events of these people; None: of anybody."""
        calls = claim_tables.calls_of(self._core.rows(claim_tables.CALLS), people)
        if not calls:
            return calls
        living = self._core.files.living()
        return {(process, number) for process, number in calls if process in living}
