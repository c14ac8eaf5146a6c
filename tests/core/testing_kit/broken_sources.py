"""Sources that break the contract, one rule each; `EXPECTED` says which test must notice, and how.

Run by test_testing_kit_sources.py in a process of its own.
"""

import threading
import time
from typing import Any, ClassVar, Final

import pytest
from attrs import frozen

from tests.core.testing_kit.good_source import ContractOfSource, GoodSource, Message
from walker_collector import PushResult, SourceContext, SpoolFull
from walker_collector.testing import SourceContract, source_harness
from walker_collector.testing.contract.sources import source_base


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait less long for what does not come; only here, as others import this module."""
    monkeypatch.setattr(source_base, "PATIENCE", 0.5)
    monkeypatch.setattr(source_harness, "PATIENCE", 0.5)
    monkeypatch.setattr(source_base, "STILL", 0.1)


EXPECTED: Final = {
    "TestNoSender": (
        "test_events_are_handed_on_once",
        "needs a fixture `sender` that returns a Sender",
    ),
    "TestPlainToken": ("test_credentials_are_secrets", "use Secret for the settings token"),
    "TestLosing": ("test_events_are_handed_on_once", "were not handed on, or not taken: [3]"),
    "TestNoEvents": ("test_events_are_handed_on_once", "two words with one space between"),
    "TestRepeating": ("test_events_are_handed_on_once", "handed on more than once: [1"),
    "TestMixing": ("test_events_of_many_senders_are_handed_on_once", "not handed on"),
    "TestNeverReady": ("test_source_ends_after_the_stop", "call context.ready(place)"),
    "TestReturning": ("test_source_ends_after_the_stop", "`run` returned without context.ready"),
    "TestEarly": (
        "test_ready_is_called_before_events_are_handed_on",
        "before context.ready(place): call it first",
    ),
    "TestSecretive": (
        "test_taken_events_are_acknowledged",
        "were not acknowledged to their sender",
    ),
    "TestHasty": (
        "test_nothing_is_acknowledged_while_accept_waits",
        "acknowledged before context.accept had returned",
    ),
    "TestGreedy": (
        "test_no_more_is_read_than_the_collector_takes",
        "read no more before it has, or memory fills up",
    ),
    "TestDeaf": ("test_source_ends_after_the_stop", "look at context.stop"),
    "TestCrashing": ("test_source_ends_after_the_stop", "run raised"),
    "TestRude": ("test_stop_answers_what_is_in_flight", "first answer what is in flight"),
    "TestDenying": ("test_stop_answers_what_is_in_flight", "were not acknowledged: their sender"),
    "TestThreads": ("test_no_thread_is_left", "threads are left after the end of `run`: forgotten"),
    "TestLate": ("test_no_thread_is_left", "handed on after the end of `run`"),
    "TestOnlyOnce": ("test_source_can_be_started_again", "used already"),
    "TestFragile": ("test_bad_input_is_told_and_loses_nothing_else", "bad input ended the source"),
    "TestSwallowing": (
        "test_bad_input_is_told_and_loses_nothing_else",
        "bad input was told to nobody",
    ),
    "TestBlind": (
        "test_event_that_is_refused_is_told_and_the_others_are_taken",
        "look at each of its results",
    ),
    "TestAllOrNothing": (
        "test_event_refused_among_others_of_its_message_is_not_acknowledged",
        "look at each of its results",
    ),
    "TestMute": (
        "test_event_that_is_refused_is_told_and_the_others_are_taken",
        "an EventError of context.accept was told to nobody",
    ),
    "TestBlindToRoom": (
        "test_event_without_room_comes_again_or_is_refused",
        "look at each of its results",
    ),
    "TestForgetting": ("test_event_without_room_comes_again_or_is_refused", "was lost"),
    "TestBlindToTheEnd": (
        "test_event_for_a_closed_collector_is_not_acknowledged[returns]",
        "look at each of its results",
    ),
    "TestHoping": (
        "test_event_is_not_acknowledged_if_accept_raises",
        "look at each of its results",
    ),
    "TestHanging": (
        "test_event_is_not_acknowledged_if_accept_raises",
        "left without an answer",
    ),
}


class TestGood(ContractOfSource):
    """Breaks nothing."""


class TestGoodWithoutAnswers(ContractOfSource):
    """Breaks nothing either; its senders hear nothing."""

    answers = False


class TestNoSender(SourceContract):
    plugin = GoodSource


@frozen
class PlainSettings:
    office: str
    token: str = ""


class PlainToken(GoodSource):
    settings = PlainSettings


class TestPlainToken(ContractOfSource):
    plugin = PlainToken


class Losing(GoodSource):
    def events(self, message: Message) -> list[dict[str, Any]]:
        return [event for event in super().events(message) if event["data"]["number"] != 3]


class TestLosing(ContractOfSource):
    plugin = Losing
    answers = False


class NoEvents(GoodSource):
    def events(self, message: Message) -> list[dict[str, Any]]:
        return [{**event, "name": "page"} for event in super().events(message)]


class TestNoEvents(ContractOfSource):
    plugin = NoEvents


class Repeating(GoodSource):
    def taken(self, message: Message, context: SourceContext) -> list[bool]:
        super().taken(message, context)
        return super().taken(message, context)


class TestRepeating(ContractOfSource):
    plugin = Repeating


class Mixing(GoodSource):
    """Keeps the message of one sender in the place of another's."""

    def events(self, message: Message) -> list[dict[str, Any]]:
        self.last = getattr(self, "last", message) if message.numbers[0] == 4 else message
        return super().events(self.last)


class TestMixing(ContractOfSource):
    plugin = Mixing


