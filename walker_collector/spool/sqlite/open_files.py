"""The files of a spool while it is open: locks, connections, and their life across a fork."""

import os
import sqlite3
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

from walker_collector.config import SpoolConfig
from walker_collector.errors import SpoolError
from walker_collector.spool import damage
from walker_collector.spool.processes.disk import require_local_disk
from walker_collector.spool.processes.erasure_locks import ErasureLocks
from walker_collector.spool.processes.files import Loss, SpoolBusy, require_locks
from walker_collector.spool.processes.members import living_processes
from walker_collector.spool.processes.page import SharedPage
from walker_collector.spool.processes.presence import Presence
from walker_collector.spool.processes.write_lock import WriteLock
from walker_collector.spool.sqlite import claim_tables, event_tables, mend, people_tables
from walker_collector.spool.sqlite.checkpointer import Checkpointer
from walker_collector.spool.sqlite.failure import is_full, spool_error
from walker_collector.spool.sqlite.group_commit import GroupCommit, scrub
from walker_collector.spool.sqlite.schema import configure, prepare, shards_of
from walker_collector.spool.sqlite.spool_file import SpoolFile
from walker_collector.spool.sqlite.spool_reader import SpoolReader
from walker_collector.text import get_logger

LAST_STAMP: Final = 2**62
"""The last stamp of a statement that is taken for one."""
_OPENING: Final = 20.0
"""Seconds to wait for another process that checks the file as it opens it."""
_INHERITED: Final[dict[Path, SpoolFile]] = {}
"""Files with open connections of the parent, which a child must neither use nor close."""

logger = get_logger("walker_collector")


