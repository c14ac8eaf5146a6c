"""Writes in groups: whoever holds the turn commits for everyone who queued meanwhile.

So a busy process pays one commit for many events, and a quiet one waits for nobody.
"""

import contextlib
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import define

from walker_collector.spool.failure import is_full, spool_error


@define(eq=False)
class _Job:
    """One write and what came of it."""

    work: Callable[[sqlite3.Connection], Any]
    then: Callable[[Any], None] | None = None
    single: bool = False
    result: Any = None
    error: BaseException | None = None
    done: bool = False


class Writer:
    """Runs writes in groups: the thread whose turn it is commits all that is queued."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self.connection = connection
        self._path = path
        self.turn = threading.Lock()
        self._jobs: deque[_Job] = deque()
        self._full = False

    def run(
        self,
        work: Callable[[sqlite3.Connection], Any],
        then: Callable[[Any], None] | None = None,
        *,
        single: bool = False,
    ) -> Any:
        """Run `work` in a committed transaction, then `then` with its result, in the order of
        the commits; `then` has the turn, so nobody else writes or counts meanwhile.

        `single`: it is one statement, which by itself is a transaction already.
        """
        job = _Job(work, then, single)
        self._jobs.append(job)
        with self.turn:
            if not job.done:
                self._commit([self._jobs.popleft() for _ in range(len(self._jobs))])
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

    def _commit(self, jobs: list[_Job]) -> None:
        if self._full:
            self._give_back()
        try:
            self._transaction(jobs)
        except Exception as error:
            if is_full(error):
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
            scrub(self.connection)
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
        together = len(jobs) > 1 or not jobs[0].single
        try:
            if together:
                self.connection.execute("BEGIN IMMEDIATE")
            for job in jobs:
                job.result = job.work(self.connection)
            if together:
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


def scrub(db: sqlite3.Connection) -> None:
    """Leave no copy of deleted rows in the log: everything into the database, the log emptied."""
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