class NeverReady(GoodSource):
    def begin(self, context: SourceContext) -> None:
        pass


class TestNeverReady(ContractOfSource):
    plugin = NeverReady


class Returning(GoodSource):
    def begin(self, context: SourceContext) -> None:
        context.stop.set()


class TestReturning(ContractOfSource):
    plugin = Returning


class Early(GoodSource):
    def begin(self, context: SourceContext) -> None:
        context.accept(self.events(Message([0])))
        super().begin(context)


class TestEarly(ContractOfSource):
    plugin = Early


class Secretive(GoodSource):
    def taken(self, message: Message, context: SourceContext) -> list[bool]:
        return [False for _ in super().taken(message, context)]


class TestSecretive(ContractOfSource):
    plugin = Secretive


class Hasty(GoodSource):
    def handle(self, message: Message, context: SourceContext) -> None:
        message.reply.put([True] * len(message.numbers))
        super().handle(message, context)


class TestHasty(ContractOfSource):
    plugin = Hasty


class Greedy(GoodSource):
    """Hands on each message on a thread of its own."""

    def handle(self, message: Message, context: SourceContext) -> None:
        threading.Thread(target=super().handle, args=(message, context), daemon=True).start()


class TestGreedy(ContractOfSource):
    plugin = Greedy
    answers = False


class Deaf(GoodSource):
    def begin(self, context: SourceContext) -> None:
        super().begin(context)
        context.stop.wait()  # bounded: the kit sets it
        time.sleep(3)


class TestDeaf(ContractOfSource):
    plugin = Deaf


class Crashing(GoodSource):
    def begin(self, context: SourceContext) -> None:
        super().begin(context)
        context.stop.wait()  # bounded: the kit sets it
        raise RuntimeError("at the end")


class TestCrashing(ContractOfSource):
    plugin = Crashing


class Rude(GoodSource):
    def handle(self, message: Message, context: SourceContext) -> None:
        taken = self.taken(message, context)
        if not context.stop.is_set():
            message.reply.put(taken)

    def end(self) -> None:
        """Leave the senders where they are."""


class TestRude(ContractOfSource):
    plugin = Rude


class Denying(GoodSource):
    """Says at the stop that it took nothing."""

    def taken(self, message: Message, context: SourceContext) -> list[bool]:
        return [it and not context.stop.is_set() for it in super().taken(message, context)]


class TestDenying(ContractOfSource):
    plugin = Denying


class Threads(GoodSource):
    def begin(self, context: SourceContext) -> None:
        super().begin(context)
        threading.Thread(target=time.sleep, args=(3,), name="forgotten", daemon=True).start()


class TestThreads(ContractOfSource):
    plugin = Threads


class Late(GoodSource):
    def begin(self, context: SourceContext) -> None:
        super().begin(context)
        threading.Thread(target=self.late, args=(context,), daemon=True).start()

    def late(self, context: SourceContext) -> None:
        context.stop.wait(5)
        time.sleep(0.1)
        context.accept(self.events(Message([0])))


class TestLate(ContractOfSource):
    plugin = Late


class OnlyOnce(GoodSource):
    used: ClassVar[bool] = False

    def begin(self, context: SourceContext) -> None:
        if self.used:
            raise RuntimeError("used already")
        type(self).used = True
        super().begin(context)


class TestOnlyOnce(ContractOfSource):
    plugin = OnlyOnce


class Fragile(GoodSource):
    def refuse(self, message: Message, context: SourceContext) -> None:
        super().refuse(message, context)
        raise ValueError("no numbers")


class TestFragile(ContractOfSource):
    plugin = Fragile


class Swallowing(GoodSource):
    def refuse(self, message: Message, context: SourceContext) -> None:
        message.reply.put([])


class TestSwallowing(ContractOfSource):
    plugin = Swallowing


class Blind(GoodSource):
    """Acknowledges what was not taken, for one kind of error."""

    error: ClassVar[type] = Exception

    def taken(self, message: Message, context: SourceContext) -> list[bool]:
        results = context.accept(self.events(message))
        return [isinstance(result, PushResult | self.error) for result in results]


class TestBlind(ContractOfSource):
    plugin = Blind


class BlindToRoom(Blind):
    error = SpoolFull


class TestBlindToRoom(ContractOfSource):
    plugin = BlindToRoom


class TestBlindToTheEnd(ContractOfSource):
    plugin = Blind


class AllOrNothing(GoodSource):
    """Acknowledges a message if any of its events was taken."""

    def taken(self, message: Message, context: SourceContext) -> list[bool]:
        return [any(super().taken(message, context))] * len(message.numbers)


class TestAllOrNothing(ContractOfSource):
    plugin = AllOrNothing


class Mute(GoodSource):
    def tell(self, error: Exception, context: SourceContext) -> None:
        pass


class TestMute(ContractOfSource):
    plugin = Mute
    answers = False


class Forgetting(GoodSource):
    def try_again(self, message: Message, context: SourceContext) -> None:
        pass


class TestForgetting(ContractOfSource):
    plugin = Forgetting
    answers = False


class Hoping(GoodSource):
    def taken(self, message: Message, context: SourceContext) -> list[bool]:
        try:
            context.accept(self.events(message))
        except Exception:
            context.logger.debug("all will be well")
        return [True] * len(message.numbers)


class TestHoping(ContractOfSource):
    plugin = Hoping


class Hanging(GoodSource):
    def handle(self, message: Message, context: SourceContext) -> None:
        try:
            context.accept(self.events(message))
        except Exception:
            context.logger.debug("somebody waits")


class TestHanging(ContractOfSource):
    plugin = Hanging
