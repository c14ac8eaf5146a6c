"""The rows of figures and samples in a database: see `SampleTable`."""

from collections.abc import Sequence

from walker_collector.spool.postgres.sessions import Database
from walker_collector.spool.postgres.spool_core import SpoolCore
from walker_collector.spool.samples import SAMPLES_MAX


class PostgresSampleTable:
    """Implements the table in a database; each statement is a transaction of its own."""

    def __init__(self, core: SpoolCore) -> None:
        self._core = core

    def watch(self, viewer: str, until: int) -> None:
        def work(database: Database) -> None:
            if until:
                database.run("watch", {"viewer": viewer, "until": until})
            else:
                database.run("stop_watching", (viewer,))

        self._core.ask(work)

    def watched_until(self) -> int:
        ((until,),) = self._core.rows("watched_until")
        return int(until)

    def publish(self, process: str, at: int, figures: str, samples: Sequence[str]) -> None:
        def work(database: Database) -> None:
            database.run("publish", (process, at, figures, list(samples)))
            if samples:
                database.run("trim_samples", (SAMPLES_MAX,))

        self._core.ask(work)

    def figures(self, since: int) -> dict[str, str]:
        return dict(self._core.rows("process_figures", (since,)))

    def samples(self, after: int) -> list[tuple[int, str]]:
        return self._core.rows("samples", (after,))

    def newest(self) -> int:
        ((newest,),) = self._core.rows("newest_sample")
        return int(newest)

    def clear(self) -> None:
        def work(database: Database) -> None:
            database.run("delete_figures")
            database.run("delete_samples")

        self._core.ask(work)
