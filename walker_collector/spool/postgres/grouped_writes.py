"""Group commit: one thread at a time commits the writes of all threads that wait.

The order of commits is that of the numbers, over all processes: a transaction that appends locks
the row of `accepted` until its commit, and gets its numbers after that. So nobody sees a number
while a lower one is still to be committed.

A connection may be lost while a transaction commits. So each transaction notes the number of its
commit in a row of this process, which tells the outcome later. The number of the transaction itself
does not: after a crash of the server another one may get it.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import psycopg
from attrs import define

from walker_collector.errors import SpoolError, WalkerError
from walker_collector.interrupts import uninterrupted
from walker_collector.spool.postgres.heard import HeardFigures, channel_of, message_of
from walker_collector.spool.postgres.server_errors import ServerTrouble, is_conflict, spool_error
from walker_collector.spool.postgres.sessions import Database, Session, is_idle, pauses
from walker_collector.spool.postgres.transactions import NOTHING, Needs, Transaction
from walker_collector.text import describe

_TROUBLED: Final = 30.0
"""Seconds for which a failed write tells of the server, while nobody writes."""
_CONFLICTS: Final = 20
"""Repetitions of a transaction that others have come between."""


class _OutcomeUnknown(SpoolError):
    """Nobody can tell whether a transaction has committed."""


Statement = tuple[str, Mapping[str, Any]]
"""The name of a statement, with its values."""


@define(eq=False)
class _Write:
    """One write, and its state. It is given up at the monotonic `deadline` (s).

    Work that is a statement may be repeated; other work takes a transaction.
    """

    work: Callable[[Transaction], Any] | Statement
    then: Callable[[Any], None] | None
    needs: Needs
    deadline: float
    result: Any = None
    error: BaseException | None = None
    done: bool = False
    tried: int = 0


class GroupedWrites:
    """Runs writes in groups, in the session of the writer.

    `order` is held until the committed writes are handed over: so others see them in the order of
    their commits. The turn of the session is not, as whoever they are handed to may read. Nothing
    here is interrupted by a signal handler: it runs on a thread without any. A trouble of the
    server is waited for up to `wait` seconds.
    """

    def __init__(
        self,
        session: Session,
        figures: HeardFigures,
        wait: float,
        *,
        settings: Mapping[str, str],
        sender: str,
    ) -> None:
        self.order = threading.Lock()
        self._session = session
        self._figures = figures
        self._wait = wait
        self._settings = settings
        self._sender = sender
        self._channel = channel_of(session.schema)
        self.waiting: deque[_Write] = deque()
        self._commits = 0
        self._trouble, self._troubled_at, self._troubled = "", 0.0, 0

    @property
    def trouble(self) -> str:
        """The reason why the last write has failed; "" if none has lately, by this connection."""
        is_old = time.monotonic() > self._troubled_at + _TROUBLED
        return "" if is_old or self._troubled != self._session.number else self._trouble

    def run(
        self,
        work: Callable[[Transaction], Any],
        then: Callable[[Any], None] | None = None,
        needs: Needs = NOTHING,
    ) -> Any:
        """Run `work` in a committed transaction, and return its result.

        Then `then` is called with it, in the order of the commits and before any other write.
        `work` may be run several times, and the last one counts.
        """
        write = _Write(work, then, needs, time.monotonic() + self._wait)
        return uninterrupted(lambda: self._run(write))

    def run_one(self, name: str, values: Mapping[str, Any]) -> list[Any]:
        """Run a statement that may be repeated; return its rows.

        Together with others of its kind, it takes one way to the server and back.
        """
        write = _Write((name, values), None, NOTHING, time.monotonic() + self._wait)
        rows: list[Any] = uninterrupted(lambda: self._run(write))
        return rows

    def _run(self, write: _Write) -> Any:
        self.waiting.append(write)
        with self.order:
            if not write.done:
                self._drain(write)
        if write.error is not None:
            raise write.error
        return write.result

    def _drain(self, own: _Write) -> None:
        """Commit the writes that wait, until the thread's own is done."""
        for pause in pauses():
            writes = list(self.waiting)
            try:
                # Apart: within a transaction, a statement would see figures that are not final.
                self._commit_all([item for item in writes if not isinstance(item.work, tuple)])
                self._commit_all([item for item in writes if isinstance(item.work, tuple)])
                self._trouble = ""
            except ServerTrouble as error:
                self._trouble, self._troubled_at = str(error), time.monotonic()
                self._troubled = self._session.number
                _fail_late(writes, error)
            while self.waiting and self.waiting[0].done:
                self.waiting.popleft()
            if own.done:
                return
            time.sleep(min(pause, max(0.0, own.deadline - time.monotonic())))

    def _commit_all(self, writes: Sequence[_Write]) -> None:
        """Commit writes together; one by one if one of them fails. Raises ServerTrouble.

        If their outcome stays unknown, all of them fail.
        """
        waiting = [write for write in writes if not write.done]
        if not waiting:
            return
        try:
            self._commit_repeatedly(waiting)
        except ServerTrouble:
            raise
        except _OutcomeUnknown as error:  # written again, they might be there twice
            for write in waiting:
                write.error, write.done = error, True
        except Exception as error:
            if len(waiting) == 1:
                waiting[0].error, waiting[0].done = self._error_of(error), True
                return
            for write in waiting:
                self._commit_all([write])
        else:
            for write in waiting:
                _hand_over(write)

    def _error_of(self, error: Exception) -> Exception:
        if isinstance(error, WalkerError):
            return error
        made = SpoolError(f"{self._session.name}: cannot write: {describe(error)}")
        made.__cause__ = error
        return made

    def _commit_repeatedly(self, writes: Sequence[_Write]) -> None:
        for _ in range(_CONFLICTS):
            try:
                with self._session.turn:
                    return self._commit(writes)
            except psycopg.Error as error:
                if not is_conflict(error):
                    raise spool_error(self._session.name, error) from error
        raise ServerTrouble(f"{self._session.name}: others write the same rows all the time")

    def _commit(self, writes: Sequence[_Write]) -> None:
        """Run writes in a transaction. It is committed if this returns, and is not if it raises."""
        connection = (database := self._session.open()).connection
        if statements := [item.work for item in writes if isinstance(item.work, tuple)]:
            self._run_statements(database, writes, statements)
            return
        transaction: Transaction | None = None
        error: Exception | None = None
        try:
            with connection.pipeline() as pipeline:
                try:
                    transaction = Transaction(database, pipeline, self._settings)
                    self._run_all(transaction, writes)
                except Exception as raised:  # kept: psycopg would log it as it leaves the pipeline
                    error = raised
        except psycopg.Error as raised:
            error = error or raised
        if transaction is None or not self._has_committed(transaction, connection):
            raise error or SpoolError(f"{self._session.name}: the server has rolled a write back")
        self._figures.hear(transaction.after)

    def _run_statements(
        self, database: Database, writes: Sequence[_Write], statements: Sequence[Statement]
    ) -> None:
        """Run statements that may be repeated, in one transaction: that of their pipeline."""
        try:
            results = database.rows_of_all(statements, self._settings)
        except psycopg.Error:
            self._roll_back(database.connection)
            raise
        for write, rows in zip(writes, results, strict=True):
            write.result = rows

    def _run_all(self, transaction: Transaction, writes: Sequence[_Write]) -> None:
        self._commits += 1
        transaction.begin((write.needs for write in writes), self._sender, self._commits)
        self._figures.hear(transaction.before)
        for write in writes:
            if not isinstance(write.work, tuple):  # those are apart: see `_drain`
                write.result = write.work(transaction)
        transaction.commit()
        if transaction.is_news:
            message = message_of(transaction.after, self._sender)
            transaction.later("notify", (self._channel, message))

    def _has_committed(self, transaction: Transaction, connection: psycopg.Connection[Any]) -> bool:
        """Return whether a transaction has committed, whatever error there was."""
        if transaction.is_committed:
            return True
        if transaction.is_committing and connection.closed:
            return self._asked_outcome()
        self._roll_back(connection)
        return False

    def _roll_back(self, connection: psycopg.Connection[Any]) -> None:
        """End a transaction that has failed, so that the connection can be used on."""
        try:
            if not connection.closed and not is_idle(connection):
                # A ROLLBACK by `execute` would leave psycopg with names of prepared statements that
                # a pipeline has skipped after the failed one: each later use of them would fail.
                connection.rollback()
        except psycopg.Error:
            self._session.drop()
        if connection.closed:
            self._session.drop()

    def _asked_outcome(self) -> bool:
        """Ask the server whether the last transaction has committed; its connection was lost."""
        deadline = time.monotonic() + self._wait
        for pause in pauses():
            try:
                # Refused while the server is still at work on that transaction.
                rows = self._session.run_with_turn(
                    lambda database: database.rows("last_commit", (self._sender,))
                )
                return bool(rows == [(self._commits,)])
            except SpoolError:
                pass
            if time.monotonic() + pause > deadline:
                break
            time.sleep(pause)
        raise _OutcomeUnknown(
            f"{self._session.name}: the connection was lost during a commit, and the server cannot "
            "be asked for its outcome; what was written then may be there"
        )


def _fail_late(writes: Sequence[_Write], error: ServerTrouble) -> None:
    """Fail the writes that have waited for long enough.

    After one attempt, none has: this process may have been stopped, and lost its connection so.
    """
    now = time.monotonic()
    for write in writes:
        write.tried += 1
        if not write.done and write.deadline <= now and write.tried > 1:
            write.error, write.done = error, True


def _hand_over(write: _Write) -> None:
    """Call the `then` of a committed write."""
    try:
        if write.then is not None:
            write.then(write.result)
    except Exception as error:
        write.error = error
    write.done = True
