"""Every event is handed on once, and no faster than the collector takes them."""

import threading
from contextlib import suppress

from walker_collector.testing.contract.sources.source_base import (
    SourceBase,
    answered,
    arrived,
    holds_at_once,
    require,
    send,
    wait_until,
)
from walker_collector.testing.sender import Sender
from walker_collector.testing.source_harness import SourceHarness

_FLOOD = 20_000
"""Events that no source may take from a sender while the collector takes none."""
_MESSAGE = 100
"""Events of one message of the flood."""
_ACKNOWLEDGED = "the numbers that the sender was told are taken"


class HandingOnContract(SourceBase):
    """Events are handed on once, and acknowledged when they are taken."""

    def test_events_are_handed_on_once(self, sender: Sender) -> None:
        with self.running(sender) as source:
            for message in ([1], [2], [3, 4, 5]):
                answered(send(sender, source, message), "a message was not answered")
            arrived(sender, source, range(1, 6))
        arrived(sender, source, range(1, 6))

    def test_events_of_many_senders_are_handed_on_once(self, sender: Sender) -> None:
        with self.running(sender) as source:
            sent = send(sender, source, *([number, number + 1] for number in range(0, 40, 2)))
            answered(sent, "of 20 messages at once some were not answered")
            arrived(sender, source, range(40))

    def test_ready_is_called_before_events_are_handed_on(self, sender: Sender) -> None:
        with self.running(sender) as source:
            answered(send(sender, source, [1]), "a message was not answered")
            assert not source.early, (
                "events were handed on before context.ready(place): call it first, and then take"
                " events"
            )
            arrived(sender, source, [1])

    def test_taken_events_are_acknowledged(self, sender: Sender) -> None:
        acknowledged = require(sender.acknowledged, "acknowledged", _ACKNOWLEDGED)
        with self.running(sender) as source:
            answered(send(sender, source, [1], [2, 3]), "a message was not answered")
            wait_until(
                lambda: sorted(acknowledged()) == [1, 2, 3],
                "events that context.accept took were not acknowledged to their sender",
            )

    def test_nothing_is_acknowledged_while_accept_waits(self, sender: Sender) -> None:
        acknowledged = require(sender.acknowledged, "acknowledged", _ACKNOWLEDGED)
        with self.running(sender) as source:
            source.hold()
            sent = send(sender, source, [1], [2])
            wait_until(lambda: source.inside, "an event was not handed on")
            holds_at_once(acknowledged)
            early = list(acknowledged())
            source.release()
            answered(sent, "a message was not answered when context.accept had returned")
        assert not early, (
            "events were acknowledged before context.accept had returned: it may still refuse them,"
            " and what is not stored is lost if the process ends"
        )

    def test_no_more_is_read_than_the_collector_takes(self, sender: Sender) -> None:
        flood = _Flood(sender)
        with self.running(sender) as source:
            source.hold()
            flood.start(source)
            flood.wait_until_still()
            taken = flood.sent - len(sender.refused() if sender.refused else ())
            flood.end()
            source.release()
            assert taken < _FLOOD, (
                f"{taken:,} events were taken from the sender while context.accept had not"
                " returned: read no more before it has, or memory fills up"
            )
            wait_until(lambda: flood.done, "a message was not answered after the wait")
            if not sender.refused:
                arrived(sender, source, range(flood.sent))


class _Flood:
    """Sends messages one after the other, as fast as they go."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._ended = threading.Event()
        self.sent = 0

    def start(self, source: SourceHarness) -> None:
        self._thread = threading.Thread(target=self._send, args=(source.place,), daemon=True)
        self._thread.start()
        wait_until(lambda: source.inside or self.done, "no event was handed on")

    @property
    def done(self) -> bool:
        return not self._thread.is_alive()

    def wait_until_still(self) -> None:
        """Wait until all is sent, or nothing more can be."""
        before = -1
        while before != self.sent and not self.done:
            before = self.sent
            holds_at_once(lambda: self.done)

    def end(self) -> None:
        """Send nothing after the message under way."""
        self._ended.set()

    def _send(self, place: str) -> None:
        with suppress(Exception):  # the source ended first
            while self.sent < _FLOOD and not self._ended.is_set():
                self._sender.send(place, range(self.sent, self.sent + _MESSAGE))
                self.sent += _MESSAGE
