"""The durable spool: one SQLite file in WAL mode, written in groups.

Whoever holds the turn commits for everyone who queued meanwhile, so that a busy process pays
one commit for many events and a quiet one waits for nobody. Readers use a connection of their
own, which WAL never blocks.
"""

import contextlib
import json
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs
from attrs import define, frozen

from walker_collector.config import SpoolConfig
from walker_collector.errors import SpoolError, SpoolFull
from walker_collector.spool import (
    Attempt,
    Change,
    DeadLetter,
    Entry,
    Forgotten,
    Offer,
    Record,
    Run,
    State,
    Stored,
    Told,
    numbered,
)
from walker_collector.spool.lock import SpoolLock, keep_inherited
from walker_collector.spool.memory import done_of, entry_of, revived

APPLICATION: Final = 0x57414C4B  # "WALK": tells a spool from any other SQLite file
VERSION: Final = 1
_CHECKED_BYTES: Final = 64 * 1024 * 1024
"""Files up to this size are checked whole when opened; larger ones would keep the start waiting."""
_VACUUM_PAGES: Final = 2_000
_VACUUM_STEPS: Final = 50
"""Of so many pages each; more would keep a delivery waiting for seconds."""

_SCHEMA: Final = """
CREATE TABLE destinations (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE);
CREATE TABLE events (
  seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, person TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE deliveries (
  seq INTEGER NOT NULL, destination INTEGER NOT NULL, state INTEGER NOT NULL DEFAULT 0,
  attempts INTEGER NOT NULL DEFAULT 0, due INTEGER NOT NULL DEFAULT 0, changed INTEGER,
  reason TEXT, parts TEXT, consent TEXT,
  PRIMARY KEY (seq, destination)) WITHOUT ROWID;
CREATE INDEX set_aside ON deliveries (destination, state, seq) WHERE state > 0;
CREATE TABLE told (
  person TEXT NOT NULL, key TEXT NOT NULL, granted INTEGER NOT NULL, at INTEGER NOT NULL,
  PRIMARY KEY (person, key)) WITHOUT ROWID;
CREATE TABLE aliases (alias TEXT PRIMARY KEY, person TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE owed (person TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE INDEX alias_person ON aliases (person);
"""
_CREATE: Final = (
    f"BEGIN; {_SCHEMA} "
    f"PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION}; COMMIT;"
)

_COUNTS_OF_LEAVING: Final = (
    "SELECT t.id, d.state, count(*) FROM deliveries d JOIN leaving USING (seq) "
    "JOIN destinations t ON t.number = d.destination GROUP BY 1, 2"
)
_Rows = list[tuple[Any, ...]]
_COLUMNS: Final = "e.seq, e.person, e.at, e.body, d.attempts, d.due, d.reason, d.parts, d.consent"


@define(eq=False)
class _Job:
    """One write and what came of it."""

    work: Callable[[sqlite3.Connection], Any]
    then: Callable[[Any], None] | None = None
    result: Any = None
    error: BaseException | None = None
    done: bool = False


