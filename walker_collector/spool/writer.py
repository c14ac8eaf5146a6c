"""Writes in groups: whoever holds the turn commits for everyone who queued meanwhile.

So a busy process pays one commit for many events, and a quiet one waits for nobody.
"""

import contextlib
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from attrs import define

from walker_collector.errors import SpoolError, WalkerError
from walker_collector.spool.failure import is_full, spool_error
from walker_collector.spool.schema import PAGE
from walker_collector.text import describe

Tally = tuple[int, int]
"""By how many events, and bytes of events, the spool holds more than before."""


@define
class _Commit:
    """The transaction of a group of writes; `made` once it is committed."""

    made: bool = False


_NONE: Final = _Commit()


@define(eq=False)
class _Job:
    """One write and what came of it."""

    work: Callable[[sqlite3.Connection], Any]
    tally: Callable[[Any], Tally] | None = None
    then: Callable[[Any], None] | None = None
    single: bool = False
    commit: _Commit = _NONE
    result: Any = None
    counted: bool = False
    error: BaseException | None = None
    done: bool = False


class Writer:
    """Runs writes in groups: the thread whose turn it is commits all that is queued.

    A signal handler may raise in that thread at any moment. What it has begun it ends first:
    others wait for it, and what is on disk must be known in memory as well. So every step can be
    taken once more, and counts what it has counted already.

    `events` and `bytes` are kept in the spool; `grown` is about how many bytes were changed since
    the log was written back.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self.connection = connection
        self.turn = threading.Lock()
        self.events = 0
        self.bytes = 0
        self.grown = 0
        self._path = path
        self._jobs: deque[_Job] = deque()
        self._full = False

    def run(
        self,
        work: Callable[[sqlite3.Connection], Any],
        then: Callable[[Any], None] | None = None,
        tally: Callable[[Any], Tally] | None = None,
        *,
        single: bool = False,
    ) -> Any:
        """Run `work` in a committed transaction, then count what `tally` makes of its result and
        call `then` with it, in the order of the commits. `then` has the turn, so nobody else
        writes or counts meanwhile.

        `work` and `then` are run once more where a signal handler has raised in them. `single`:
        `work` is one statement, which by itself is a transaction already.
        """
        job = _Job(work, tally, then, single)
        self._jobs.append(job)
        with self.turn:
            try:
                self._work_off()
            except BaseException:
                self._work_off()
                raise
        if job.error is not None:
            raise job.error
        return job.result

    def alone(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        """Run `work` outside any transaction, with nobody else writing."""
        with self.turn:
            try:
                return work(self.connection)
            except sqlite3.Error as error:
                raise spool_error(self._path, error) from error

    def _work_off(self) -> None:
        if self._full:
            self._give_back()
        # Queued until they are done, so that none is missed by whoever is interrupted.
        jobs = [job for job in list(self._jobs) if not job.done]
        if jobs:
            self._commit(jobs)
        while self._jobs and self._jobs[0].done:
            self._jobs.popleft()

    def _give_back(self) -> None:
        """Write the log back into the database and empty it, before it takes what room there is."""
        with contextlib.suppress(sqlite3.Error):
            scrub(self.connection)
            self._full = False

    def _commit(self, jobs: Sequence[_Job]) -> None:
        try:
            self._run(jobs)
        except Exception as error:
            if is_full(error):
                self._full = True
                self._give_back()
            # One bad write must not fail its neighbours: each once more, by itself.
            for job in jobs:
                self._retry(job)
            if not isinstance(error, sqlite3.Error) and all(job.error is None for job in jobs):
                raise  # no write was bad: a signal handler raised

    def _retry(self, job: _Job) -> None:
        try:
            self._run([job])
        except sqlite3.Error as error:
            job.error = spool_error(self._path, error)
        except WalkerError as error:
            job.error = error
        except Exception as error:  # whatever it is, its own caller must see it
            job.error = SpoolError(f"spool {self._path}: cannot write: {describe(error)}")
            job.error.__cause__ = error
        job.done = True

    def _run(self, jobs: Sequence[_Job]) -> None:
        fresh = [job for job in jobs if not job.commit.made]
        if fresh:
            self._write(fresh)
        for job in jobs:
            if not job.done:
                self._tell(job)
                job.done = True

    def _write(self, jobs: Sequence[_Job]) -> None:
        db, commit = self.connection, _Commit()
        if db.in_transaction:  # of somebody who could not even roll it back
            db.execute("ROLLBACK")
        together = len(jobs) > 1 or not jobs[0].single
        committing = False
        for job in jobs:
            job.commit = commit
        try:
            if together:
                db.execute("BEGIN IMMEDIATE")
            for job in jobs:
                job.result = job.work(db)
            if together:
                committing = True
                db.execute("COMMIT")
            commit.made = True
        except BaseException as error:
            if db.in_transaction:
                db.execute("ROLLBACK")
            elif committing and not isinstance(error, sqlite3.Error):
                commit.made = True  # interrupted after the commit
            raise

    def _tell(self, job: _Job) -> None:
        """Count what a write has changed, and call what was to be called then."""
        if job.tally is not None and not job.counted:
            events, size = job.tally(job.result)
            grown = abs(size) + PAGE
            # Nothing is called between these lines, so that no signal handler runs.
            job.counted = True
            self.events += events
            self.bytes += size
            self.grown += grown
        if job.then is None:
            return
        try:
            job.then(job.result)
        except Exception as error:  # what is committed must not be written again
            try:
                job.then(job.result)
            except Exception:
                job.error = error
            else:
                raise  # it was not to blame: a signal handler raised


def scrub(db: sqlite3.Connection) -> None:
    """Leave no copy of deleted rows in the log: everything into the database, the log emptied."""
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
