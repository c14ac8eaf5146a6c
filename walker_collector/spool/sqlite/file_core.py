"""The parts that all of a spool file stands on: its files, figures, commits and queries."""

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from walker_collector.config import SpoolConfig
from walker_collector.spool.base import PeopleUpdate, StoredEntry
from walker_collector.spool.rows import stored_entry
from walker_collector.spool.sqlite import event_tables, people_tables, shard_tables
from walker_collector.spool.sqlite.catalog import CachedCatalog
from walker_collector.spool.sqlite.open_files import OpenFiles
from walker_collector.spool.sqlite.spool_reader import Fetch, fetch_all


class Settings(NamedTuple):
    """How a spool is opened; see `SqliteSpool`."""

    config: SpoolConfig
    shards: int | None
    recent: int
    read_only: bool
    wait: float


class FileCore:
    """An open spool file, with its catalog.

    page: the figures that all processes of the spool share; `words` are the same, as they are in
    memory. uncounted_erasures: 1 while an erasure is written that the page does not count yet.
    last_old: the number of the last event that was there when the file was opened.
    """

    def __init__(self, settings: Settings) -> None:
        self.config = config = settings.config
        self.path = Path(config.path)
        self.recent = settings.recent
        self.files = files = OpenFiles(
            config, shards=settings.shards, read_only=settings.read_only, wait=settings.wait
        )
        self.shards = files.shards
        self.page = files.page
        self.commits, self.reader = files.commits, files.reader
        self.checkpointer = files.checkpointer
        try:
            self.catalog = CachedCatalog(self.commits)
        except BaseException:
            files.close()
            raise
        self.words = self.page.words
        self.last_old = self.page.seq
        self.uncounted_erasures = 0

    # --- reading ---------------------------------------------------------------------------

    def rows(self, sql: str, args: Sequence[Any] = (), fetch: Fetch = fetch_all) -> list[Any]:
        """Return the rows of a query. Raises SpoolError."""
        return self.reader.rows(sql, args, fetch)

    def number_of(self, destination: str) -> int | None:
        """Return the number of a destination; None: nothing was ever stored for it."""
        number = self.catalog.current.numbers.get(destination)
        if number is None:  # another process may have registered it since
            for (number,) in self.rows(event_tables.NUMBER, (destination,)):
                return int(number)
        return number

    def entries(
        self, sql: str, destination: str, *args: int | str, fetch: Fetch = fetch_all
    ) -> list[StoredEntry]:
        """Return the entries at a destination that a query finds."""
        number = self.number_of(destination)
        if number is None:
            return []
        # The JSON of events that were accepted since the opening is not checked for damage.
        old = self.last_old
        rows = self.rows(sql, (number, *args), fetch)
        return [stored_entry(row, parse=row[0] <= old) for row in rows]

    # --- people, within the transaction of others ------------------------------------------

    def learn(self, db: sqlite3.Connection, update: PeopleUpdate) -> None:
        """Write an update about people. Raises StalePeople if it is based on an older version."""
        people_tables.learn(db, update)
        if self.shards > 1 and update.aliases:
            shard_tables.move(db, update.aliases, self.shards)

    def learned(self, update: PeopleUpdate) -> None:
        """Count an update about people that is committed."""
        self.page.stated(update.last_stamp)
        self.page.people_changed()

    # --- the end, and a fork ---------------------------------------------------------------

    def close(self) -> None:
        """Close all files."""
        self.files.close()
        self.words = self.page.words