class OpenFiles:
    """Opens a spool: the first process checks and repairs the file.

    `shards`: see SqliteSpool. `commits`, `reader` and `checkpointer` have a connection each, `page`
    the figures that all processes share. `lock` is None where the spool is read only. Raises
    SpoolError if the files cannot be used.
    """

    def __init__(
        self, config: SpoolConfig, *, shards: int | None, read_only: bool, wait: float
    ) -> None:
        self.path = Path(config.path)
        self.shards = shards or 1
        self._wanted_shards = shards
        self._sync = config.sync
        self._read_only = read_only
        self._probing = threading.Lock()
        """Held while lock files of others are open: a forked child would keep them locked."""
        self.is_paused = False
        self.is_first = False
        """Whether no other process used the spool when it was opened."""
        if not read_only:
            require_locks(self.path)
            require_local_disk(Path(os.path.realpath(self.path)))
        self._spool_file = SpoolFile(self.path, read_only=read_only)
        self.real = self._spool_file.real
        self.erasure_locks = ErasureLocks(self.real)
        self._pause = self._hold_turns()
        try:
            self._open(wait)
        except BaseException:
            self._spool_file.close()
            raise

    def _open(self, wait: float) -> None:
        if self.real in _INHERITED:
            raise SpoolError(
                f"spool {self.path}: this process was forked within a call of the collector, and "
                "cannot use the spool; fork elsewhere"
            )
        self.lock: WriteLock | None = None
        self._presence: Presence | None = None
        self._killed = False
        file = self._spool_file
        try:
            if not self._read_only:
                self.lock = WriteLock(self.real, _OPENING, self._on_killed)
                file.locks = [self.lock]
            self.page = self.lock.page if self.lock else SharedPage()
            self.commits = GroupCommit(file.connect(), self.path, file.check, self.page, self.lock)
            self.reader = SpoolReader(file.connect(), self.path)
            self.checkpointer = Checkpointer(self.commits, file.connect(), file.descriptor)
            # It reads little text, so that a tolerant factory costs little; see SpoolReader.
            self.commits.connection.text_factory = damage.decoded
            self.commits.alone(self._prepare)
            file.note_companions()
            if self.lock is not None:
                self.lock.bound = wait
        except BaseException as error:
            self._close_locks()
            if isinstance(error, sqlite3.Error):
                raise spool_error(self.path, error) from error
            if isinstance(error, SpoolBusy):
                raise SpoolBusy(
                    f"spool {self.path}: process {self.page.pid} has been opening it, or writing "
                    f"to it, for {_OPENING:g} s; see whether it is stopped, or its disk slow"
                ) from None
            raise

    def _prepare(self, db: sqlite3.Connection) -> None:
        """Check and repair the file, unless another process has it open and has done so."""
        if self._read_only:
            prepare(self.real, db, self._sync, read_only=True, is_first=False)
            self.shards = shards_of(db)
            self.recount(db)
            return
        self._presence = presence = Presence(self.real)
        self.is_first = presence.is_first
        try:
            self._check_and_mend(db, first=presence.is_first)
        except BaseException:
            presence.close()  # with the write lock held: the next one checks the file itself
            raise
        self._spool_file.locks.append(presence)

    def _check_and_mend(self, db: sqlite3.Connection, *, first: bool) -> None:
        self._spool_file.check_companions()
        if self.page.events and self._spool_file.is_empty:
            logger.error(
                "spool %s: the file is empty and had events; somebody has emptied or deleted it, "
                "and they are lost",
                self.path,
            )
        shards = self._wanted_shards
        prepare(self.real, db, self._sync, read_only=False, is_first=first, shards=shards)
        self.shards = shards_of(db)
        if first:
            mend.mend(self.path, db, self.shards)
            self._forget_calls(db)
        if first or self._killed or not self.page.seq:
            self.recount(db)

    def _forget_calls(self, db: sqlite3.Connection) -> None:
        """Delete the calls of processes that have ended."""
        try:
            claim_tables.keep_calls_of(db, living_processes(self.real))
        except sqlite3.Error as error:
            if not is_full(error):  # else they are left: nobody waits for a call of the dead
                raise

    def _on_killed(self) -> None:
        """Count anew after a process was killed while it wrote."""
        self._killed = self._presence is None  # the tables may not be there yet
        if not self._killed:
            self.recount(self.commits.connection)

    def recount(self, db: sqlite3.Connection) -> None:
        """Set the figures of the page to those of the tables."""
        ((seq, events, size),) = db.execute(event_tables.SIZE).fetchall()
        ((stamp,),) = db.execute(people_tables.LAST_STAMP).fetchall()
        stamp = damage.number(stamp, LAST_STAMP)
        self.page.set(seq=seq, events=events, size=size, stamp=stamp)

    # --- while it is open ------------------------------------------------------------------

    def living(self) -> set[str]:
        """Return the tokens of the living processes of the spool."""
        with self._probing:
            return living_processes(self.real)

    def loss(self) -> Loss:
        """Return which files were deleted or replaced while they were in use."""
        return self._spool_file.loss

    @property
    def trouble(self) -> str:
        """The reason why nothing can be stored just now, with the remedy; "" if it can."""
        return self._spool_file.trouble or self.commits.trouble

    def is_at_path(self) -> bool:
        """Return whether the next process will find this database at its path."""
        return self._spool_file.is_at_path()

    # --- the end, and a fork ---------------------------------------------------------------

    def close(self) -> None:
        """Close everything. What the log of a file that was moved has is written back to it."""
        with self._turns():
            if not self._spool_file.is_in_place():  # else SQLite itself does so as it closes
                with suppress(sqlite3.Error):
                    scrub(self.commits.connection)
            self.erasure_locks.close()
            self._spool_file.close()
            self._close_locks()

    def _close_locks(self) -> None:
        if self._presence is not None:
            self._presence.close()
        if self.lock is not None:
            self.lock.close()

    def pause(self) -> None:
        """Close the file before a fork: SQLite would take its locks in a child for the child's.

        They are the process's own, and a child that opens the file beside inherited connections
        would have none: the last other process to close would delete the log under it.
        """
        self._probing.acquire()
        self.erasure_locks.pause()
        self._pause = self._hold_turns()
        next(self._pause)
        self.is_paused = True
        self._spool_file.close()

    def resume(self) -> None:
        """Open the file again, in the parent."""
        self.is_paused = False
        file = self._spool_file
        try:
            file.reopen()
            self.commits.connection = file.connect()
            self.commits.connection.text_factory = damage.decoded
            self.reader.connection, self.reader.lost = file.connect(), file.lost
            self.checkpointer.connection = file.connect()
            self.checkpointer.descriptor = file.descriptor
            self.commits.configure = partial(configure, sync=self._sync)
            with suppress(sqlite3.Error):  # the disk is full, say: then before the next write
                self.commits.set_up()
            file.note_companions()
        finally:
            self._pause.close()
            self.erasure_locks.resume()
            self._probing.release()

    def _hold_turns(self) -> Generator[None, None, None]:
        """Keep every other thread out until this is closed, or interrupted halfway."""
        with self.checkpointer.turn, self.commits.turn, self.reader.turn:
            yield

    _turns = contextmanager(_hold_turns)

    def abandon(self) -> None:
        """Close the copies of lock files, in a forked child: the locks stay the parent's."""
        self._close_locks()
        self.erasure_locks.abandon()
        if not self.is_paused:  # forked within a call of the collector: see `pause`
            _INHERITED[self.real] = self._spool_file
