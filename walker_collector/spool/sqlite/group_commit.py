"""Group commit: one thread at a time commits the writes of all threads that wait.

So a busy process pays one commit for many events, and a quiet one waits for no other thread.
"""

import contextlib
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import define

from walker_collector.errors import SpoolError, WalkerError
from walker_collector.spool.processes.files import SpoolBusy
from walker_collector.spool.processes.page import BYTES, EVENTS, SharedPage
from walker_collector.spool.processes.write_lock import NoLock, WriteLock
from walker_collector.spool.sqlite.failure import is_full, is_locked, spool_error
from walker_collector.spool.sqlite.schema import PAGE
from walker_collector.text import describe

_TROUBLED: Final = 30.0
"""Seconds for which a failed write tells of the file, while nobody writes."""
_SCRUBS: Final = 50
_SCRUB_PAUSE: Final = 0.01
"""Seconds between attempts to empty the log."""

Tally = tuple[int, int]
"""The events, and bytes of events, that a write has added to the spool."""


@define
class _Transaction:
    """The transaction of a group of writes."""

    committed: bool = False


_NONE: Final = _Transaction()


@define(eq=False)
class _Write:
    """One write, and its state."""

    work: Callable[[sqlite3.Connection], Any]
    tally: Callable[[Any], Tally] | None = None
    then: Callable[[Any], None] | None = None
    single: bool = False
    transaction: _Transaction = _NONE
    result: Any = None
    counted: bool = False
    error: BaseException | None = None
    done: bool = False


