"""Send batches of messages to one topic, and learn the fate of each.

A batch is over when the brokers have acknowledged all of its messages, or when its time is up.
Nothing of a batch that is over is sent any more: it could arrive after messages that are sent
later, or beside its own repetition.
"""

import ctypes
import os
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple
from weakref import WeakSet

from attrs import Factory, define

from walker_collector.kafka.client_log import ClientError, ClientLog, client_error
from walker_collector.kafka.event_messages import Headers

NO_ACKNOWLEDGEMENT: Final = "_TIMED_OUT"
"""The error of messages that run out of time, in the words of librdkafka."""
_LOST: Final = ClientError(NO_ACKNOWLEDGEMENT, "")
QUEUE_FULL: Final = "_QUEUE_FULL"
_IDLE_POLL: Final = 1.0
"""Seconds between looks for news of the client while nothing is sent."""
_PURGE_WAIT: Final = 1.0
"""Seconds to wait for the client to give messages up; it takes milliseconds."""


class Message(NamedTuple):
    """A message to send."""

    key: bytes | None
    value: bytes
    headers: Headers


class BatchProducer:
    """Sends batches, one at a time; for any thread of the process that has made it.

    `connect` makes another client. A client is idempotent and stops for good at a gap in a
    partition, so that the messages of a partition arrive in order, each once. It is used until a
    batch is over without being complete; the next batch gets another one.
    """

    def __init__(self, topic: str, client: Any, connect: Callable[[], Any], log: ClientLog) -> None:
        self._topic = topic
        self._connect = connect
        self._log = log
        self._lock = threading.Lock()
        self._client: Any = client
        self._closed = threading.Event()
        name = f"walker-kafka-{topic}"
        self._listener = threading.Thread(target=self._listen, name=name, daemon=True)
        self._listener.start()
        _producers.add(self)

    def send(self, messages: Mapping[int, Message], ends_at: float) -> dict[int, ClientError]:
        """Send messages in their order; return the errors of those not acknowledged, by key.

        `ends_at`: the monotonic time (s) at which the batch is over.
        """
        with self._lock:
            client, self._client = self._client or self._connect(), None
            batch = _Batch(client, self._topic)
            if batch.send(messages, ends_at):
                self._client = client
                if not any(batch.fates.values()):
                    self._log.succeeded()
        fates = {key: batch.fates.get(key, _LOST) for key in messages}
        return {
            key: error if isinstance(error, ClientError) else client_error(error)
            for key, error in fates.items()
            if error is not None
        }

    def close(self) -> None:
        """Disconnect."""
        self._closed.set()
        self._listener.join()
        with self._lock:
            self._client = None
        _producers.discard(self)

    def leave_to_parent(self) -> None:
        """Keep a forked child from closing the client of its parent: it waits for lost threads."""
        if self._client is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._client))

    def _listen(self) -> None:
        """Take the news of the client, such as its log: it keeps them until then."""
        while not self._closed.wait(_IDLE_POLL):
            if not self._lock.acquire(blocking=False):
                continue
            try:
                if self._client is not None:
                    self._client.poll(0)
            except Exception:  # it has stopped for good
                self._client = None
            finally:
                self._lock.release()


@define(eq=False)
class _Batch:
    """A batch on its way: the error of each message, or None once it is acknowledged.

    An error is one of ours or, as the client has told it, a KafkaError.
    """

    client: Any
    topic: str
    fates: dict[int, Any] = Factory(dict)

    def send(self, messages: Mapping[int, Message], ends_at: float) -> bool:
        """Send messages until the batch is over; return whether the client can be used again."""
        try:
            sent = self._enqueue(messages)
            left = self.client.flush(max(0.0, ends_at - time.monotonic()))
        except Exception:  # the client has stopped for good; its callbacks raise other errors, too
            left, sent = 1, 0
        if not left and len(self.fates) >= sent:
            return True
        try:
            self.client.purge()
            self.client.flush(_PURGE_WAIT)
        except Exception:  # as above
            pass
        return False

    def _enqueue(self, messages: Mapping[int, Message]) -> int:
        for sent, (key, message) in enumerate(messages.items()):
            try:
                self.client.produce(
                    self.topic,
                    message.value,
                    message.key,
                    headers=message.headers,
                    on_delivery=partial(self._report, key),
                )
            except BufferError:
                rest = list(messages)[sent:]
                self.fates.update(dict.fromkeys(rest, ClientError(QUEUE_FULL, "its queue is full")))
                return sent
            except Exception as error:
                self.fates[key] = client_error(error)
                raise
        return len(messages)

    def _report(self, key: int, error: Any, message: Any) -> None:
        # No more than that: at a fatal error the client calls with an exception raised already,
        # which the first call in here would meet.
        self.fates[key] = error


_producers: "WeakSet[BatchProducer]" = WeakSet()


def _leave_to_parent() -> None:
    for producer in list(_producers):
        producer.leave_to_parent()
    _producers.clear()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_leave_to_parent)
