"""The calls of hooks that are under way, and the claims before them.

A claim runs in the session that holds the leases. So whatever it has written was written while the
leases were held, and whoever takes one over later finds it.
"""

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any, Final

from walker_collector.errors import SpoolError
from walker_collector.spool.base import Claimed, Lease, LeaseLost, StalePeople
from walker_collector.spool.call_marks import marks_of_people
from walker_collector.spool.postgres.call_slots import CallSlots
from walker_collector.spool.postgres.lease_session import LeaseSession
from walker_collector.spool.postgres.number_chunks import chunks_of
from walker_collector.spool.postgres.roster import living_of
from walker_collector.spool.postgres.sessions import Database
from walker_collector.spool.processes.files import SpoolBusy
from walker_collector.spool.shards import shards_of

_BITS: Final = 63
"""Bits that stand for shards in the row of a call; shards that share one are looked at together."""


@lru_cache(4096)
def lease_of(destination: str, shard: int) -> Lease:
    """Return the lease of a shard, made once: each claim asks for many."""
    return Lease(destination, shard)


class Claims:
    """The claims of this process; thread-safe.

    `hold` tells whether all of these leases are held, by the session that there is.
    """

    def __init__(
        self, session: LeaseSession, shards: int, hold: Callable[[set[Lease]], bool]
    ) -> None:
        self._session = session
        self._shards = shards
        self._hold = hold
        self._numbers = itertools.count(1)
        self._slots = CallSlots()

    def claim(self, destination: str, entries: Mapping[int, str], version: int) -> Claimed:
        """Claim a call with these entries, until `end`; see `DurableSpool.claim`.

        Raises LeaseLost where the session is lost, and SpoolBusy where the server cannot do it just
        now: no call begins without a claim.
        """
        number = next(self._numbers)

        def work(database: Database) -> Claimed:
            # With the turn of the session: it is not made anew in the meantime.
            shards = shards_of(entries, self._shards)
            if not self._hold({lease_of(destination, shard) for shard in shards}):
                raise LeaseLost(f"destination {destination}: another process delivers now")
            call = {
                "process": self._session.token,
                "slot": self._slots.take(number),
                "number": number,
                "destination": destination,
                "shards": sum({1 << shard % _BITS for shard in shards}),
                "version": version,
            }
            return _claim(database, call, entries)

        try:
            return self._session.run(work)
        except (LeaseLost, StalePeople):
            self._slots.end(number)
            raise
        except SpoolError as error:
            self._slots.end(number)
            kind = SpoolBusy if self._session.token else LeaseLost
            raise kind(str(error)) from error

    def end(self, number: int) -> None:
        """Note that a call is over; that is written with another call, or by `write_ended`."""
        self._slots.end(number)

    def write_ended(self) -> None:
        """Write the ends of calls, if there are any."""
        with self.ending() as ended:
            if ended is not None:
                self._session.run(lambda database: database.run("clear_calls", ended))

    @contextmanager
    def ending(self) -> Iterator[tuple[str, list[int]] | None]:
        """Give the values of `clear_calls`, to be run within the block; None: no call is over."""
        with self._slots.clearing() as slots:
            yield (self._session.token, slots) if slots else None

    def keep(self, database: Database, before: str, now: str) -> None:
        """Give the calls under way the new name of this process: its session was lost."""
        database.run("keep_calls", (now, before, self._slots.in_use()))

    def close(self) -> None:
        """Delete the rows of this process."""
        with suppress(SpoolError):  # whoever takes a lease over does
            token = self._session.token
            self._session.run(lambda database: database.run("delete_calls_of", ([token],)))


def _claim(database: Database, call: dict[str, Any], entries: Mapping[int, str]) -> Claimed:
    people = list({*entries.values()} - {""})
    call["marks"] = _array(marks_of_people(people))
    ((version, any_others, there),) = database.quick_rows("claim", call | chunks_of(entries))
    erasing: Collection[str] = ()
    busy: Collection[str] = ()
    if any_others and version == call["version"]:
        ((version, erasing, busy),) = database.rows("claim_beside", call | {"people": people})
    if version != call["version"]:
        raise StalePeople("another process has changed what is known of people")
    gone = set() if there == len(entries) else _gone(database, call["destination"], entries)
    return Claimed(call["number"], gone, {*erasing}, {*busy} - {*erasing})


def _gone(database: Database, destination: str, entries: Mapping[int, str]) -> set[int]:
    wanted = {"destination": destination, "seqs": list(entries)}
    return set(entries) - {seq for (seq,) in database.rows("still_to_go", wanted)}


def _array(numbers: Iterable[int]) -> str:
    """Return numbers as an array of SQL, in a fifth of the time that psycopg takes for a list."""
    return f"{{{','.join(map(str, numbers))}}}"


def end_calls_of_the_dead(database: Database) -> None:
    """Delete the calls of processes that have ended."""
    # In this order: a process has its lock before its first call.
    callers = {process for (process,) in database.rows("callers")}
    if dead := callers - living_of(database, callers):
        database.run("delete_calls_of", (list(dead),))


def calls_of(database: Database, people: Collection[str] | None) -> set[tuple[str, int]]:
    """Return the calls under way with events of these people (None: of anybody)."""
    rows = (
        database.rows("calls")
        if people is None
        else database.rows("calls_of", (marks_of_people(people),))
    )
    living = living_of(database, {process for process, _ in rows}) if rows else set()
    return {(process, number) for process, number in rows if process in living}
