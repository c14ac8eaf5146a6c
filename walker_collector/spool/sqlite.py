"""The durable spool: one SQLite file in WAL mode, written in groups.

Readers use a connection of their own, which WAL never blocks.
"""

import contextlib
import os
import sqlite3
import threading
from collections.abc import Collection, Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from walker_collector.config import SpoolConfig
from walker_collector.errors import SpoolError, SpoolFull
from walker_collector.spool import (
    Change,
    DeadLetter,
    Entry,
    Forgotten,
    Offer,
    PeopleUpdate,
    Record,
    Run,
    State,
    Stored,
    Told,
    adoption,
    damage,
    numbered,
    people,
    tables,
)
from walker_collector.spool.directory import Directory, directory, register
from walker_collector.spool.failure import spool_error
from walker_collector.spool.lock import SpoolLock, keep_inherited
from walker_collector.spool.log import Log
from walker_collector.spool.rows import letter, stored
from walker_collector.spool.schema import CHECKED_BYTES, VERSION, blank, prepare
from walker_collector.spool.tables import Gone
from walker_collector.spool.writer import Tally, Writer, scrub

__all__ = ["VERSION", "SqliteSpool"]

_LAST: Final = 2**62
"""The last stamp of a statement that is taken for one."""
_STATES: Final = frozenset(State)
_FEW: Final = 2_000
"""Events. With fewer left, a file that was large gives its free pages back."""
_FREE: Final = range(500, 2_000)
"""Pages that may be free: they are used again by what comes next."""
_VACUUM_PAGES: Final = 200
_VACUUM_STEPS: Final = 500
"""Of so many pages each, half a millisecond: others wait for it, and the next delivery for all."""


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
        self._pause = self._alone()
        self._lock = None if read_only else SpoolLock(self.path)
        try:
            self._connect()
        except BaseException:
            if self._lock is not None:
                self._lock.release()
            raise

    def _connect(self) -> None:
        with contextlib.ExitStack() as opened:
            try:
                file = self._file(opened)
                self._writer = Writer(self._open(opened), self.path)
                self._reader = self._open(opened)
                self._reading = threading.Lock()
                self._log = Log(self._writer, self._open(opened), file)
                # It reads little text; that of the reader is checked when it cannot be decoded.
                self._writer.connection.text_factory = damage.decoded
                prepare(self.path, self._writer.connection, self._config.sync, self._read_only)
                if not self._read_only:
                    self._mend()
            except sqlite3.Error as error:
                raise spool_error(self.path, error) from error
            self._count()
            self._opened = opened.pop_all()

    def _file(self, opened: contextlib.ExitStack) -> int | None:
        """Open the file itself, in order to synchronise it; none that is only looked at.

        A process that closes any descriptor of a file loses all its locks on it: this one is
        open before any connection, and until after the last.
        """
        if self._read_only:
            if not self.path.exists():
                raise SpoolError(f"spool {self.path}: no such file")
            return None
        try:
            # Events are about people: a new file is its owner's alone, and so is what SQLite
            # makes beside it.
            file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise SpoolError(
                f"spool {self.path}: unable to open: {error.strerror}; give the process a folder "
                "and file that it may write to"
            ) from error
        opened.callback(os.close, file)
        return file

    def _open(self, opened: contextlib.ExitStack) -> sqlite3.Connection:
        if self._read_only and self.path.stat().st_size == 0:
            connection = blank()
        else:
            connection = sqlite3.connect(
                f"{self.path.absolute().as_uri()}?mode={'ro' if self._read_only else 'rw'}",
                uri=True,
                isolation_level=None,
                check_same_thread=False,
                timeout=10,
            )
        opened.callback(connection.close)
        return connection

    def _mend(self) -> None:
        if self.path.stat().st_size <= CHECKED_BYTES:
            self._writer.run(lambda db: damage.mend(self.path, db))
        self._writer.run(people.straighten)

    def _count(self) -> None:
        self._directory: Directory = self._writer.alone(directory)
        ((self._seq, self._writer.events, self._writer.bytes),) = self._read(tables.SIZE)

    # --- numbers ---------------------------------------------------------------------------

    def _register(self, audience: frozenset[str]) -> None:
        """See to it that the directory has a set of destinations."""
        if audience not in self._directory.audiences:
            self._writer.run(lambda db: register(db, [audience]), self._learn)

    def _learn(self, known: Directory) -> None:
        """Keep a larger directory; only by whoever has the writer's turn."""
        if len(known.audiences) > len(self._directory.audiences):
            self._directory = known

    def _know(self, destinations: Iterable[str]) -> None:
        for destination in destinations:
            self._register(frozenset((destination,)))

    # --- accepting -------------------------------------------------------------------------

    def append(
        self, records: Sequence[Record], offer: Offer, learned: PeopleUpdate | None = None
    ) -> Sequence[int]:
        self._check_room(records)
        for states in _different(records):
            self._register(frozenset(states))
        numbers = range(0)
        runs: list[Run] = []

        def work(db: sqlite3.Connection) -> range:
            nonlocal numbers
            if numbers and tables.has(db, numbers[0]):
                return numbers  # whoever committed it was interrupted before it could tell
            numbers = range(self._seq + 1, self._seq + 1 + len(records))
            self._seq += len(records)  # before it is written: no number is ever given twice
            runs[:] = numbered(records, numbers.start)
            for entries, states in runs:
                tables.insert(db, self._directory, entries, states)
            if learned is not None:
                people.learn(db, learned)
            return numbers

        def tally(_: object) -> Tally:
            return len(records), sum(len(record.body) for record in records)

        alone = learned is None and len(records) == 1
        single = alone and not any(records[0].states.values())
        result: range = self._writer.run(work, lambda _: offer(runs), tally, single=single)
        return result

    def _check_room(self, records: Sequence[Record]) -> None:
        events, size = self._writer.events, self._writer.bytes
        if events + len(records) > self._config.max_events:
            raise SpoolFull(
                f"spool {self.path} holds {events:,} events of at most "
                f"{self._config.max_events:,} (spool.maxEvents)"
            )
        if size + sum(len(record.body) for record in records) > self._config.max_bytes:
            raise SpoolFull(
                f"spool {self.path} holds {size:,} bytes of events of at most "
                f"{self._config.max_bytes:,} (spool.maxBytes)"
            )

    # --- answers ---------------------------------------------------------------------------

    def settle(self, destination: str, changes: Sequence[Change]) -> None:
        self._know([destination])
        gone, _ = self._writer.run(
            lambda db: tables.settle(db, self._directory, destination, changes),
            self._settled,
            _gone,
        )
        self._tidy(gone)

    def finish(self, destination: str, entries: Sequence[Entry]) -> None:
        self._know([destination])
        gone, _ = self._writer.run(
            lambda db: tables.finish(db, self._directory, destination, entries),
            self._settled,
            _gone,
        )
        self._tidy(gone)

    def _settled(self, result: tuple[Gone, Directory]) -> None:
        self._learn(result[1])

    def _tidy(self, gone: Gone) -> None:
        """Give space back to the file system once little is left, and keep the log short.

        What cannot be tidied now is with the next; what was answered is recorded either way.
        """
        with contextlib.suppress(SpoolError):
            if gone[0] and self._writer.events < _FEW:
                ((free,),) = self._read("PRAGMA freelist_count")
                if free >= _FREE.stop:
                    self._shrink()
            self._log.keep_short()

    def _shrink(self) -> None:
        steps = _VACUUM_STEPS
        while steps and self._writer.alone(_vacuum) >= _FREE.start:
            steps -= 1
        self._log.write_back()

    # --- reading ---------------------------------------------------------------------------

    def load(self, destination: str, after: int, limit: int) -> list[Stored]:
        return self._select(tables.WAITING, destination, after, limit)

    def held(self, destination: str) -> list[Stored]:
        return self._select(tables.HELD, destination)

    def _select(self, sql: str, destination: str, *args: int) -> list[Stored]:
        number = self._directory.numbers.get(destination)
        if number is None:
            return []
        return [stored(row) for row in self._read(sql, (number, *args))]

    def _read(self, sql: str, args: Sequence[Any] = ()) -> list[Any]:
        with self._reading:
            try:
                try:
                    return self._reader.execute(sql, args).fetchall()
                except sqlite3.OperationalError as error:
                    if "decode" not in str(error):
                        raise
                    return self._read_damaged(sql, args)
            except sqlite3.Error as error:
                raise spool_error(self.path, error) from error

    def _read_damaged(self, sql: str, args: Sequence[Any]) -> list[Any]:
        """Read rows in which there is text that is none, as well as that goes."""
        try:
            self._reader.text_factory = damage.decoded
            return self._reader.execute(sql, args).fetchall()
        finally:
            self._reader.text_factory = str

    def counts(self) -> dict[str, dict[State, int]]:
        result: dict[str, dict[State, int]] = {}
        for destination, state, count in self._read(tables.COUNTS):
            if state in _STATES:  # else it is damaged, and mended by who opens a spool to write
                result.setdefault(destination, {})[State(state)] = count
        return result

    def destinations(self) -> set[str]:
        """Return every destination that something was ever kept for."""
        return {id_ for (id_,) in self._read("SELECT id FROM destinations")}

    def oldest(self) -> dict[str, tuple[int, int]]:
        """Return for each destination when its oldest waiting or held event was accepted (ms),
        and how many waiting events are due later because a delivery failed.
        """
        rows = self._read(tables.OLDEST)
        return {destination: (damage.number(at), due) for destination, at, due in rows}

    def size(self) -> int:
        return int(self._writer.events)

    # --- dead letters ----------------------------------------------------------------------

    def dead(self, destination: str | None = None, limit: int | None = None) -> list[DeadLetter]:
        rows = self._read(tables.DEAD, (destination, -1 if limit is None else limit))
        return [letter(row) for row in rows]

    def revive(self, letters: Iterable[DeadLetter], without: Collection[str] = ()) -> list[Stored]:
        wanted = list(letters)
        self._know({item.destination for item in wanted})
        result: list[Stored] = self._writer.run(
            lambda db: tables.revive(db, self._directory, wanted, without)
        )
        return result

    def bury(self, letters: Iterable[DeadLetter]) -> int:
        wanted = list(letters)
        self._know({item.destination for item in wanted})
        buried, gone, _ = self._writer.run(
            lambda db: tables.bury(db, self._directory, wanted),
            lambda result: self._settled(result[1:]),
            lambda result: _gone(result[1:]),
        )
        self._tidy(gone)
        return int(buried)

    # --- people ----------------------------------------------------------------------------

    def learn(self, update: PeopleUpdate) -> None:
        self._writer.run(lambda db: people.learn(db, update))

    def told(self, person: str) -> Told:
        rows = self._read("SELECT key, granted, at FROM told WHERE person = ?", (person,))
        return {key: (granted == 1, damage.number(at, _LAST)) for key, granted, at in rows}

    def any_told(self) -> bool:
        return bool(self._read("SELECT 1 FROM told LIMIT 1"))

    def last_stamp(self) -> int:
        ((stamp,),) = self._read("SELECT coalesce(max(at), 0) FROM told")
        return int(stamp)

    def link(self, key: str) -> tuple[str | None, str | None]:
        ((owner, signed_in),) = self._read(people.LINK, (key,))
        return owner, signed_in

    def aliases_of(self, person: str) -> list[str]:
        rows = self._read("SELECT alias FROM aliases WHERE person = ?", (person,))
        return [row[0] for row in rows]

    def owe(self, keys: Iterable[str]) -> None:
        rows = [(key,) for key in keys]
        self._writer.run(lambda db: db.executemany("INSERT OR IGNORE INTO owed VALUES (?)", rows))

    def owed(self) -> set[str]:
        return {row[0] for row in self._read("SELECT person FROM owed")}

    def forget(self, keys: Iterable[str]) -> Forgotten:
        wanted = list(keys)
        forgotten: Forgotten
        forgotten, _ = self._writer.run(
            lambda db: tables.forget(db, wanted),
            tally=lambda result: (-len(result[0].seqs), -result[1]),
        )
        with self._log.turn:
            self._writer.alone(scrub)
        return forgotten

    def compact(self) -> None:
        """Write the file anew, with nothing in it but what is kept.

        SQLite overwrites what is deleted, but may leave a copy where it has moved rows before.
        Takes as much room again while it is at work. Raises SpoolError.
        """
        with self._log.turn:
            self._writer.alone(_compact)

    # --- other spools ----------------------------------------------------------------------

    def adopt(self, path: Path) -> int:
        """Take over what waits in the spool of a process that is gone; return how many events.

        The other file goes after this one has everything, so a crash in between delivers twice
        rather than never. Raises SpoolError where the other file cannot be read.
        """
        other = SqliteSpool(attrs.evolve(self._config, path=str(path)))
        try:
            left: adoption.Left = other._writer.alone(adoption.everything)
            self._writer.run(lambda db: adoption.take_over(db, left, self._seq))
        except BaseException:
            other.close()
            raise
        self._count()
        other._remove()
        return len(left.events)

    def _remove(self) -> None:
        """Close and delete the file. The lock goes last: whoever waits for it finds a new one."""
        self._disconnect()
        self.path.unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.remove()

    # --- the end ---------------------------------------------------------------------------

    def close(self) -> None:
        self._disconnect()
        if self._lock is not None:
            self._lock.release()

    def _disconnect(self) -> None:
        with self._log.turn, self._writer.turn, self._reading:
            self._opened.close()

    def pause(self) -> None:
        self._pause = self._alone()
        next(self._pause)

    def resume(self) -> None:
        self._pause.close()

    def _alone(self) -> Generator[None, None, None]:
        """Let nobody else in until this is closed: what is interrupted halfway lets them in."""
        with self._log.turn, self._writer.turn, self._reading:
            yield

    def abandon(self) -> None:
        """Leave the parent's spool alone in a forked child: nothing is used, nothing closed."""
        keep_inherited(self._opened, self._pause)
        if self._lock is not None:
            self._lock.abandon()


def _different(records: Sequence[Record]) -> list[Mapping[str, State]]:
    """Return the first states of these records, once where they are shared."""
    if len(records) == 1:
        return [records[0].states]
    return list({id(record.states): record.states for record in records}.values())


def _gone(result: tuple[Gone, Directory]) -> Tally:
    (events, size), _ = result
    return -events, -size


def _compact(db: sqlite3.Connection) -> None:
    db.execute("VACUUM")
    scrub(db)


def _vacuum(db: sqlite3.Connection) -> int:
    """Give some free pages back to the file system; return how many are left."""
    # execute() would take one step, which frees one page; executescript() runs to the end.
    db.executescript(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})")
    (free,) = db.execute("PRAGMA freelist_count").fetchone()
    return int(free)
