"""The transactional outbox: events that are accepted if the application's transaction commits.

A push with the application's connection writes a row there, and nothing else. A process that
delivers takes it after the commit, as if it had been pushed then. Its id tells whether it was
accepted before: the row is removed only after that, and a process may be killed in between.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from attrs import evolve

from walker_collector.errors import CollectorClosed, EventError, Overtaken, SpoolError, WalkerError
from walker_collector.events import Bounds, decode, encode, is_command
from walker_collector.intake.accept import Intake
from walker_collector.intake.commands import plain_statement
from walker_collector.intake.origin import Origin, Posted
from walker_collector.intake.reading import readable
from walker_collector.people.consent import ConsentStore
from walker_collector.people.posted import object_in
from walker_collector.results import PushResult
from walker_collector.spool import RECENT, Outbox, OutboxRow
from walker_collector.text import LastTrouble, describe

_ORIGIN: Final = Origin(recent=RECENT)
"""Ids are remembered, whatever the flow says: a row is read again after a crash."""
_ROWS: Final = 500
"""Rows that are taken at once."""
_PAUSE: Final = 0.2
"""Seconds between looks at an empty outbox that is in use."""
_CALM_PAUSE: Final = 1.0
"""Seconds between looks at one that nobody has written to for `_IN_USE` seconds."""
_IN_USE: Final = 60.0
_LONG_PAUSE: Final = 1.0
"""Seconds after a failure."""
_JOIN: Final = 10.0
"""Seconds to wait for the rows that are just being accepted, at the end."""

logger = logging.getLogger("walker_collector")


def post(
    outbox: Outbox | None,
    connection: Any,
    raw: Mapping[str, Any],
    intake: Intake,
    stamp: Callable[[], int],
    new_id: Callable[[], str],
) -> PushResult:
    """Write an event or a statement of consent into the application's transaction.

    `stamp` tells when: as of then a statement counts, whenever it is accepted. Returns the id;
    there is no answer of a destination yet. Raises EventError for an event that
    could not be accepted, SpoolError for a spool without an outbox, or another database.
    """
    if outbox is None:
        raise SpoolError(
            "push(connection=...): events wait in no database; give the flow the url of one in "
            "collector.spool, the database of that connection"
        )
    read = intake.read(raw)
    if read.command is None:
        body = read.body
        id_ = str(decode(body)["id"])
    else:
        id_ = str(raw.get("id") or new_id())
        body = _command({**read.command, "id": id_}, intake.bounds)
    outbox.post(connection, stamp(), body)
    return PushResult(id_)


def _command(raw: Mapping[str, Any], bounds: Bounds) -> bytes:
    """Return the JSON of a statement of consent. Raises EventError for any other command."""
    if raw["name"] != "walker consent":
        raise EventError(
            f"{raw['name']}: changes this process alone, whatever becomes of a transaction; push "
            "it without a connection"
        )
    if raw.get("user") is None:
        raise EventError(
            "walker consent: without a user it is the default for everybody, which is no part of a "
            "transaction; name the user, or push it without a connection"
        )
    plain_statement(raw.get("data"), raw["user"], bounds)
    return readable(lambda: encode(raw, bounds))


class OutboxReader:
    """Takes events from the outbox on a thread of its own, until it is stopped.

    Of several processes one has the outbox at a time, as long as it lives.
    """

    def __init__(
        self, outbox: Outbox, intake: Intake, consents: ConsentStore, now: Callable[[], int]
    ) -> None:
        self._outbox = outbox
        self._intake = intake
        self._consents = consents
        self._now = now
        self._over = threading.Event()
        self._trouble = LastTrouble()
        self._thread = threading.Thread(target=self._run, name="walker-outbox", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Take nothing more."""
        self._over.set()
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(_JOIN)

    def _run(self) -> None:
        pause, used_at = 0.0, -_IN_USE
        while not self._over.wait(pause):
            try:
                if self.take():
                    pause, used_at = 0.0, time.monotonic()
                else:
                    in_use = time.monotonic() < used_at + _IN_USE
                    pause = _PAUSE if in_use else _CALM_PAUSE
                self._trouble.is_over()
            except Exception as error:
                pause = _LONG_PAUSE
                if self._trouble.is_new(error):
                    text = describe(error)
                    logger.warning("outbox: its events wait, and are tried again: %s", text)

    def take(self) -> bool:
        """Accept the next events; return whether there may be more. Raises SpoolError."""
        self._consents.refresh()
        # First: an erasure from now on takes rows away that this thread has in hand.
        origin = evolve(_ORIGIN, as_of=self._consents.erasures)
        rows = self._outbox.take(_ROWS)
        if not rows:
            return False
        now = self._now() * 1_000
        posted = _together([posted_event(row, now) for row in rows])
        results = self._intake.accept_many(posted, self._check_open, origin)
        settled, error = _settled(rows, results)
        self._outbox.remove(settled)
        if isinstance(error, Overtaken):
            self._consents.after_erasure()
        elif error is not None:
            raise error
        return True

    def _check_open(self) -> None:
        if self._over.is_set():
            raise CollectorClosed("the collector is closing")


def _together(events: Sequence[Posted]) -> Sequence[Posted]:
    """Return the first events, up to a statement of consent, or that alone.

    They are stored as one group: what there is no room for is its end, so that nothing is
    overtaken.
    """
    for count, event in enumerate(events):
        if is_command(event.event.get("name")):
            return events[: count or 1]
    return events


def _settled(
    rows: Sequence[OutboxRow], results: Sequence[PushResult | WalkerError]
) -> tuple[list[int], WalkerError | None]:
    """Return the rows that need no other attempt, and the error of the first that does.

    There are no results of the rows that are left for the next time.
    """
    settled: list[int] = []
    for (number, _, _), result in zip(rows, results, strict=False):
        if isinstance(result, EventError):  # another program has written this row
            logger.error("outbox: row %d is no event, and was removed: %s", number, result)
        elif isinstance(result, WalkerError):
            return settled, result
        settled.append(number)
    return settled, None


def posted_event(row: OutboxRow, now: int) -> Posted:
    """Return the event of a row, as of its push, which is not after the stamp `now`.

    Of a row that has none, something that is refused.
    """
    at = min(row.at, now)
    return Posted({"timestamp": at // 1_000, **object_in(row.body)}, at)
