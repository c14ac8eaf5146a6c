"""Messages without an event: left out, or forwarded to a topic of dead letters."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from logging import Logger
from typing import Any, Final

from attrs import define, field

from walker_collector.errors import EventError
from walker_collector.kafka.client_log import client_error
from walker_collector.sources.kafka.message_events import Message
from walker_collector.text import storable

Bad = tuple[Message, EventError]

_SHOWN: Final = 20
_SHOWN_IN: Final = 60.0
"""So many are named in the log in so many seconds; more are only counted."""
_ACKNOWLEDGED_IN: Final = 10.0
"""Seconds in which the brokers have to acknowledge forwarded messages."""
_PAUSE: Final = 1.0
_REASON_MAX: Final = 500
"""Characters of a reason."""
_TOO_LARGE: Final = frozenset({"MSG_SIZE_TOO_LARGE", "_MSG_SIZE_TOO_LARGE", "INVALID_RECORD"})
"""No attempt to forward the message will ever succeed."""


class StoppedError(Exception):
    """The source stops before a message could be forwarded: its partition stays before it."""


@define(eq=False)
class SkippedLog:
    """Names messages that are left out in the log, some of many."""

    _logger: Logger
    _clock: Callable[[], float] = time.monotonic
    _since: float = field(default=float("-inf"), init=False)
    _count: int = field(default=0, init=False)

    def note(self, message: Message, what: str) -> None:
        """Log one message, unless many were logged in the last minute."""
        now = self._clock()
        if now - self._since >= _SHOWN_IN:
            if self._count > _SHOWN:
                self._logger.warning("%d more messages without an event", self._count - _SHOWN)
            self._since, self._count = now, 0
        self._count += 1
        if self._count <= _SHOWN:
            place = f"{message.topic()}, partition {message.partition()}, offset {message.offset()}"
            self._logger.warning("%s: %s", place, what)


@define(eq=False, kw_only=True)
class BadMessages:
    """Leaves messages out, or forwards them to a topic as they are.

    `make_producer` returns a producer for that topic. `stopped`, `pause`: see `HandingOn`.
    `count` is informed how many there were.
    """

    topic: str | None
    group: str
    make_producer: Callable[[], Any]
    logger: Logger
    count: Callable[[int], object]
    stopped: Callable[[], bool]
    pause: Callable[[float], object]
    _log: SkippedLog = field(init=False)
    _producer: Any = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._log = SkippedLog(self.logger)

    def take(self, found: Sequence[Bad]) -> None:
        """Treat messages; returns once the brokers have those that are forwarded.

        Raises StoppedError if they have not when the source stops.
        """
        if self.topic is not None:
            self._forward(found, self.topic)
        else:
            for message, error in found:
                self._log.note(message, f"skipped: {error}")
        self.count(len(found))

    def close(self) -> None:
        """Release the connection."""
        self._producer = None

    def _forward(self, found: Sequence[Bad], topic: str) -> None:
        has_warned = False
        left = list(found)
        while left := self._without_receipt(left, topic):
            if not has_warned:
                has_warned = True
                self.logger.warning(
                    "messages without an event cannot be forwarded to %s now (settings.onBad); "
                    "their partitions wait, and it is tried again",
                    topic,
                )
            if self.stopped():
                raise StoppedError
            self.pause(_PAUSE)

    def _without_receipt(self, found: Sequence[Bad], topic: str) -> list[Bad]:
        """Send messages; return those that the brokers may not have."""
        fates = self._send(found, topic)
        left = []
        for at, item in enumerate(found):
            if at in fates and fates[at] is None:
                continue
            if at in fates and client_error(fates[at]).name in _TOO_LARGE:
                self._give_up(*item)
            else:
                left.append(item)
        if left:  # a client with a fatal error has stopped for good: the next attempt gets another
            self._producer = None
        return left

    def _send(self, found: Sequence[Bad], topic: str) -> dict[int, Any]:
        """Send messages; return the error of each that has an answer, None for a receipt."""
        fates: dict[int, Any] = {}

        def report(at: int, error: Any, _: Any) -> None:
            # No more than that: at a fatal error the client calls with an exception raised already.
            fates[at] = error

        producer = self._producer = self._producer or self.make_producer()
        for at, (message, error) in enumerate(found):
            headers = _headers(message, error, self.group)
            key, value = message.key(), message.value()
            try:
                producer.produce(
                    topic, value, key, headers=headers, on_delivery=partial(report, at)
                )
            except Exception as refusal:  # of the client, whose exceptions come with the extra
                fates[at] = refusal
        with suppress(Exception):  # the client has stopped for good
            producer.flush(_ACKNOWLEDGED_IN)
        return fates

    def _give_up(self, message: Message, error: EventError) -> None:
        self._log.note(message, f"skipped, as it is too large to be forwarded: {error}")


def _headers(message: Message, error: EventError, group: str) -> list[tuple[str, bytes | None]]:
    """Return the headers of a message, and those that tell why and from where it comes."""
    return [
        *(message.headers() or ()),
        ("walker-dead-reason", storable(error, _REASON_MAX).encode()),
        ("walker-dead-topic", message.topic().encode()),
        ("walker-dead-partition", b"%d" % message.partition()),
        ("walker-dead-offset", b"%d" % message.offset()),
        ("walker-dead-group", group.encode()),
    ]
