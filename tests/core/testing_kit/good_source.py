"""A source that keeps the whole contract, and the post office that it takes its messages from."""

import queue
from collections.abc import Sequence
from itertools import count
from typing import Any, ClassVar, Final

import pytest
from attrs import Factory, define, field, frozen

from walker_collector import PushResult, Secret, SourceContext, SpoolFull, hookimpl
from walker_collector.testing import Sender, SourceContract


@define(eq=False)
class Message:
    """Numbers to hand on, and the place of the answer; no numbers stand for bad input."""

    numbers: Sequence[int]
    reply: "queue.Queue[list[bool]]" = Factory(queue.Queue)


@define(eq=False)
class Office:
    """Keeps messages for a source, and the answers to them; with `answers` senders wait."""

    answers: bool = True
    closed: bool = False
    messages: "queue.Queue[Message]" = field(factory=lambda: queue.Queue(1))
    acknowledged: list[int] = Factory(list)
    refused: list[int] = Factory(list)

    def send(self, place: str, numbers: Sequence[int]) -> None:
        for number, taken in zip(numbers, self.answer_to(Message(numbers)), strict=False):
            (self.acknowledged if taken else self.refused).append(number)

    def send_bad(self, place: str) -> str | None:
        return "no event" if self.answer_to(Message([])) == [False] else None

    def answer_to(self, message: Message) -> list[bool]:
        """Return the answer to a message; raises ConnectionError once the source has ended."""
        posted = False
        while True:  # bounded: by the end of the source
            try:
                if not posted:
                    self.messages.put(message, timeout=_LOOK)
                    posted = True
                return message.reply.get(timeout=_LOOK) if self.answers else []
            except (queue.Full, queue.Empty):
                if self.closed:
                    raise ConnectionError("the source has ended") from None


OFFICES: Final[dict[str, Office]] = {}
_NAMES: Final = count()
_LOOK: Final = 0.01


def _short(_: Any, __: Any, value: str) -> None:
    if len(value) > 20:
        raise ValueError("must have at most 20 letters")


@frozen(kw_only=True)
class Settings:
    office: str = field(validator=_short)
    token: Secret | None = None


class GoodSource:
    """Each step is a method, for others to get wrong."""

    settings: ClassVar[type] = Settings

    @hookimpl
    def run(self, context: SourceContext) -> None:
        self.office = OFFICES[context.settings.office]
        self.office.closed = False
        try:
            self.begin(context)
            while not context.stop.is_set():  # bounded: the kit sets it
                self.work(context)
        finally:
            self.end()

    def end(self) -> None:
        self.office.closed = True

    def work(self, context: SourceContext) -> None:
        try:
            message = self.office.messages.get(timeout=_LOOK)
        except queue.Empty:
            return
        self.handle(message, context)

    def begin(self, context: SourceContext) -> None:
        context.ready(context.settings.office)

    def handle(self, message: Message, context: SourceContext) -> None:
        if not message.numbers:
            self.refuse(message, context)
            return
        message.reply.put(self.taken(message, context))

    def refuse(self, message: Message, context: SourceContext) -> None:
        context.logger.warning("a message without numbers")
        message.reply.put([False])

    def taken(self, message: Message, context: SourceContext) -> list[bool]:
        """Return which events were taken."""
        try:
            results = context.accept(self.events(message))
        except Exception:
            context.logger.exception("nothing was taken")
            return [False] * len(message.numbers)
        for number, result in zip(message.numbers, results, strict=True):
            if isinstance(result, SpoolFull) and not self.office.answers:
                self.try_again(Message([number]), context)
            elif isinstance(result, Exception):
                self.tell(result, context)
        return [isinstance(result, PushResult) for result in results]

    def try_again(self, message: Message, context: SourceContext) -> None:
        """Hand on again what its sender could not be asked for again."""
        if not context.stop.wait(_LOOK):
            self.taken(message, context)

    def tell(self, error: Exception, context: SourceContext) -> None:
        context.logger.warning("%s", error)

    def events(self, message: Message) -> list[dict[str, Any]]:
        return [{"name": "page view", "data": {"number": n}} for n in message.numbers]


class ContractOfSource(SourceContract):
    plugin: ClassVar[type] = GoodSource
    bad_settings: ClassVar = {"office": "x" * 21}
    answers: ClassVar[bool] = True
    grace: ClassVar[float] = 0.5

    @pytest.fixture
    def sender(self) -> Sender:
        name, office = f"office {next(_NAMES)}", Office(self.answers)
        OFFICES[name] = office
        return Sender(
            settings={"office": name},
            send=office.send,
            send_bad=office.send_bad,
            acknowledged=(lambda: office.acknowledged) if self.answers else None,
            refused=(lambda: office.refused) if self.answers else None,
        )
