"""The destination `kafka` keeps the contract of destinations, at librdkafka's mock cluster."""

import json
from typing import Any, ClassVar

import pytest
from confluent_kafka import KafkaError

from tests.kafka_mock import MANY, PRODUCE, KafkaMock
from walker_collector.destinations.kafka.kafka_destination import KafkaDestination
from walker_collector.testing import Backend, DestinationContract

OWN = ("id", "timestamp", "timing", "source")
"""Parts that differ between any two events."""


class TestKafka(DestinationContract):
    plugin = KafkaDestination
    package = "kafka"
    bad_settings: ClassVar = {
        "brokers": "k1",
        "topic": "a b",
        "compression": "zip",
        "timeout": 0,
        "maxMessageBytes": 1,
    }

    @pytest.fixture
    def backend(self, mock: KafkaMock, topic: str) -> Backend:
        def content(id: str) -> Any:
            (value,) = (
                item.value()
                for item in mock.all_messages(topic)
                if dict(item.headers())["walker-id"] == id.encode()
            )
            event = json.loads(value)
            return {key: event[key] for key in event if key not in OWN}

        def revoke() -> None:
            denied = [KafkaError.TOPIC_AUTHORIZATION_FAILED] * MANY
            mock.refuse(*denied, request=PRODUCE)
            mock.deny(topic)

        def recover() -> None:
            mock.accept()
            mock.allow(topic)
            mock.start()

        return Backend(
            settings={
                "brokers": mock.address,
                "topic": topic,
                "timeout": 3_000,  # the client waits 2 s between attempts to connect, at most
                "maxMessageBytes": 20_000,
            },
            received=lambda: [
                dict(item.headers())["walker-id"].decode() for item in mock.all_messages(topic)
            ],
            content=content,
            reject={"data": {"total": "9" * 30_000}},
            down=revoke,
            unreachable=mock.stop,
            recover=recover,
        )
