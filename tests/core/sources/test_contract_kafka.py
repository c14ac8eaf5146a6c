"""The source `kafka` keeps the contract that plugins are held to, with a real broker."""

import json
from collections.abc import Sequence
from typing import ClassVar

import pytest

from tests.kafka_broker import KafkaBroker
from walker_collector.sources.kafka.kafka_source import KafkaSource
from walker_collector.testing import Sender, SourceContract


class Topic:
    """Sends events to a topic, whose broker takes them whoever reads them."""

    def __init__(self, broker: KafkaBroker) -> None:
        self._broker, self.name = broker, broker.new_topic()

    def send(self, place: str, numbers: Sequence[int]) -> None:
        values = [json.dumps({"name": "page view", "data": {"number": n}}) for n in numbers]
        self._broker.send(self.name, *(value.encode() for value in values), partition=0)

    def send_bad(self, place: str) -> None:
        self._broker.send(self.name, b'{"name": ', partition=0)


@pytest.mark.timeout(120)
class TestKafka(SourceContract):
    plugin = KafkaSource
    package = "kafka"
    bad_settings: ClassVar = {"brokers": "kafka1", "topics": [], "sessionTimeout": 1}

    @pytest.fixture
    def sender(self, kafka_broker: KafkaBroker) -> Sender:
        topic = Topic(kafka_broker)
        settings = {"brokers": kafka_broker.address, "topics": [topic.name], "group": topic.name}
        return Sender(settings=settings, send=topic.send, send_bad=topic.send_bad)

    def test_no_more_is_read_than_the_collector_takes(self, sender: Sender) -> None:
        """Brokers take messages whoever reads them; test_kafka_source has what is fetched."""
