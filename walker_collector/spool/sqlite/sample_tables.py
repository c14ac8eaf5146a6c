"""The tables of figures and samples in a spool file: see `SampleTable`."""

import sqlite3
from collections.abc import Sequence
from typing import Final

from walker_collector.spool import damage
from walker_collector.spool.samples import SAMPLES_MAX
from walker_collector.spool.sqlite.group_commit import GroupCommit
from walker_collector.spool.sqlite.spool_reader import SpoolReader

DELETE_SAMPLES: Final = "DELETE FROM samples"
_UNTIL: Final = "SELECT coalesce(max(until), 0) FROM watchers"
_TRIM: Final = (
    f"DELETE FROM samples WHERE number <= (SELECT max(number) FROM samples) - {SAMPLES_MAX}"
)


class SqliteSampleTable:
    """Implements the table in a spool file."""

    def __init__(self, commits: GroupCommit, reader: SpoolReader) -> None:
        self._commits = commits
        self._reader = reader

    def watch(self, viewer: str, until: int) -> None:
        def work(db: sqlite3.Connection) -> None:
            # Rows of viewers that were killed go with the next one.
            db.execute(
                "DELETE FROM watchers WHERE viewer = ? OR until < ? - 60000", (viewer, until)
            )
            if until:
                db.execute("INSERT INTO watchers VALUES (?, ?)", (viewer, until))

        self._commits.run(work)

    def watched_until(self) -> int:
        ((until,),) = self._reader.rows(_UNTIL)
        return damage.number(until)

    def publish(self, process: str, at: int, figures: str, samples: Sequence[str]) -> None:
        def work(db: sqlite3.Connection) -> None:
            db.execute(
                "INSERT OR REPLACE INTO process_figures VALUES (?, ?, ?)", (process, at, figures)
            )
            rows = [(text,) for text in samples]
            db.executemany("INSERT INTO samples (body) VALUES (?)", rows)
            db.execute(_TRIM)

        self._commits.run(work)

    def figures(self, since: int) -> dict[str, str]:
        return dict(
            self._reader.rows(
                "SELECT process, figures FROM process_figures WHERE at >= ?", (since,)
            )
        )

    def samples(self, after: int) -> list[tuple[int, str]]:
        return self._reader.rows(
            "SELECT number, body FROM samples WHERE number > ? ORDER BY number", (after,)
        )

    def newest(self) -> int:
        ((newest,),) = self._reader.rows("SELECT coalesce(max(number), 0) FROM samples")
        return damage.number(newest)

    def clear(self) -> None:
        def work(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM process_figures")
            db.execute(DELETE_SAMPLES)

        self._commits.run(work)
