"""librdkafka's mock cluster: brokers in this process, on real sockets, with faults to inject.

It is a part of the library that confluent-kafka brings along, and is used through it.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import confluent_kafka
from confluent_kafka import KafkaError, TopicPartition

from tests.kafka_broker import messages_of

PRODUCE: Final = 0
"""The number of the request that brings messages."""
METADATA: Final = 3
OFFSET_COMMIT: Final = 8
JOIN_GROUP: Final = 11
MANY: Final = 1_000
BROKER: Final = 1
_PRODUCER: Final = 0
_POINTER: Final = ctypes.c_void_p
_INT: Final = ctypes.c_int


def _library() -> Any:
    folder = Path(confluent_kafka.__file__).parent
    (path,) = folder.parent.glob("confluent_kafka.libs/librdkafka*.so*")
    library = ctypes.CDLL(str(path))
    for name, result, *arguments in (
        ("rd_kafka_conf_new", _POINTER),
        ("rd_kafka_conf_set", _INT, _POINTER, ctypes.c_char_p, ctypes.c_char_p, _POINTER, _INT),
        ("rd_kafka_new", _POINTER, _INT, _POINTER, ctypes.c_char_p, ctypes.c_size_t),
        ("rd_kafka_destroy", None, _POINTER),
        ("rd_kafka_mock_cluster_new", _POINTER, _POINTER, _INT),
        ("rd_kafka_mock_cluster_destroy", None, _POINTER),
        ("rd_kafka_mock_cluster_bootstraps", ctypes.c_char_p, _POINTER),
        ("rd_kafka_mock_topic_create", _INT, _POINTER, ctypes.c_char_p, _INT, _INT),
        ("rd_kafka_mock_group_initial_rebalance_delay_ms", None, _POINTER, ctypes.c_int32),
        ("rd_kafka_mock_topic_set_error", None, _POINTER, ctypes.c_char_p, _INT),
        (
            "rd_kafka_mock_partition_set_leader",
            _INT,
            _POINTER,
            ctypes.c_char_p,
            ctypes.c_int32,
            ctypes.c_int32,
        ),
        ("rd_kafka_mock_broker_set_down", _INT, _POINTER, ctypes.c_int32),
        ("rd_kafka_mock_broker_set_up", _INT, _POINTER, ctypes.c_int32),
        ("rd_kafka_mock_broker_set_rtt", _INT, _POINTER, ctypes.c_int32, _INT),
        ("rd_kafka_mock_clear_request_errors", None, _POINTER, ctypes.c_int16),
        (
            "rd_kafka_mock_push_request_errors_array",
            None,
            _POINTER,
            ctypes.c_int16,
            ctypes.c_size_t,
            _POINTER,
        ),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class KafkaMock:
    """A cluster of one broker, with the address `address`."""

    def __init__(self) -> None:
        self._library = _library()
        config = self._library.rd_kafka_conf_new()
        self._library.rd_kafka_conf_set(config, b"log_level", b"0", None, 0)
        self._owner = self._library.rd_kafka_new(_PRODUCER, config, None, 0)
        self._cluster = self._library.rd_kafka_mock_cluster_new(self._owner, 1)
        # Else a group waits 3 s for others, each time that it begins.
        self._library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 100)
        self.address: str = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()

    def close(self) -> None:
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._owner)

    def make_topic(self, name: str, partitions: int = 1) -> str:
        self._library.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1)
        return name

    def messages(self, topic: str, number: int) -> list[Any]:
        """Return the first messages of a topic, that many, as they come."""
        return messages_of(self.address, topic, number)

    def all_messages(self, topic: str) -> list[Any]:
        """Return all messages of a topic with one partition."""
        reader = confluent_kafka.Consumer(
            {"bootstrap.servers": self.address, "group.id": "tests", "log_level": 0}
        )
        try:
            end = reader.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)[1]
        finally:
            reader.close()
        return self.messages(topic, end) if end else []

    def deny(self, topic: str) -> None:
        """Refuse to tell of a topic."""
        self._set_error(topic, KafkaError.TOPIC_AUTHORIZATION_FAILED)

    def allow(self, topic: str) -> None:
        """Tell of a topic again."""
        self._set_error(topic, KafkaError.NO_ERROR)

    def _set_error(self, topic: str, error: int) -> None:
        self._library.rd_kafka_mock_topic_set_error(self._cluster, topic.encode(), error)

    def set_leader(self, topic: str, partition: int, broker: int = BROKER) -> None:
        """Have a broker lead a partition; -1: none does, so nobody tells of its messages."""
        self._library.rd_kafka_mock_partition_set_leader(
            self._cluster, topic.encode(), partition, broker
        )

    def stop(self) -> None:
        """Break all connections, and take no new ones."""
        self._library.rd_kafka_mock_broker_set_down(self._cluster, BROKER)

    def start(self) -> None:
        """Take connections again."""
        self._library.rd_kafka_mock_broker_set_up(self._cluster, BROKER)

    def answer_after(self, ms: int) -> None:
        """Answer each request so many ms later."""
        self._library.rd_kafka_mock_broker_set_rtt(self._cluster, BROKER, ms)

    def refuse(self, *errors: int, request: int = PRODUCE) -> None:
        """Answer the next requests with these errors, one each; 0 is none."""
        array = (ctypes.c_int * len(errors))(*errors)
        self._library.rd_kafka_mock_push_request_errors_array(
            self._cluster, request, len(errors), array
        )

    def accept(self) -> None:
        """Refuse no more requests."""
        self._library.rd_kafka_mock_clear_request_errors(self._cluster, PRODUCE)


@contextmanager
def kafka_mock() -> Iterator[KafkaMock]:
    """Run a mock cluster."""
    mock = KafkaMock()
    try:
        yield mock
    finally:
        mock.close()