class _Writer:
    """Runs writes in groups: the thread whose turn it is commits all that is queued."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self.connection = connection
        self._path = path
        self.turn = threading.Lock()
        self._jobs: deque[_Job] = deque()
        self._full = False

    def run(
        self, work: Callable[[sqlite3.Connection], Any], then: Callable[[Any], None] | None = None
    ) -> Any:
        """Run `work` in a committed transaction, then `then` with its result, in the order of
        the commits; `then` has the turn, so nobody else writes or counts meanwhile.
        """
        job = _Job(work, then)
        self._jobs.append(job)
        with self.turn:
            if not job.done:
                self._commit([self._jobs.popleft() for _ in range(len(self._jobs))])
        if job.error is not None:
            raise job.error
        return job.result

    def close(self) -> None:
        """Close the connection, once nobody writes."""
        with self.turn:
            self.connection.close()

    def alone(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        """Run `work` outside any transaction, with nobody else writing."""
        with self.turn:
            try:
                return work(self.connection)
            except sqlite3.Error as error:
                raise spool_error(self._path, error) from error

    def _commit(self, jobs: list[_Job]) -> None:
        if self._full:
            self._give_back()
        try:
            self._transaction(jobs)
        except Exception as error:
            if _is_full(error):
                self._full = True
                self._give_back()
            # One bad write must not fail its neighbours: each once more, by itself.
            for job in jobs:
                self._retry(job)
        except BaseException:
            # This thread is told to stop; the jobs of others are theirs to run.
            self._jobs.extendleft(job for job in reversed(jobs) if not job.done)
            raise

    def _give_back(self) -> None:
        """Write the log back into the database and empty it, before it takes what room there is."""
        with contextlib.suppress(sqlite3.Error):
            _scrub(self.connection)
            self._full = False

    def _retry(self, job: _Job) -> None:
        try:
            self._transaction([job])
        except sqlite3.Error as error:
            job.error = spool_error(self._path, error)
        except Exception as error:  # whatever it is, its own caller must see it
            job.error = error
        job.done = True

    def _transaction(self, jobs: list[_Job]) -> None:
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            for job in jobs:
                job.result = job.work(self.connection)
            self.connection.execute("COMMIT")
        except BaseException:
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise
        for job in jobs:
            job.done = True
        for job in jobs:
            if job.then is not None:
                try:
                    job.then(job.result)
                except Exception as error:  # what is committed must not be written again
                    job.error = error


class SqliteSpool:
    """A spool that survives the process.

    `sync="normal"` survives a crash of the process at any moment, `sync="full"` also a loss of
    power. Raises SpoolError where the file cannot be used: locked by another process, corrupt,
    not a spool, of a newer version, or in a folder that cannot be written.
    """

    durable = True

    def __init__(self, config: SpoolConfig, *, read_only: bool = False) -> None:
        self.path = Path(config.path)
        self._config = config
        self._read_only = read_only
        self._lock = None if read_only else SpoolLock(self.path)
        try:
            self._connect()
        except BaseException:
            if self._lock is not None:
                self._lock.release()
            raise

    def _connect(self) -> None:
        try:
            self._writer = _Writer(self._open(), self.path)
            self._reader = self._open()
            self._reading = threading.Lock()
            prepare(self.path, self._writer.connection, self._config.sync, self._read_only)
        except sqlite3.Error as error:
            raise spool_error(self.path, error) from error
        self._count()

    def _count(self) -> None:
        self._numbers = dict(self._read("SELECT id, number FROM destinations"))
        (row,) = self._read(
            "SELECT coalesce(max(seq), 0), count(*), coalesce(sum(length(body)), 0) FROM events"
        )
        self._seq, self._events, self._bytes = row

    def _open(self) -> sqlite3.Connection:
        if self._read_only:
            if not self.path.exists():
                raise SpoolError(f"spool {self.path}: no such file")
            if self.path.stat().st_size == 0:
                return _blank()
        else:
            # Events are about people: a new file is its owner's alone, and so is what SQLite
            # makes beside it.
            with contextlib.suppress(OSError):
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        mode = "ro" if self._read_only else "rwc"
        return sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode={mode}",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=10,
        )

    def _number(self, destination: str) -> int:
        number = self._numbers.get(destination)
        if number is None:
            number = self._writer.run(lambda db: _add_destination(db, destination))
            self._numbers[destination] = number
        return int(number)

    def append(self, records: Sequence[Record], offer: Offer) -> Sequence[int]:
        self._check_room(records)
        numbers = {name: self._number(name) for record in records for name in record.states}
        runs: list[Run] = []

        def work(db: sqlite3.Connection) -> range:
            first = self._seq + 1
            runs[:] = numbered(records, first)
            db.executemany(
                "INSERT INTO events (seq, person, at, body) VALUES (?, ?, ?, ?)",
                [entry for entries, _ in runs for entry in entries],
            )
            db.executemany(
                "INSERT INTO deliveries (seq, destination, state) VALUES (?, ?, ?)",
                [
                    (entry[0], numbers[name], int(state))
                    for entries, states in runs
                    for name, state in states.items()
                    for entry in entries
                ],
            )
            self._seq += len(records)
            return range(first, first + len(records))

        def then(_: object) -> None:
            self._counted(len(records), sum(len(record.body) for record in records))
            offer(runs)

        result: range = self._writer.run(work, then)
        return result

    def _check_room(self, records: Sequence[Record]) -> None:
        if self._events + len(records) > self._config.max_events:
            raise SpoolFull(
                f"spool {self.path} holds {self._events:,} events of at most "
                f"{self._config.max_events:,} (spool.maxEvents)"
            )
        if self._bytes + sum(len(record.body) for record in records) > self._config.max_bytes:
            raise SpoolFull(
                f"spool {self.path} holds {self._bytes:,} bytes of events of at most "
                f"{self._config.max_bytes:,} (spool.maxBytes)"
            )

    def load(self, destination: str, after: int, limit: int) -> list[Stored]:
        return self._select("d.state = 0 AND d.seq > ?", destination, after, limit)

    def held(self, destination: str) -> list[Stored]:
        return self._select("d.state = 1 AND d.seq > ?", destination, 0, -1)

    def _select(self, where: str, destination: str, after: int, limit: int) -> list[Stored]:
        number = self._numbers.get(destination)
        if number is None:
            return []
        rows = self._read(
            f"SELECT {_COLUMNS} FROM deliveries d JOIN events e ON e.seq = d.seq "
            f"WHERE d.destination = ? AND {where} ORDER BY d.seq LIMIT ?",
            (number, after, limit),
        )
        return [_stored(row) for row in rows]

    def _read(self, sql: str, args: Sequence[Any] = ()) -> list[Any]:
        with self._reading:
            try:
                return self._reader.execute(sql, args).fetchall()
            except sqlite3.Error as error:
                raise spool_error(self.path, error) from error

    def settle(self, destination: str, changes: Sequence[Change]) -> None:
        number = self._number(destination)
        gone = [change.entry for change in changes if change.state is None]
        released = [(change.entry[0], number) for change in changes if change.released]
        kept = [
            _row(change, number)
            for change in changes
            if change.state is not None and not change.released
        ]

        def work(db: sqlite3.Connection) -> tuple[int, int]:
            db.executemany(
                "DELETE FROM deliveries WHERE seq = ? AND destination = ?",
                [(entry[0], number) for entry in gone],
            )
            db.executemany(
                "UPDATE deliveries SET state = ?, attempts = ?, due = ?, changed = ?, reason = ?, "
                "parts = ?, consent = ? WHERE seq = ? AND destination = ?",
                kept,
            )
            db.executemany(
                "UPDATE deliveries SET state = 0, due = 0 "
                "WHERE seq = ? AND destination = ? AND state = 1",
                released,
            )
            return _drop_finished(db, gone)

        dropped, _ = self._writer.run(work, lambda gone: self._counted(-gone[0], -gone[1]))
        self._shrink(dropped)

    def finish(self, destination: str, entries: Sequence[Entry]) -> None:
        self.settle(destination, [Change(entry, None) for entry in entries])

    def _counted(self, events: int, size: int) -> None:
        """Keep count; only by whoever has the writer's turn."""
        self._events += events
        self._bytes += size

    def _shrink(self, dropped: int) -> None:
        """Give space back to the file system once little is left."""
        steps = _VACUUM_STEPS if dropped and self._events < _VACUUM_PAGES else 0
        while steps and self._writer.alone(_vacuum):
            steps -= 1

    def counts(self) -> dict[str, dict[State, int]]:
        result: dict[str, dict[State, int]] = {}
        rows = self._read(
            "SELECT t.id, d.state, count(*) FROM deliveries d "
            "JOIN destinations t ON t.number = d.destination GROUP BY 1, 2"
        )
        for destination, state, count in rows:
            result.setdefault(destination, {})[State(state)] = count
        return result

    def destinations(self) -> set[str]:
        """Return every destination that something was ever kept for."""
        return {id_ for (id_,) in self._read("SELECT id FROM destinations")}

    def oldest(self) -> dict[str, tuple[int, int]]:
        """Return for each destination when its oldest waiting or held event was accepted (ms),
        and how many waiting events are due later because a delivery failed.
        """
        rows = self._read(
            "SELECT t.id, min(e.at), sum(d.state = 0 AND d.due > 0) FROM deliveries d "
            "JOIN destinations t ON t.number = d.destination JOIN events e ON e.seq = d.seq "
            "WHERE d.state < 2 GROUP BY 1"
        )
        return {destination: (at, due) for destination, at, due in rows}

    def dead(self, destination: str | None = None, limit: int | None = None) -> list[DeadLetter]:
        rows = self._read(
            "SELECT d.seq, t.id, coalesce(d.reason, ''), d.attempts, e.at, coalesce(d.changed, 0), "
            "e.person, e.body, d.consent, d.parts FROM deliveries d "
            "JOIN destinations t ON t.number = d.destination JOIN events e ON e.seq = d.seq "
            "WHERE d.state = 2 AND (?1 IS NULL OR t.id = ?1) ORDER BY d.changed, d.seq LIMIT ?2",
            (destination, -1 if limit is None else limit),
        )
        return [_letter(*row) for row in rows]

    def revive(self, letters: Iterable[DeadLetter]) -> list[Stored]:
        wanted = list(letters)
        rows = [(_json(item.parts), item.seq, self._number(item.destination)) for item in wanted]

        def work(db: sqlite3.Connection) -> list[Stored]:
            found = []
            for letter, row in zip(wanted, rows, strict=True):
                cursor = db.execute(
                    "UPDATE deliveries SET state = 0, attempts = 0, due = 0, reason = NULL, "
                    "parts = ? WHERE seq = ? AND destination = ? AND state = 2",
                    row,
                )
                if cursor.rowcount:
                    found.append(revived(letter))
            return found

        result: list[Stored] = self._writer.run(work)
        return result

    def bury(self, letters: Iterable[DeadLetter]) -> int:
        wanted = list(letters)
        rows = [(item.seq, self._number(item.destination)) for item in wanted]

        def work(db: sqlite3.Connection) -> tuple[int, tuple[int, int]]:
            cursor = db.executemany(
                "DELETE FROM deliveries WHERE seq = ? AND destination = ? AND state = 2", rows
            )
            return cursor.rowcount, _drop_finished(db, [entry_of(item) for item in wanted])

        buried, (dropped, _) = self._writer.run(
            work, lambda gone: self._counted(-gone[1][0], -gone[1][1])
        )
        self._shrink(dropped)
        return max(int(buried), 0)

    def told(self, person: str) -> Told:
        rows = self._read("SELECT key, granted, at FROM told WHERE person = ?", (person,))
        return {key: (bool(granted), at) for key, granted, at in rows}

    def tell(self, person: str, told: Told) -> None:
        rows = [(person, key, granted, at) for key, (granted, at) in told.items()]

        def work(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM told WHERE person = ?", (person,))
            db.executemany("INSERT INTO told VALUES (?, ?, ?, ?)", rows)

        self._writer.run(work)

    def alias(self, key: str) -> str | None:
        rows = self._read("SELECT person FROM aliases WHERE alias = ?", (key,))
        return rows[0][0] if rows else None

    def aliases_of(self, person: str) -> list[str]:
        rows = self._read("SELECT alias FROM aliases WHERE person = ?", (person,))
        return [row[0] for row in rows]

    def any_told(self) -> bool:
        return bool(self._read("SELECT 1 FROM told LIMIT 1"))

    def join(self, key: str, person: str) -> None:
        self._writer.run(
            lambda db: db.execute("INSERT OR REPLACE INTO aliases VALUES (?, ?)", (key, person))
        )

    def owe(self, people: Iterable[str]) -> None:
        rows = [(person,) for person in people]
        self._writer.run(lambda db: db.executemany("INSERT OR IGNORE INTO owed VALUES (?)", rows))

    def owed(self) -> set[str]:
        return {row[0] for row in self._read("SELECT person FROM owed")}

    def forget(self, people: Iterable[str]) -> Forgotten:
        keys = [(person,) for person in people]

        def work(db: sqlite3.Connection) -> tuple[Forgotten, int]:
            db.execute("CREATE TEMP TABLE IF NOT EXISTS leaving (seq INTEGER PRIMARY KEY, size)")
            db.execute("DELETE FROM leaving")
            db.executemany(
                "INSERT INTO leaving SELECT seq, length(body) FROM events WHERE person = ?", keys
            )
            seqs = {row[0] for row in db.execute("SELECT seq FROM leaving")}
            (size,) = db.execute("SELECT coalesce(sum(size), 0) FROM leaving").fetchone()
            counts = db.execute(_COUNTS_OF_LEAVING).fetchall()
            db.execute("DELETE FROM deliveries WHERE seq IN (SELECT seq FROM leaving)")
            db.executemany("DELETE FROM events WHERE person = ?", keys)
            db.executemany("DELETE FROM told WHERE person = ?", keys)
            db.executemany("DELETE FROM aliases WHERE person = ?1 OR alias = ?1", keys)
            db.executemany("DELETE FROM owed WHERE person = ?", keys)
            return Forgotten(seqs, {(name, State(state)): n for name, state, n in counts}), size

        forgotten: Forgotten
        forgotten, _ = self._writer.run(
            work, lambda gone: self._counted(-len(gone[0].seqs), -gone[1])
        )
        self._writer.alone(_scrub)
        return forgotten

    def adopt(self, path: Path) -> int:
        """Take over what waits in the spool of a process that is gone; return how many events.

        The other file goes after this one has everything, so a crash in between delivers twice
        rather than never. Raises SpoolError where the other file cannot be read.
        """
        other = SqliteSpool(attrs.evolve(self._config, path=str(path)))
        try:
            left: _Left = other._writer.alone(_everything)
            self._writer.run(lambda db: self._take_over(db, left))
        except BaseException:
            other.close()
            raise
        self._count()
        other._remove()
        return len(left.events)

    def _take_over(self, db: sqlite3.Connection, left: "_Left") -> None:
        renumbered = {row[0]: self._seq + at for at, row in enumerate(left.events, 1)}
        db.executemany(
            "INSERT INTO events (seq, at, person, body) VALUES (?, ?, ?, ?)",
            [(renumbered[seq], *rest) for seq, *rest in left.events],
        )
        db.executemany(
            "INSERT INTO deliveries (destination, seq, state, attempts, changed, reason, parts, "
            "consent) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (_add_destination(db, destination), renumbered[seq], *rest)
                for destination, seq, *rest in left.deliveries
            ],
        )
        db.executemany("INSERT OR IGNORE INTO owed VALUES (?)", left.owed)
        _take_over_told(db, left.told, left.aliases)

    def _remove(self) -> None:
        """Close and delete the file. The lock goes last: whoever waits for it finds a new one."""
        self._disconnect()
        self.path.unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.remove()

    def size(self) -> int:
        return int(self._events)

    def close(self) -> None:
        self._disconnect()
        if self._lock is not None:
            self._lock.release()

    def _disconnect(self) -> None:
        with self._reading:
            self._reader.close()
        self._writer.close()

    def pause(self) -> None:
        self._writer.turn.acquire()
        self._reading.acquire()

    def resume(self) -> None:
        self._reading.release()
        self._writer.turn.release()

    def abandon(self) -> None:
        """Leave the parent's spool alone in a forked child: nothing is used, nothing closed."""
        keep_inherited(self._reader, self._writer.connection)
        if self._lock is not None:
            self._lock.abandon()