class GroupCommit:
    """Runs writes in groups, on one connection.

    A signal handler may raise in the committing thread at any moment. That thread first finishes
    what it has begun: others wait for it, and memory must know everything that is on disk. So
    every step can be repeated, and none counts twice.

    `turn` is held by the thread that commits, and within it `lock` by the process. `grown` is about
    the number of bytes that this process has changed since the log was written back. `check`
    raises SpoolError if the file is not in its place any more.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        check: Callable[[], None],
        page: SharedPage,
        lock: WriteLock | None,
    ) -> None:
        self.connection = connection
        self.turn = threading.Lock()
        self.page = page
        self.grown = 0
        self.configure: Callable[[sqlite3.Connection], None] | None = None
        """Sets a new connection up before its first write."""
        self._lock = NoLock() if lock is None else lock
        self._path = path
        self._check = check
        self._queue: deque[_Write] = deque()
        self._full = False
        self._trouble, self._troubled_at = "", 0.0

    @property
    def trouble(self) -> str:
        """The reason why the last write has failed; "" if none has lately."""
        return self._trouble if time.monotonic() < self._troubled_at + _TROUBLED else ""

    def run(
        self,
        work: Callable[[sqlite3.Connection], Any],
        then: Callable[[Any], None] | None = None,
        tally: Callable[[Any], Tally] | None = None,
        *,
        single: bool = False,
    ) -> Any:
        """Run `work` in a committed transaction, and return its result.

        Then `tally` of the result is counted, and `then` called with it, in the order of the
        commits and before any other write. `work` and `then` are repeated after a signal handler
        has raised in them. `single`: `work` is one statement, a transaction by itself.
        """
        write = _Write(work, tally, then, single)
        self._queue.append(write)
        # Whoever waits for its turn waits for the other process as well, and not for longer.
        since = time.monotonic() if self.turn.locked() else 0.0
        lock = self._lock
        with self.turn:
            try:
                if not write.done:
                    lock.since = since
                    with lock:
                        try:
                            self._drain()
                        except BaseException:
                            self._drain()
                            raise
            except SpoolBusy as error:
                write.error, write.done = self._noted(error), True
            except BaseException:
                lock.__exit__()  # where a signal handler has raised as it was given back
                if not write.transaction.committed:
                    write.done = True  # it was not begun, and nobody must do it later
                raise
        if write.error is not None:
            raise write.error
        return write.result

    def set_up(self) -> None:
        """Set the connection up, unless it is. Raises sqlite3.Error."""
        if self.configure is not None:
            self.configure(self.connection)
            self.configure = None

    def alone(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        """Run `work` outside any transaction, while no other thread or process writes."""
        lock = self._lock
        with self.turn:
            try:
                lock.since = 0.0
                with lock:
                    self.set_up()
                    return work(self.connection)
            except BaseException as error:
                lock.__exit__()
                if isinstance(error, sqlite3.Error):
                    raise spool_error(self._path, error) from error
                raise

    def _drain(self) -> None:
        if self._full:
            self._make_room()
        # A write leaves the queue only when it is done: an interrupted thread finds it again, and
        # a thread whose write another has done finds nothing.
        queue = self._queue
        if len(queue) == 1 and not queue[0].done:  # mostly
            self._run_group([queue[0]])
        elif writes := [write for write in list(queue) if not write.done]:
            self._run_group(writes)
        while queue and queue[0].done:
            queue.popleft()

    def _make_room(self) -> None:
        """Write the log back into the database and empty it; on a full disk that is all the room
        there is.
        """
        with contextlib.suppress(sqlite3.Error):
            scrub(self.connection)
            self._full = False

    def _run_group(self, writes: Sequence[_Write]) -> None:
        try:
            self._run(writes)
        except Exception as error:
            if is_full(error):
                self._full = True
                self._make_room()
            elif isinstance(error, SpoolError):  # the file is lost: what its log has, goes with it
                self._make_room()
            # One bad write must not fail its neighbours: each is repeated by itself. A lock of
            # another program is no fault of any, and each would wait for it as long again.
            for write in writes:
                if is_locked(error) and not write.transaction.committed:
                    write.error = self._noted(spool_error(self._path, error))
                    write.done = True
                else:
                    self._repeat(write)
            if not isinstance(error, sqlite3.Error) and all(
                write.error is None for write in writes
            ):
                raise  # no write was bad: a signal handler raised

    def _repeat(self, write: _Write) -> None:
        try:
            self._run([write])
        except sqlite3.Error as error:
            write.error = self._noted(spool_error(self._path, error))
        except WalkerError as error:
            write.error = error
        except Exception as error:  # any other must reach its own caller, too
            write.error = SpoolError(f"spool {self._path}: cannot write: {describe(error)}")
            write.error.__cause__ = error
        write.done = True

    def _noted(self, error: SpoolError) -> SpoolError:
        """Return an error, which is the reason of `trouble` from now on."""
        self._trouble, self._troubled_at = str(error), time.monotonic()
        return error

    def _run(self, writes: Sequence[_Write]) -> None:
        # After an interruption some may be committed, but not published yet.
        uncommitted = [write for write in writes if not write.transaction.committed]
        if uncommitted:
            self._commit(uncommitted)
        for write in writes:
            if not write.done:
                self._publish(write)
                write.done = True

    def _commit(self, writes: Sequence[_Write]) -> None:
        self._check()
        if self.configure is not None:
            self.set_up()
        db, transaction = self.connection, _Transaction()
        if db.in_transaction:  # a thread was interrupted even before its rollback
            db.execute("ROLLBACK")
        together = len(writes) > 1 or not writes[0].single
        committing = False
        for write in writes:
            write.transaction = transaction
        try:
            if together:
                db.execute("BEGIN IMMEDIATE")
            for write in writes:
                write.result = write.work(db)
            if together:
                committing = True
                db.execute("COMMIT")
            transaction.committed = True
            if self._trouble:
                self._trouble = ""
        except BaseException as error:
            if db.in_transaction:
                db.execute("ROLLBACK")
            elif committing and not isinstance(error, sqlite3.Error):
                # SQLite has committed, and a signal handler raised before the next line.
                transaction.committed = True
            raise

    def _publish(self, write: _Write) -> None:
        """Count a committed write, and call its `then`."""
        if write.tally is not None and not write.counted:
            events, size = write.tally(write.result)
            grown, words = abs(size) + PAGE, self.page.words
            # Nothing is called between these lines, so that no signal handler runs.
            write.counted = True
            words[EVENTS] += events
            words[BYTES] += size
            self.grown += grown
        if write.then is None:
            return
        try:
            write.then(write.result)
        except Exception as error:  # a committed write must not be repeated
            try:
                write.then(write.result)
            except Exception:
                write.error = error
            else:
                raise  # the second call succeeded, so a signal handler had raised in the first


def try_scrub(db: sqlite3.Connection) -> bool:
    """Move the whole log into the database, unless somebody reads it; return whether it is empty.

    While one reads, no copy of deleted rows can be taken out of it.
    """
    ((waits,),) = db.execute("PRAGMA busy_timeout").fetchall()
    db.execute("PRAGMA busy_timeout = 0")
    try:
        ((busy, _, _),) = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return not busy
    finally:
        db.execute(f"PRAGMA busy_timeout = {waits}")


def scrub(db: sqlite3.Connection) -> None:
    """Move the whole log into the database, and leave no copy of deleted rows in it.

    Readers in other processes are waited for. Raises sqlite3.OperationalError if they go on.
    """
    for _ in range(_SCRUBS):
        if try_scrub(db):
            return
        time.sleep(_SCRUB_PAUSE)
    raise sqlite3.OperationalError("the log is being read, and could not be emptied")
