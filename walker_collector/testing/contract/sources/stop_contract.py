"""A source ends in time after a stop, has answered all that it took, and leaves nothing behind."""

import threading

from walker_collector.testing.contract.sources.refusal_contract import acknowledged, refused
from walker_collector.testing.contract.sources.source_base import (
    SourceBase,
    answered,
    arrived,
    ended,
    holds_soon,
    numbers,
    send,
    wait_until,
)
from walker_collector.testing.sender import Sender


class StopContract(SourceBase):
    """A stopped source ends within its grace, and answers the requests in flight."""

    def test_source_ends_after_the_stop(self, sender: Sender) -> None:
        with self.running(sender):
            pass

    def test_stop_answers_what_is_in_flight(self, sender: Sender) -> None:
        with self.running(sender) as source:
            source.hold()
            sent = send(sender, source, [1], [2], [3, 4])
            wait_until(lambda: source.inside, "no event was handed on")
            source.context.stop.set()
            source.release()
            ended(source)
            wait_until(
                lambda: all(one.done for one in sent),
                "a sender was left without an answer at the stop: first answer what is in flight",
            )
            taken = numbers(sender, source.accepted)
            if sender.acknowledged:
                unanswered = set(taken) - set(acknowledged(sender))
                assert not unanswered, (
                    "events that context.accept took before the end were not acknowledged: their"
                    " sender sends them again; answer what is in flight before `run` returns"
                )
            assert not set(acknowledged(sender)) - set(taken), (
                "events were acknowledged at the stop that context.accept did not take: hand them"
                " on, or refuse them"
            )
            assert not set(taken) & set(refused(sender)), "an event that was taken was refused"

    def test_no_thread_is_left(self, sender: Sender) -> None:
        before = set(threading.enumerate())
        with self.running(sender) as source:
            answered(send(sender, source, [1]), "a message was not answered")
            arrived(sender, source, [1])
        holds_soon(lambda: not _left(before))
        assert not _left(before), (
            f"threads are left after the end of `run`: {', '.join(_left(before))}; end them, and"
            " join them"
        )
        assert not source.late, (
            "events were handed on after the end of `run`: first end all threads"
        )

    def test_source_can_be_started_again(self, sender: Sender) -> None:
        for number in (1, 2):
            with self.running(sender) as source:
                answered(send(sender, source, [number]), "a message was not answered")
                arrived(sender, source, [number])


def _left(before: set[threading.Thread]) -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread not in before]