def prepare(path: Path, db: sqlite3.Connection, sync: str, read_only: bool) -> None:
    """Check that a database is a spool of this version, or make a new one of an empty file.

    Raises SpoolError where it is something else; never writes to what is not a spool.
    """
    tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if tables and application != APPLICATION:
        raise SpoolError(f"spool {path}: this SQLite file is not a spool; choose another path")
    if version > VERSION:
        raise SpoolError(
            f"spool {path}: written by a newer walker-collector (format {version}, this one "
            f"reads {VERSION}); upgrade, or drain it with the version that wrote it"
        )
    if read_only:
        return
    _check(path, db)
    db.execute("PRAGMA auto_vacuum = INCREMENTAL")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute(f"PRAGMA synchronous = {'FULL' if sync == 'full' else 'NORMAL'}")
    # Deleted events are overwritten at once, so that nothing of a person stays in free pages.
    db.execute("PRAGMA secure_delete = ON")
    db.execute("PRAGMA journal_size_limit = 8388608")
    if not tables:
        db.executescript(_CREATE)


def _blank() -> sqlite3.Connection:
    """Return what stands for a file to which nothing was ever written, as a crash may leave it."""
    db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    db.executescript(_CREATE)
    return db


def _check(path: Path, db: sqlite3.Connection) -> None:
    if path.stat().st_size <= _CHECKED_BYTES:
        (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise SpoolError(
                f"spool {path}: the file is corrupt ({verdict.splitlines()[0][:100]}); move it "
                "away to start a new spool, and keep it for `sqlite3 FILE .recover`"
            )


def spool_error(path: Path, error: sqlite3.Error) -> SpoolError:
    """Return what a SQLite error means for the person who must act."""
    text = str(error)
    hint = "see the operating system's log"
    if _is_full(error):
        hint = "the disk is full or failing: make room; what was accepted before is safe"
    elif "readonly" in text or "unable to open" in text:
        hint = "give the process a folder and file that it may write to"
    elif "not a database" in text or "malformed" in text:
        hint = (
            "the file is corrupt: move it away to start a new spool, and keep it for "
            "`sqlite3 FILE .recover`"
        )
    return SpoolError(f"spool {path}: {text}; {hint}")


def _is_full(error: Exception) -> bool:
    """Whether SQLite could not write; a file size limit shows as an I/O error."""
    return isinstance(error, sqlite3.Error) and (
        "disk is full" in str(error) or "disk I/O error" in str(error)
    )


def _add_destination(db: sqlite3.Connection, destination: str) -> int:
    """Return the number of a destination, giving it one if it has none."""
    db.execute("INSERT OR IGNORE INTO destinations (id) VALUES (?)", (destination,))
    row = db.execute("SELECT number FROM destinations WHERE id = ?", (destination,)).fetchone()
    return int(row[0])


def _drop_finished(db: sqlite3.Connection, entries: Sequence[Entry]) -> tuple[int, int]:
    """Delete the events that no destination needs any more; return how many, and their bytes."""
    before = db.total_changes
    db.executemany(
        "DELETE FROM events WHERE seq = ?1 AND NOT EXISTS "
        "(SELECT 1 FROM deliveries WHERE seq = ?1)",
        [(entry[0],) for entry in entries],
    )
    dropped = db.total_changes - before
    if dropped == len(entries):
        return dropped, sum(len(entry[3]) for entry in entries)
    left = {
        entry[0]
        for entry in entries
        if db.execute("SELECT 1 FROM events WHERE seq = ?", (entry[0],)).fetchone()
    }
    return dropped, sum(len(entry[3]) for entry in entries if entry[0] not in left)


@frozen
class _Left:
    """All that a spool holds; deliveries with the ids of their destinations."""

    events: _Rows
    deliveries: _Rows
    told: _Rows
    aliases: _Rows
    owed: _Rows


def _everything(db: sqlite3.Connection) -> _Left:
    return _Left(
        events=db.execute("SELECT seq, at, person, body FROM events ORDER BY seq").fetchall(),
        deliveries=db.execute(
            "SELECT t.id, d.seq, d.state, d.attempts, d.changed, d.reason, d.parts, d.consent "
            "FROM deliveries d JOIN destinations t ON t.number = d.destination"
        ).fetchall(),
        told=db.execute("SELECT person, key, granted, at FROM told").fetchall(),
        aliases=db.execute("SELECT alias, person FROM aliases").fetchall(),
        owed=db.execute("SELECT person FROM owed").fetchall(),
    )


def _take_over_told(db: sqlite3.Connection, told: _Rows, aliases: _Rows) -> None:
    """Merge what people said and who they are; what was said last holds."""
    db.executemany("INSERT OR IGNORE INTO aliases VALUES (?, ?)", aliases)
    for alias, _ in aliases:
        told += db.execute(
            "SELECT person, key, granted, at FROM told WHERE person = ?", (alias,)
        ).fetchall()
        db.execute("DELETE FROM told WHERE person = ?", (alias,))
    db.executemany(
        "INSERT INTO told VALUES (?, ?, ?, ?) ON CONFLICT (person, key) "
        "DO UPDATE SET granted = excluded.granted, at = excluded.at WHERE excluded.at > told.at",
        [(_owner(db, person), *said) for person, *said in told],
    )


def _owner(db: sqlite3.Connection, person: str) -> str:
    """Return the person that a key leads to."""
    while row := db.execute("SELECT person FROM aliases WHERE alias = ?", (person,)).fetchone():
        (person,) = row
    return person


def _vacuum(db: sqlite3.Connection) -> bool:
    """Give some free pages back to the file system, little by little, since writers wait; tell
    whether more are left.
    """
    (free,) = db.execute("PRAGMA freelist_count").fetchone()
    if free <= _VACUUM_PAGES // 4:
        return False
    # execute() would take one step, which frees one page; executescript() runs to the end.
    db.executescript(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})")
    return True


