"""Events to a topic of Kafka, for other collectors or for readers of their own."""

import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Final

from walker_collector.config import MISSING
from walker_collector.destinations.kafka.batch_producer import BatchProducer, Message
from walker_collector.destinations.kafka.kafka_errors import failure_of, is_of_a_message
from walker_collector.destinations.kafka.producer_client import make_client, require_topic
from walker_collector.destinations.kafka.producer_settings import KafkaSettings
from walker_collector.destinations.payload import is_skipped, payload
from walker_collector.errors import DestinationDown, NotAttempted, Rejected, RetryLater
from walker_collector.hookspecs import Context, Event, Item, PushContext, Rule, hookimpl
from walker_collector.kafka.client_log import ClientError, ClientLog
from walker_collector.kafka.event_messages import headers_of, key_of, value_of

_FRAME: Final = 100
"""Bytes of a message beside key, value and headers, with those of the batch it is in."""
_OF_CALL: Final = 0.8
"""The part of the time of a call that its batch may take."""


class KafkaDestination:
    """Sends events as messages, in the order of each key, and waits for the acknowledgement.

    It relays: events go out whatever their consent, with what a collector that reads them has to
    know of their senders.
    """

    settings: ClassVar = KafkaSettings
    rule_settings: ClassVar = None
    relays: ClassVar = True
    concurrency: ClassVar = 1
    batch_size: ClassVar = 1_000
    batch_bytes: ClassVar = 8_000_000

    _producer: BatchProducer
    _log: ClientLog

    @hookimpl
    def init(self, context: Context) -> None:
        self._log = log = _log_of(context)
        client = make_client(context, log)
        require_topic(client, context, log, _time_of_batch(context))
        topic = context.settings.topic
        self._producer = BatchProducer(topic, client, partial(make_client, context, log), log)

    @hookimpl
    def check(self, context: Context) -> None:
        """Look for the topic."""
        log = _log_of(context)
        require_topic(make_client(context, log), context, log, _time_of_batch(context))

    @hookimpl
    def push_batch(self, batch: Sequence[Item], context: Context) -> Mapping[int, Exception]:
        messages: dict[int, Message] = {}
        failures: dict[int, Exception] = {}
        for index, item in enumerate(batch):
            if is_skipped(item.rule):
                continue
            try:
                messages[index] = _message(item.event, item.data, item.context, context)
            except Rejected as error:
                failures[index] = error
        if messages:
            failures |= self._send(messages, batch, context)
        return failures

    @hookimpl
    def erased(self, context: Context) -> None:
        """Tell that messages cannot be taken back."""
        context.warn(
            "destination %s: a person was erased here; their messages stay in topic %s until it "
            "drops them, and a collector that reads it has to erase them as well",
            context.id,
            context.settings.topic,
        )

    @hookimpl
    def shutdown(self, context: Context) -> None:
        self._producer.close()

    def simulate(
        self, event: Event, data: Any, rule: Rule | None, context: PushContext
    ) -> list[list[Any]]:
        if is_skipped(rule):
            return []
        key = _message(event, data, context, context.destination).key
        shown = None if key is None else key.decode()
        return [["produce", context.settings.topic, shown, payload(event, data)]]

    def _send(
        self, messages: Mapping[int, Message], batch: Sequence[Item], context: Context
    ) -> dict[int, Exception]:
        """Send messages; return the failures by index. Raises one that is everybody's."""
        timeout = _time_of_batch(context)
        ends_at = time.monotonic() + timeout
        errors = self._producer.send(messages, ends_at)
        failures: dict[int, Exception] = {}
        if len(errors) > 1 and any(map(is_of_a_message, errors.values())):
            # What was refused together with one of them was perhaps refused because of it.
            alone = {index: messages[index] for index in errors}
            errors = {}
            for index, error in self._send_each(alone, batch, ends_at):
                if isinstance(error, ClientError):
                    errors[index] = error
                else:
                    failures[index] = error
        where, last = f"topic {context.settings.topic}", self._log.last_error
        failures |= {
            index: failure_of(error, last, where, timeout) for index, error in errors.items()
        }
        if len(failures) == len(messages):  # perhaps it concerns everybody
            for failure in failures.values():
                if isinstance(failure, RetryLater | DestinationDown):
                    raise failure
                break
        return failures

    def _send_each(
        self, messages: Mapping[int, Message], batch: Sequence[Item], ends_at: float
    ) -> Iterator[tuple[int, ClientError | Exception]]:
        """Send messages one by one; yield the errors of those that were not acknowledged."""
        going = True
        for index, message in messages.items():
            if not going or time.monotonic() >= ends_at:
                yield index, NotAttempted("an earlier message has taken the time of the batch")
            elif not batch[index].context.destination.may_proceed(batch[index]):
                yield index, NotAttempted("its person was erased before it was sent")
            elif error := self._producer.send({index: message}, ends_at).get(index):
                going = is_of_a_message(error)
                yield index, error


def _message(event: Event, data: Any, own: PushContext, context: Context) -> Message:
    """Return the message of an event; raises Rejected for one that no topic takes."""
    assert own.received is not None
    mapped = data is not MISSING
    message = Message(
        key_of(event),
        value_of(payload(event, data)),
        headers_of(event, own.received, mapped=mapped),
    )
    most = context.settings.max_message_bytes
    size = _FRAME + len(message.key or b"") + len(message.value)
    size += sum(len(name) + len(value) for name, value in message.headers)
    if size > most:
        raise Rejected(
            f"its message would have {size:,} bytes, and maxMessageBytes is {most:,}: raise it, if "
            "max.message.bytes of the topic allows that"
        )
    return message


def _log_of(context: Context) -> ClientLog:
    return ClientLog(context.logger, f"destination {context.id}")


def _time_of_batch(context: Context) -> float:
    """Return the time (s) of a batch, which ends before the call: that would leave a thread."""
    own: int = context.settings.timeout
    most = context.config.timeout
    return (own if most is None else min(own, _OF_CALL * most)) / 1000
