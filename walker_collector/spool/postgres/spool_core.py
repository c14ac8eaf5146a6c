"""The parts that all of a spool in PostgreSQL stands on: the writer's session, and group commit."""

import secrets
from _thread import start_new_thread
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

from walker_collector.errors import SpoolError
from walker_collector.interrupts import uninterrupted
from walker_collector.spool.postgres.grouped_writes import GroupedWrites
from walker_collector.spool.postgres.heard import HeardFigures
from walker_collector.spool.postgres.layout import prepare
from walker_collector.spool.postgres.queries import Queries
from walker_collector.spool.postgres.session_claims import Claims
from walker_collector.spool.postgres.sessions import Database, Session
from walker_collector.spool.postgres.spool_place import Place
from walker_collector.spool.postgres.transactions import settings_of
from walker_collector.spool.postgres.watchdog import Watchdog

T = TypeVar("T")

_GRACE: Final = 0.2
"""Seconds that an interrupted start waits for the server."""


class SpoolCore:
    """The session of the writer in one process, with the figures and destinations of the spool.

    sender: the name of this process in messages to others. inherited: the last number when it was
    opened; None: other processes were there.
    """

    def __init__(
        self, place: Place, *, shards: int | None, recent: int, read_only: bool, wait: float
    ) -> None:
        self.place = place
        self.recent = recent
        self.wait = wait
        self.sender = secrets.token_hex(8)
        self.queries = Queries(place.schema)
        settings = settings_of(wait, full_sync=place.sync == "full")
        self.watchdog = Watchdog()
        self.session = Session(
            place, place.url, self.queries, settings=settings, watchdog=self.watchdog
        )
        self.name = self.session.name
        self.figures = HeardFigures(self.session)
        self.writes = GroupedWrites(
            self.session,
            self.figures,
            wait,
            settings=settings,
            sender=self.sender,
        )
        self.claims: Claims | None = None
        """Those of this process; None: it delivers nothing."""
        self._numbers: dict[str, int] = {}
        self.takes_no_writes = False
        """Whether the server took none as it was opened, only to be read."""

        self.shards, is_alone = self._open(shards, read_only=read_only)
        self.inherited = self.figures.last.seq if is_alone else None

    def _open(self, shards: int | None, *, read_only: bool) -> tuple[int, bool]:
        """Connect; return the number of shards, and whether no other process is there."""

        def opened(database: Database) -> tuple[int, bool]:
            layout = prepare(database, self.name, shards, read_only=read_only)
            self.figures.ask(database)
            self._numbers = dict(database.rows("destinations"))
            if read_only:
                ((self.takes_no_writes,),) = database.rows("takes_no_writes")
            else:
                database.run("add_writer", (self.sender,))
            ((others,),) = database.rows("others_there")
            return layout.shards, others == 0

        self.watchdog.start()
        try:
            return uninterrupted(lambda: self.session.repeat(opened, self.wait), grace=_GRACE)
        except Exception:
            self._end()
            raise
        except BaseException:  # a signal handler's; the start may still wait for the server
            start_new_thread(self._end, ())
            raise

    def rows(self, name: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[Any]:
        """Return the rows of a query. Raises SpoolError."""
        return self.ask(lambda database: database.rows(name, values))

    def ask(self, work: Callable[[Database], T]) -> T:
        """Run `work`, which may be repeated, in the session of the writer. Raises SpoolError."""
        return uninterrupted(lambda: self.session.repeat(work, self.wait))

    def numbers_of(self, destinations: Collection[str]) -> Mapping[str, int]:
        """Return the numbers of all destinations; these get one if they have none."""
        if not all(id_ in self._numbers for id_ in destinations):
            self.ask(lambda database: self._add(database, destinations))
        return self._numbers

    def _add(self, database: Database, destinations: Iterable[str]) -> None:
        for id_ in sorted(destinations):
            database.run("add_destination", {"id": id_})
        self._numbers = dict(database.rows("destinations"))

    def number_of(self, destination: str) -> int | None:
        """Return the number of a destination; None: nothing was ever stored for it."""
        if destination not in self._numbers:  # another process may have added it since
            self._numbers = dict(self.rows("destinations"))
        return self._numbers.get(destination)

    def close(self) -> None:
        """End the session, not in the middle of a group of writes."""
        with self.writes.order, self.session.turn:
            if self.session.database is not None:
                with suppress(SpoolError):  # its row is left, for some time
                    self.session.run_with_turn(lambda db: db.run("delete_writer", (self.sender,)))
        self._end()

    def _end(self) -> None:
        self.session.close()
        self.watchdog.close()
