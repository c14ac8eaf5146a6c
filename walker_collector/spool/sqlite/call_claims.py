"""Claims of calls of hooks: what a process does under the write lock before each call.

A claim reads the tables only if something has changed in them that may concern it. Mostly nothing
has, as the figures that all processes share tell; then a claim is a lock and a few bytes in a file.
"""

import itertools
import json
import sqlite3
from collections import deque
from collections.abc import Collection, Mapping, Set
from contextlib import suppress
from typing import Final

from walker_collector.errors import SpoolError
from walker_collector.spool.base import Claimed, Lease, LeaseLost, StalePeople
from walker_collector.spool.call_marks import mark_of_person, marks_of_people
from walker_collector.spool.person_keys import claimed as claimed_key
from walker_collector.spool.processes.calls_file import calls_under_way, forget_calls_of_others
from walker_collector.spool.processes.membership import SpoolMembership
from walker_collector.spool.processes.page import MOVED, PEOPLE
from walker_collector.spool.shards import shard_of
from walker_collector.spool.sqlite.event_tables import runs_of
from walker_collector.spool.sqlite.file_core import FileCore
from walker_collector.spool.sqlite.people_tables import version_of

_ERASING: Final = "SELECT person FROM pending_erasures"
# An event that a command has dropped at one destination may be there still, for others.
_PENDING: Final = """
SELECT e.seq FROM events e LEFT JOIN deliveries d ON d.seq = e.seq AND d.destination = ?3
WHERE e.seq BETWEEN ?1 AND ?2 AND coalesce(d.state, 0) < 2
  AND e.subscribers IN (SELECT number FROM subscribers WHERE destination = ?3)
"""
_ALIASES: Final = (
    "SELECT person, alias FROM aliases WHERE person IN (SELECT value FROM json_each(?))"
)


class CallClaims:
    """The claims of this process. `membership` is its part in the deliveries; None: it has none."""

    def __init__(self, core: FileCore) -> None:
        self._core = core
        self.membership: SpoolMembership | None = None
        self._numbers = itertools.count(1)
        self._ended: deque[int] = deque()
        self._changes = self._version = -1
        """The count of the changes of people that were looked at, and their version then."""
        self._erasing: set[str] = set()

    def claim(self, destination: str, entries: Mapping[int, str], version: int) -> Claimed:
        """Claim a call with these events; see `DurableSpool.claim`."""
        core, member = self._core, self.membership
        if member is None:
            raise LeaseLost(f"spool {core.path}: no deliveries have begun")
        number = core.number_of(destination) if core.shards > 1 else None

        def work(db: sqlite3.Connection) -> Claimed:
            core.files.check()
            # With the lock: nobody can have taken a lease over and claimed since.
            for shard in self._shards_of(entries):
                if not member.holds(Lease(destination, shard)):
                    raise LeaseLost(f"destination {destination}: another process delivers now")
            self._look_at_people(db, version)
            people = {*entries.values()} - {""}
            erasing = self._erasing & people
            busy = set() if number is None else self._busy(db, member, destination, people)
            gone = self._gone(db, destination, number, entries.keys())
            # Nobody waits for a call that leaves them out: neither an erasure nor another process.
            marks = marks_of_people(people - erasing - busy if erasing or busy else people)
            call = next(self._numbers)
            member.calls.begin(call, destination, marks)
            return Claimed(call, gone, erasing, busy)

        claimed: Claimed = core.commits.alone(work)
        return claimed

    def may_deliver(self, destination: str) -> bool:
        """Return whether this process delivers to a destination, of one shard alone."""
        member = self.membership
        return member is not None and member.holds(Lease(destination, 0))

    def _shards_of(self, entries: Mapping[int, str]) -> set[int]:
        shards = self._core.shards
        return {0} if shards == 1 else {shard_of(key, seq, shards) for seq, key in entries.items()}

    def _look_at_people(self, db: sqlite3.Connection, version: int) -> None:
        """Raise StalePeople unless this is the version of what is known of people."""
        changes = self._core.page.words[PEOPLE]
        # Whoever calls an erasure off does not count that.
        if changes == self._changes and version == self._version and not self._erasing:
            return
        if version_of(db) != version:
            raise StalePeople("another process has changed what is known of people")
        self._erasing = {person for (person,) in db.execute(_ERASING).fetchall()}
        self._changes, self._version = changes, version

    def _gone(
        self, db: sqlite3.Connection, destination: str, number: int | None, seqs: Set[int]
    ) -> set[int]:
        """Return the events that do not wait for a destination any more."""
        if number is None:  # nobody else delivers to it
            if min(seqs, default=0) > self._core.page.words[MOVED]:
                return set()
            number = self._core.number_of(destination)
        found = (db.execute(_PENDING, (*run, number)).fetchall() for run in runs_of(seqs))
        return {*seqs} - {seq for rows in found for (seq,) in rows}

    def _busy(
        self,
        db: sqlite3.Connection,
        member: SpoolMembership,
        destination: str,
        people: Collection[str],
    ) -> set[str]:
        """Return those of these people that another process has a call under way for."""
        marks: set[int] = set()
        for call in calls_under_way(self._core.files.real):
            if call.destination == destination and call.process != member.token:
                marks.update(call.people)
        if not marks:
            return set()
        # Their sessions and devices may have been somebody else's when the call began.
        keys = [(person, person) for person in people]
        keys += db.execute(_ALIASES, (json.dumps(list(people)),)).fetchall()
        return {
            person
            for person, key in keys
            if mark_of_person(key) in marks or mark_of_person(claimed_key(key)) in marks
        }

    def end(self, number: int) -> None:
        """Note that a call is over; it is written with the next acknowledgement."""
        self._ended.append(number)

    def write_ended(self) -> None:
        """Write the ends of calls, if there are any."""
        if self._ended:
            self._core.commits.alone(lambda _: self.note_ended())

    def note_ended(self) -> None:
        """Write the ends of calls. Called with the write lock held."""
        numbers = list(self._ended)
        if not numbers or self.membership is None:
            return
        with suppress(SpoolError):  # they are written with others
            self.membership.calls.end(numbers)
            for number in numbers:
                with suppress(ValueError):
                    self._ended.remove(number)

    def calls_of(self, people: Collection[str] | None) -> set[tuple[str, int]]:
        """Return the calls of living processes with events of these people; None: of anybody."""
        calls = calls_under_way(self._core.files.real)
        if people is not None:
            marks = {*marks_of_people(people)}
            calls = [call for call in calls if not marks.isdisjoint(call.people)]
        if not calls:
            return set()
        living = self._core.files.living()
        return {(call.process, call.number) for call in calls if call.process in living}

    def end_calls_of_the_dead(self) -> None:
        """Forget the calls of processes that were killed."""
        # Looked for with the lock: whoever has a call was there before it.
        files = self._core.files
        self._core.commits.alone(lambda _: forget_calls_of_others(files.real, files.living))
