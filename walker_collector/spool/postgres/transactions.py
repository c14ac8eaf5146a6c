"""A transaction of a group of writes, in as few round trips to the server as it can be.

Statements are sent one after the other without waiting, in libpq's pipeline mode. Only whoever
needs rows waits for them. A lone append takes two round trips: numbers, and all the rest.

Each wait is for a `Sync`: without it, a server does not count the time for which a transaction is
idle, and would keep the locks of a stopped process.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import psycopg
from attrs import frozen

from walker_collector.spool.base import Entry
from walker_collector.spool.postgres.heard import Figures
from walker_collector.spool.postgres.sessions import Database

_STOPPED: Final = "2s"
"""The server ends a transaction that has been idle for this time: others wait for it."""

MarkRow = tuple[bytes, int, int, tuple[int, ...], str | None]
"""A mark, with time (ms), number, destinations, and outcomes as JSON."""


@frozen
class Needs:
    """The needs of a write as its transaction begins: locks, numbers, and knowledge.

    events, size: numbers for so many events, and their bytes. alone: no other process appends or
    erases in the meantime. people: it changes what is known of people. marks: whether they came
    before. keys: the owners of these keys.
    """

    events: int = 0
    size: int = 0
    alone: bool = False
    people: bool = False
    marks: Sequence[bytes] = ()
    keys: Sequence[str] = ()


NOTHING: Final = Needs()


def settings_of(wait: float, *, full_sync: bool) -> dict[str, str]:
    """Return the server's settings for writes that wait for locks so many seconds."""
    lasting = {"synchronous_commit": "on"} if full_sync else {}
    return {
        # Statistics of a queue are of another moment, at which it may have been empty: by them, to
        # read and sort all of it looks cheap.
        "enable_seqscan": "off",
        "enable_bitmapscan": "off",
        "lock_timeout": f"{max(1, int(wait * 1000))}ms",
        "idle_in_transaction_session_timeout": _STOPPED,
        **lasting,
    }