def _scrub(db: sqlite3.Connection) -> None:
    """Leave no copy of deleted rows in the log: everything into the database, the log emptied."""
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _letter(*row: Any) -> DeadLetter:
    seq, destination, reason, attempts, accepted_at, died_at, person, body, consent, parts = row
    return DeadLetter(
        seq=seq,
        destination=destination,
        reason=reason,
        attempts=attempts,
        accepted_at=accepted_at,
        died_at=died_at,
        person=person,
        body=body,
        consent=json.loads(consent or "{}"),
        parts=done_of(json.loads(parts or "{}")),
    )


def _stored(row: Sequence[Any]) -> Stored:
    seq, person, at, body, attempts, due, reason, parts, consent = row
    if not (attempts or due or parts or consent):
        return Stored((seq, person, at, body))
    attempt = Attempt(
        attempts, due, reason or "", json.loads(parts or "{}"), json.loads(consent or "{}")
    )
    return Stored((seq, person, at, body), attempt)


def _json(value: Mapping[str, Any]) -> str | None:
    return json.dumps(dict(value)) if value else None


def _row(change: Change, number: int) -> tuple[Any, ...]:
    attempt = change.attempt
    return (
        int(change.state or 0),
        attempt.count,
        attempt.due,
        change.at,
        attempt.reason or None,
        _json(attempt.parts),
        _json(attempt.consent),
        change.entry[0],
        number,
    )
