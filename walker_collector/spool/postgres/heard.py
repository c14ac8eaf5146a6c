"""The figures of the spool as this process has heard them last.

Every write tells them on its way, and the listener hears of those of others. Where neither has
happened for a moment, whoever looks at a figure asks the server.
"""

import json
import time
from contextlib import suppress
from hashlib import blake2b
from typing import Final, NamedTuple

from walker_collector.errors import SpoolError
from walker_collector.interrupts import uninterrupted
from walker_collector.spool.postgres.sessions import Database, Session

_FRESH: Final = 0.25
"""Seconds after which figures are old."""


class Figures(NamedTuple):
    """The last number that was given; the stored events and their bytes; erasures so far.

    changes: a counter of the changes of people. last_stamp: of the last statement about consent.
    """

    seq: int = 0
    events: int = 0
    size: int = 0
    erasures: int = 0
    changes: int = 0
    last_stamp: int = 0


class HeardFigures:
    """The figures that this process has heard last; thread-safe."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._at = 0.0
        self.last = Figures()

    def hear(self, heard: Figures) -> None:
        """Take figures; of two threads, one may come late with older ones."""
        known = self.last
        newer = heard.seq >= known.seq
        self.last = Figures(
            max(heard.seq, known.seq),
            heard.events if newer else known.events,
            heard.size if newer else known.size,
            *map(max, heard[3:], known[3:]),
        )
        self._at = time.monotonic()

    def ask(self, database: Database) -> None:
        """Read the figures."""
        self.hear(Figures(*database.rows("figures")[0]))

    def current(self) -> Figures:
        """Return the figures; they are read first if they are old, and nobody is at work."""
        if self._session.database is not None:
            self.ask_soon()
        return self.last

    def ask_soon(self) -> None:
        """Read the figures if they are old, and nobody is at work; connect for it if need be."""
        if time.monotonic() - self._at > _FRESH:
            uninterrupted(self._refresh)

    def _refresh(self) -> None:
        turn = self._session.turn
        if turn.acquire(blocking=False):
            try:
                with suppress(SpoolError):
                    self._session.run_with_turn(self.ask)
            finally:
                self._at = time.monotonic()
                turn.release()


def channel_of(schema: str) -> str:
    """Return the name of the channel on which processes tell each other of commits."""
    return f"walker_{blake2b(schema.encode(), digest_size=8).hexdigest()}"


def message_of(figures: Figures, sender: str) -> str:
    """Return the message about a commit."""
    return json.dumps([sender, *figures])


def figures_in(message: str) -> tuple[str, Figures] | None:
    """Return the sender of a message and its figures; None: it is of somebody else."""
    try:
        sender, *figures = json.loads(message)
        return str(sender), Figures(*map(int, figures))
    except (ValueError, TypeError):
        return None