class Transaction:
    """One transaction, within a pipeline of its connection.

    seq: the last number that was given. erasures, version: as this transaction leaves them.
    known: the number and time (ms) of each mark that came before. owners: person by alias.
    before: the figures as it began.
    """

    def __init__(
        self, database: Database, pipeline: psycopg.Pipeline, settings: Mapping[str, str]
    ) -> None:
        self._database = database
        self._pipeline = pipeline
        self.is_committing = False
        self.seq = self.erasures = self.version = 0
        self.known: dict[bytes, tuple[int, int]] = {}
        self.owners: dict[str, str] = {}
        self.before = Figures()
        self._settings = settings
        self._events: dict[tuple[int, ...], tuple[list[Any], ...]] = {}
        """The columns of events to be written: number, shard, time (ms), person and JSON."""
        self._states: list[tuple[int, int, int]] = []
        self._marks: dict[bytes, MarkRow] = {}
        self._taken = self._taken_size = 0
        self._unused = self._unused_size = 0
        self._deleted = self._deleted_size = 0
        self._changes = self._told = self._stamp = 0
        self._committed: psycopg.Cursor[Any] | None = None

    # --- the beginning ---------------------------------------------------------------------

    def begin(self, needs: Iterable[Needs], process: str, number: int) -> None:
        """Begin, and take the locks of all writes, in the one order that all processes have.

        This is the commit of that number of the process.
        """
        wanted = list(needs)
        self._taken = sum(item.events for item in wanted)
        self._taken_size = sum(item.size for item in wanted)
        self.later("begin")
        if self._database.is_pooled:  # else the session has them
            self.later("set_for_now", (list(self._settings), list(self._settings.values())))
        # First: nobody can ask for the outcome as long as the server may still come to it.
        self.later("note_commit", (process, number))
        taken = people = known = owners = None
        if self._taken or any(item.alone for item in wanted):
            taken = self._sent("take_numbers", {"count": self._taken, "size": self._taken_size})
        if any(item.people for item in wanted):
            people = self._sent("lock_people")
        figures = self._sent("figures")
        if marks := [mark for item in wanted for mark in item.marks]:
            known = self._sent("known_marks", (marks,))
        if keys := [key for item in wanted for key in item.keys]:
            owners = self._sent("owners", {"keys": keys})
        self._pipeline.sync()
        if taken is not None:
            ((self.seq,),) = taken.fetchall()
        if people is not None:
            ((self.version,),) = people.fetchall()
        seq, events, size, *rest = figures.fetchall()[0]
        count, added = self._taken, self._taken_size
        self.before = Figures(seq - count, events - count, size - added, *rest)
        self.erasures = self.before.erasures
        if known is not None:
            self.known = {mark: (seq, at) for mark, seq, at in known.fetchall()}
        if owners is not None:
            self.owners = dict(owners.fetchall())

    # --- what writes do --------------------------------------------------------------------

    def rows(self, name: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[Any]:
        """Return the rows of a statement, which sees all writes of before."""
        self.flush()
        cursor = self._sent(name, values)
        self._pipeline.sync()
        rows: list[Any] = cursor.fetchall()
        return rows

    def later(self, name: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> None:
        """Run a statement without waiting for it."""
        self._sent(name, values)

    def take(self, count: int) -> range:
        """Return the next numbers."""
        first = self.seq + 1
        self.seq += count
        return range(first, first + count)

    def give_back(self, count: int, size: int) -> None:
        """Note that so many of the needed numbers were not taken, nor so many bytes."""
        self._unused += count
        self._unused_size += size

    def add_events(
        self, subscribers: tuple[int, ...], entries: Sequence[Entry], shards: Sequence[int]
    ) -> None:
        """Add events for these destinations, each with its shard."""
        columns = self._events.setdefault(subscribers, ([], [], [], [], []))
        seqs, people, times, bodies = zip(*entries, strict=True)
        for column, values in zip(columns, (seqs, shards, times, people, bodies), strict=True):
            column += values

    def add_states(self, rows: Iterable[tuple[int, int, int]]) -> None:
        """Add states of events at destinations, by their numbers: of all that do not wait."""
        self._states.extend(rows)

    def add_marks(self, rows: Iterable[MarkRow]) -> None:
        """Add marks of ids."""
        for row in rows:
            self._marks[row[0]] = row
            self.known[row[0]] = (row[2], row[1])

    def count_deleted(self, events: int, size: int) -> None:
        """Count events that are not stored any more."""
        self._deleted += events
        self._deleted_size += size

    def count_erasure(self) -> None:
        """Count an erasure."""
        self.erasures += 1

    def change_people(self, count: int, stamp: int = 0) -> int:
        """Count changes of identities and consent; return the version before.

        Without any, the counter of changes is another one all the same.
        """
        before = self.version
        self.version += count
        self._changes += count
        self._stamp = max(self._stamp, stamp)
        self._told += 1
        return before

    # --- the end ---------------------------------------------------------------------------

    def flush(self) -> None:
        """Send the rows that were added."""
        for subscribers, columns in self._events.items():
            self.later("insert_events", (list(subscribers), *columns))
        if self._states:
            self.later("insert_states", _columns(self._states))
        if self._marks:  # in the order of their index, in which no two processes block each other
            marks, at, seqs, destinations, outcomes = _columns(sorted(self._marks.values()))
            texts = [f"{{{','.join(map(str, numbers))}}}" for numbers in destinations]
            self.later("keep_marks", (marks, at, seqs, texts, outcomes))
        self._events, self._states, self._marks = {}, [], {}

    def commit(self) -> None:
        """Send all that is left, and commit."""
        self.flush()
        if self._unused:
            self.later("give_back", {"count": self._unused, "size": self._unused_size})
        if self.erasures > self.before.erasures:
            self.later("set_erasures", (self.erasures,))
        if self._told:
            counts = {"count": self._changes, "told": self._told}
            self.later("change_people", {**counts, "stamp": self._stamp})
        if self._deleted:  # last of all: every process waits for this row
            self.later("count_delivered", (self._deleted, self._deleted_size))
        self.is_committing = True
        self._committed = self._sent("commit")

    @property
    def is_committed(self) -> bool:
        """Whether the server has answered that it has committed."""
        return self._committed is not None and self._committed.statusmessage == "COMMIT"

    @property
    def after(self) -> Figures:
        """The figures as this transaction leaves them."""
        before = self.before
        return Figures(
            max(self.seq, before.seq),
            before.events + self._taken - self._unused - self._deleted,
            before.size + self._taken_size - self._unused_size - self._deleted_size,
            self.erasures,
            before.changes + self._told,
            max(before.last_stamp, self._stamp),
        )

    @property
    def is_news(self) -> bool:
        """Whether other processes have something to look at."""
        return self._told > 0 or self.seq > self.before.seq or self.erasures > self.before.erasures

    def _sent(self, name: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> Any:
        database = self._database
        return database.connection.execute(database.queries[name], values or None, binary=True)


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    """Return rows as columns, for `unnest`."""
    return [list(column) for column in zip(*rows, strict=True)]
