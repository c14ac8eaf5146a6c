"""The source `kafka` with faults of a mock cluster: what fails is tried again, and alone."""

from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from tests.kafka_mock import JOIN_GROUP, MANY, OFFSET_COMMIT, KafkaMock
from tests.support import PATIENCE, wait_until
from walker_collector.sources.kafka import group_member
from walker_collector.sources.kafka.kafka_source import KafkaSource
from walker_collector.testing import SourceHarness

GROUP = "readers"


def reading(mock: KafkaMock, topic: str, **more: Any) -> SourceHarness:
    settings = {"brokers": mock.address, "topics": [topic], "group": GROUP, **more}
    return SourceHarness(KafkaSource, settings)


def send(mock: KafkaMock, topic: str, *values: bytes, partition: int = 0) -> None:
    producer = Producer({"bootstrap.servers": mock.address, "log_level": 0})
    for value in values:
        producer.produce(topic, value, partition=partition)
    assert producer.flush(PATIENCE) == 0


def told(mock: KafkaMock, topic: str) -> int:
    """The offset of partition 0 that the brokers were told."""
    asking = Consumer({"bootstrap.servers": mock.address, "group.id": GROUP, "log_level": 0})
    try:
        (found,) = asking.committed([TopicPartition(topic, 0)], timeout=PATIENCE)
        return int(found.offset)
    finally:
        asking.close()


def names(source: SourceHarness) -> list[str]:
    return [event["name"] for event in source.accepted]


def test_partition_without_a_leader_does_not_hold_up_the_others(mock: KafkaMock) -> None:
    topic = mock.make_topic("events", 2)
    send(mock, topic, b'{"name": "cart view"}', partition=0)
    send(mock, topic, b'{"name": "order complete"}', partition=1)
    mock.set_leader(topic, 0, -1)
    with reading(mock, topic) as source:
        source.wait_for(1)
        assert names(source) == ["order complete"]
        send(mock, topic, b'{"name": "order ship"}', partition=1)
        source.wait_for(2)
        mock.set_leader(topic, 0)
        source.wait_for(3)
        assert names(source) == ["order complete", "order ship", "cart view"]


def test_producer_of_dead_letters_that_has_stopped_for_good_is_made_anew(
    mock: KafkaMock, topic: str
) -> None:
    send(mock, topic, b"no JSON", b'{"name": "cart view"}')
    dead = mock.make_topic("dead")
    mock.refuse(KafkaError.INVALID_PRODUCER_EPOCH, KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER)
    with reading(mock, topic, onBad={"topic": dead}) as source:
        source.wait_for(1)
    assert {message.value() for message in mock.all_messages(dead)} == {b"no JSON"}


def test_offset_that_the_brokers_have_refused_is_told_again(mock: KafkaMock, topic: str) -> None:
    send(mock, topic, b'{"name": "cart view"}')
    mock.refuse(KafkaError.GROUP_AUTHORIZATION_FAILED, request=OFFSET_COMMIT)
    with reading(mock, topic) as source:
        source.wait_for(1)
        wait_until(lambda: told(mock, topic) == 1, "the offset is told")


def test_process_that_its_group_does_not_take_in_says_so(
    mock: KafkaMock, topic: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(group_member, "_OUTSIDE", 0.5)
    mock.refuse(*[KafkaError.REBALANCE_IN_PROGRESS] * MANY, request=JOIN_GROUP)
    with reading(mock, topic):
        told = "the group readers has not taken this process in"
        wait_until(lambda: told in caplog.text, "the warning")
