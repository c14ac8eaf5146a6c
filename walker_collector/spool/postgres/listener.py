"""The watcher: hears of commits of other processes.

Processes tell each other of commits by notifications. These only save time: they may be lost with a
session, so the figures of the spool are read every few seconds as well.
"""

import logging
import selectors
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from psycopg.sql import SQL, Identifier

from walker_collector.errors import SpoolError
from walker_collector.spool.postgres.heard import Figures, HeardFigures, channel_of, figures_in
from walker_collector.spool.postgres.sessions import Database, Session
from walker_collector.text import LastTrouble, describe

_POLL: Final = 1.0
"""Seconds between reads of the figures, and after an error."""
_LISTENING: Final = 5.0
"""Seconds between reads while messages of others come: none is lost but with the session."""
_PAUSE: Final = 0.01
"""Seconds after news, so that those of a moment are seen together."""
_JOIN: Final = 10.0
"""Seconds to wait for a look that is under way, at the end."""
logger = logging.getLogger("walker_collector")


class Watcher:
    """Calls `on_change` after commits of other processes, on a thread of its own.

    After commits of this one it may be called as well. What has changed is for `on_change` to find
    out. The figures are read in `session`, which is not closed; `listens`: messages of others come
    there, too. `sign` is called with the connection about every second, `on_look` at each look.
    """

    def __init__(
        self,
        session: Session,
        figures: HeardFigures,
        on_change: Callable[[], None],
        *,
        listens: bool,
        sign: Callable[[Database], None] = lambda database: None,
        on_look: Callable[[], None] = lambda: None,
    ) -> None:
        self._session = session
        self._figures = figures
        self._on_change = on_change
        self._listens = listens
        self._poll = _LISTENING if listens else _POLL
        self._sign = sign
        self._on_look = on_look
        self._seen: tuple[int, ...] | None = _news_in(figures.last)
        self._read_at = 0.0
        self._listens_to = 0
        """The number of the connection to which messages come."""
        self._trouble = LastTrouble()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._waker: socket.socket | None = None

    def start(self) -> None:
        """Begin to look."""
        self._waker, woken = socket.socketpair()
        self._thread = threading.Thread(
            target=self._run, args=(woken,), name="walker-watcher", daemon=True
        )
        self._thread.start()

    def _run(self, woken: socket.socket) -> None:
        with woken:
            while not self._over.is_set():
                try:
                    self._look()
                    self._trouble.is_over()
                    self._wait(woken)
                except Exception as error:  # the next look may find the server in a better state
                    self._tell(error)
                    self._over.wait(_POLL)

    def _look(self) -> None:
        self._session.run(self._read)
        self._on_look()
        news = _news_in(self._figures.last)
        if news == self._seen:
            return
        self._seen = None  # until it was passed on
        self._on_change()
        self._seen = news
        self._over.wait(_PAUSE)

    def _read(self, database: Database) -> None:
        if self._listens and self._listens_to != self._session.number:
            self._listen(database)
        if time.monotonic() >= self._read_at + self._poll:
            self._figures.ask(database)
            self._sign(database)
            self._read_at = time.monotonic()
        if self._listens:
            # Last: those that have come during the query are among them.
            for message in database.connection.notifies(timeout=0):
                if (heard := figures_in(message.payload)) is not None:
                    self._figures.hear(heard[1])

    def _listen(self, database: Database) -> None:
        channel = Identifier(channel_of(database.queries.schema))
        database.connection.execute(SQL("LISTEN {}").format(channel))
        # The server keeps messages for a stopped process: for so long, not until its disk is full.
        database.connection.execute("SET idle_session_timeout = '30s'")
        self._listens_to = self._session.number
        self._read_at = 0.0  # some may have been missed

    def _wait(self, woken: socket.socket) -> None:
        """Wait for a message, until the figures are to be read; or for the end."""
        with selectors.DefaultSelector() as selector:
            selector.register(woken, selectors.EVENT_READ)
            if self._listens:  # without the turn of the session: a fork need not wait for this
                file = self._session.run(lambda database: database.connection.fileno())
                selector.register(file, selectors.EVENT_READ)
            selector.select(max(0.0, self._read_at + self._poll - time.monotonic()))

    def _tell(self, error: Exception) -> None:
        """Log an error of looks once, not at each of them."""
        if not self._trouble.is_new(error):
            return
        logger.error(
            "%s: what other processes have written could not be read: %s",
            self._session.name,
            describe(error),
            exc_info=not isinstance(error, SpoolError),  # which says itself what to do
        )

    def close(self) -> None:
        """Stop looking."""
        self._over.set()
        if self._waker is not None:
            with suppress(OSError):  # the thread has just ended
                self._waker.send(b"\0")
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_JOIN)
        self._close_waker()

    def _close_waker(self) -> None:
        waker, self._waker = self._waker, None
        if waker is not None:
            waker.close()

    def abandon(self) -> None:
        """Look no more, in a forked child."""
        self._over.set()
        self._close_waker()


def _news_in(figures: Figures) -> tuple[int, ...]:
    """Return the figures that are other ones whenever there is something to look at."""
    return figures.seq, figures.erasures, figures.changes
