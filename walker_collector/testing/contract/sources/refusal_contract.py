"""An event that is not taken is not acknowledged: bad input, refused events, no room, an error.

Its sender is told, or the log, and everything else goes on.
"""

from collections.abc import Sequence

import pytest

from walker_collector.errors import CollectorClosed, EventError, SpoolFull, WalkerError
from walker_collector.hookspecs import Event
from walker_collector.results import PushResult
from walker_collector.testing.contract.sources.source_base import (
    SourceBase,
    answered,
    arrived,
    holds_at_once,
    holds_soon,
    numbers,
    require,
    send,
    wait_until,
)
from walker_collector.testing.sender import Sender
from walker_collector.testing.source_harness import SourceHarness, as_the_collector

_FALSE = (
    "an event that context.accept did not take was acknowledged: look at each of its results, and"
    " acknowledge only those that are a PushResult"
)


class RefusalContract(SourceBase):
    """Nothing is acknowledged that was not taken, and a refusal is told."""

    def test_bad_input_is_told_and_loses_nothing_else(self, sender: Sender) -> None:
        send_bad = require(sender.send_bad, "send_bad", "how input comes that holds no event")
        with self.running(sender) as source:
            answered(send(sender, source, [1]), "a message was not answered")
            words = send_bad(source.place)
            after = send(sender, source, [2])
            holds_soon(lambda: source.ended or after[0].done)
            assert not source.ended, "bad input ended the source: refuse it, and go on"
            answered(after, "a message after bad input was not answered")
            arrived(sender, source, [1, 2])
            assert words or holds_soon(lambda: source.warnings), (
                "bad input was told to nobody: answer its sender, or log a warning with its place"
            )

    def test_event_that_is_refused_is_told_and_the_others_are_taken(self, sender: Sender) -> None:
        answer = _Refusing(sender, EventError("not an event of this test"))
        with self.running(sender, answer) as source:
            answered(
                send(sender, source, [1], [2], [3, 4]),
                "with one event refused, a message was not answered",
            )
            arrived(sender, source, [1, 3, 4])
            assert 2 not in acknowledged(sender), _FALSE
            assert holds_soon(lambda: 2 in refused(sender) or source.warnings), (
                "an EventError of context.accept was told to nobody: answer the sender, or log a"
                " warning"
            )

    def test_event_refused_among_others_of_its_message_is_not_acknowledged(
        self, sender: Sender
    ) -> None:
        answer = _Refusing(sender, EventError("not an event of this test"))
        with self.running(sender, answer) as source:
            answered(send(sender, source, [1, 2, 3]), "a message was not answered")
            arrived(sender, source, [1, 3])
            assert 2 not in acknowledged(sender), _FALSE

    def test_event_without_room_comes_again_or_is_refused(self, sender: Sender) -> None:
        answer = _Refusing(sender, SpoolFull("no room in this test"))
        with self.running(sender, answer) as source:
            sent = send(sender, source, [2])
            wait_until(lambda: _offered(sender, source, 2), "an event was not handed on")
            holds_at_once(lambda: 2 in acknowledged(sender))
            assert 2 not in acknowledged(sender), _FALSE
            answer.error = None
            answered([*sent, *send(sender, source, [3])], "a message was not answered")
            wait_until(
                lambda: 3 in numbers(sender, source.accepted),
                "after context.accept had no room for an event, no other was handed on",
            )
            wait_until(
                lambda: 2 in numbers(sender, source.accepted) or 2 in refused(sender),
                "an event for which there was no room (SpoolFull) was lost: hand it on again later,"
                " or tell its sender to",
            )

    @pytest.mark.parametrize("way", ["returns", "raises"])
    def test_event_for_a_closed_collector_is_not_acknowledged(
        self, sender: Sender, way: str
    ) -> None:
        self._lost(sender, CollectorClosed("closed in this test"), way)

    def test_event_is_not_acknowledged_if_accept_raises(self, sender: Sender) -> None:
        self._lost(sender, RuntimeError("raised by this test"), "raises")

    def _lost(self, sender: Sender, error: Exception, way: str) -> None:
        answer = _Refusing(sender, error, raises=way == "raises")
        with self.running(sender, answer, may_fail=True) as source:
            (sent,) = send(sender, source, [2])
            wait_until(lambda: _offered(sender, source, 2), "an event was not handed on")
            wait_until(
                lambda: sent.done or source.ended,
                f"when context.accept {way} {type(error).__name__}, the sender is left without an"
                " answer: refuse the message, or end",
            )
            assert 2 not in acknowledged(sender), _FALSE


def _offered(sender: Sender, source: SourceHarness, number: int) -> bool:
    return number in numbers(sender, source.offered[:])


def acknowledged(sender: Sender) -> Sequence[int]:
    """Return the numbers acknowledged to a sender; none where senders get no answers."""
    return sender.acknowledged() if sender.acknowledged else ()


def refused(sender: Sender) -> Sequence[int]:
    """Return the numbers refused to a sender; none where senders get no answers."""
    return sender.refused() if sender.refused else ()


class _Refusing:
    """Takes all events but number 2, for which it returns or raises an error, if there is one."""

    def __init__(self, sender: Sender, error: Exception | None, *, raises: bool = False) -> None:
        self.error = error
        self._sender, self._raises = sender, raises

    def __call__(self, event: Event) -> PushResult | WalkerError:
        if self.error is None or self._sender.number(event) != 2:
            return as_the_collector(event)
        if self._raises or not isinstance(self.error, WalkerError):
            raise self.error
        return self.error
