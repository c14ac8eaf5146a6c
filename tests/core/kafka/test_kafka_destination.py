"""The destination `kafka` at librdkafka's mock cluster: order, refusals, troubles, forks."""

import json
import logging
import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import KafkaError

from tests.kafka_mock import MANY, KafkaMock
from tests.support import PATIENCE, exit_status, in_fork, wait_until
from walker_collector import Collector, Received, RetryLater
from walker_collector.destinations.kafka.kafka_destination import KafkaDestination
from walker_collector.testing import Harness

QUICK = {"retry": {"base": 1, "cap": 20}, "breaker": {"threshold": 100, "cooldown": 20}}
IDS = "walker-id"


def flow(mock: KafkaMock, topic: str, **changes: Any) -> dict[str, Any]:
    settings = {"brokers": mock.address, "topic": topic, "timeout": 2_000}
    settings |= changes.pop("settings", {})
    config = {"settings": settings, **QUICK, **changes}
    return {"destinations": {"out": {"package": "kafka", "config": config}}}


@pytest.fixture
def collector(mock: KafkaMock, topic: str) -> Iterator[Collector]:
    collector = Collector.from_config(flow(mock, topic))
    try:
        yield collector
    finally:
        collector.close(timeout=0)


def event(number: int, **parts: Any) -> dict[str, Any]:
    return {"name": "page view", "id": f"e{number}", "user": {"id": "u1"}, **parts}


def ids(messages: list[Any]) -> list[str]:
    return [dict(item.headers())[IDS].decode() for item in messages]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


def test_messages_of_a_person_are_in_one_partition_in_order(mock: KafkaMock) -> None:
    topic = mock.make_topic("many", 4)
    people = [f"u{number}" for number in range(40)]
    with Collector.from_config(flow(mock, topic)) as collector:
        collector.push_many(
            event(10 * at + number, user={"id": person})
            for number in range(5)
            for at, person in enumerate(people)
        )
        assert collector.flush(PATIENCE)
    messages = mock.messages(topic, 200)
    places: dict[bytes, set[int]] = {}
    numbers: dict[bytes, list[str]] = {}
    for item in messages:
        places.setdefault(item.key(), set()).add(item.partition())
        numbers.setdefault(item.key(), []).append(dict(item.headers())[IDS].decode())
    assert len(numbers) == 40
    assert all(len(partitions) == 1 for partitions in places.values())
    assert len(set().union(*places.values())) > 1
    assert all(own == sorted(own, key=lambda id: int(id[1:])) for own in numbers.values())


def test_value_is_the_event_or_what_the_mapping_makes_of_it(mock: KafkaMock, topic: str) -> None:
    mapping = {"order": {"complete": {"data": {"map": {"total": "data.total"}}}}}
    with Collector.from_config(flow(mock, topic, mapping=mapping)) as collector:
        collector.push("order complete", data={"total": 5}, user={"id": "u1"})
        collector.push("page view", user={"id": "u1"})
        assert collector.flush(PATIENCE)
    mapped, whole = mock.messages(topic, 2)
    assert json.loads(mapped.value()) == {"total": 5}
    assert "walker-schema" not in dict(mapped.headers())
    assert json.loads(whole.value())["name"] == "page view"
    assert dict(whole.headers())["walker-schema"] == b"1"


def test_trust_and_learned_consent_are_in_the_headers(
    mock: KafkaMock, topic: str, collector: Collector
) -> None:
    learned = event(1, consent={"marketing": True}, user={"session": "s1"})
    collector.push_from(None, [Received(learned, trusted=False, limited=True, learn=True)])
    assert collector.flush(PATIENCE)
    (message,) = mock.messages(topic, 1)
    headers = dict(message.headers())
    assert message.key() == b"session:s1"
    assert (headers["walker-trust"], headers["walker-learn"]) == (b"limited", b"1")
    stated = json.loads(message.value())["timestamp"] * 1_000
    assert int(headers["walker-stated-at"]) == stated
    assert json.loads(message.value())["consent"] == {"marketing": True}


def test_message_that_is_too_large_is_refused_before_it_is_sent(
    mock: KafkaMock, topic: str
) -> None:
    with Collector.from_config(flow(mock, topic, settings={"maxMessageBytes": 5_000})) as collector:
        large = collector.push(event(1, data={"text": "x" * 5_000}), wait=True)
        assert large.destinations == {"out": "failed"}
        assert "maxMessageBytes is 5,000" in large.reasons["out"]
        assert "xxx" not in large.reasons["out"]
        assert collector.push(event(2), wait=True).destinations == {"out": "delivered"}
    assert ids(mock.messages(topic, 1)) == ["e2"]


@pytest.mark.parametrize("refusals", [1, 2, 3])
def test_what_is_refused_together_with_a_bad_message_is_sent_in_order(
    mock: KafkaMock, topic: str, refusals: int
) -> None:
    """The first request has all the messages, the next ones have one each."""
    settings = {"brokers": mock.address, "topic": topic}
    harness = Harness(KafkaDestination, settings)
    with harness:
        harness.push_items([harness.item(event(0))])
        items = [harness.item(event(number)) for number in range(1, 6)]
        mock.refuse(*[KafkaError.MSG_SIZE_TOO_LARGE] * refusals)
        failures = harness.push_items(items)
    bad = list(range(refusals - 1))
    assert sorted(failures) == bad
    assert all("refused the message" in str(failures[index]) for index in bad)
    good = [f"e{number}" for number in range(1, 6) if number - 1 not in bad]
    assert ids(mock.messages(topic, 1 + len(good))) == ["e0", *good]


def test_order_holds_while_brokers_come_and_go(
    mock: KafkaMock, topic: str, collector: Collector
) -> None:
    assert collector.push(event(0), wait=True).ok
    for number in range(1, 21):
        if number == 5:
            mock.stop()
        if number == 15:
            mock.start()
        if number == 18:
            mock.refuse(*[KafkaError.NOT_ENOUGH_REPLICAS] * 3)
        collector.push(event(number))
    assert collector.flush(PATIENCE)
    assert ids(mock.messages(topic, 21)) == [f"e{number}" for number in range(21)]


def test_batch_without_an_acknowledgement_is_over_and_nothing_of_it_comes_late(
    mock: KafkaMock, topic: str
) -> None:
    settings = {"brokers": mock.address, "topic": topic, "timeout": 1_000}
    with Harness(KafkaDestination, settings) as harness:
        harness.push_items([harness.item(event(0))])
        mock.stop()
        with pytest.raises(Exception, match=r"no acknowledgement within 1 s: .*refused"):
            harness.push_items([harness.item(event(1)), harness.item(event(2))])
        mock.start()

        def arrives() -> bool:
            try:
                return harness.push_items([harness.item(event(3))]) == {}
            except RetryLater:  # a client does not connect again at once
                return False

        wait_until(arrives)
    assert ids(mock.all_messages(topic)) == ["e0", "e3"]


def test_time_of_a_batch_is_less_than_that_of_the_call(mock: KafkaMock, topic: str) -> None:
    """Else its thread would be left behind, and its messages might come late."""
    settings = {"timeout": 10_000}
    with Collector.from_config(flow(mock, topic, settings=settings, timeout=4_000)) as collector:
        assert collector.push(event(0), wait=True).ok
        mock.stop()
        late = collector.push(event(1), wait=True, timeout=PATIENCE)
        assert "no acknowledgement within 3.2 s" in late.reasons["out"]
        mock.start()
        assert collector.flush(PATIENCE)
    assert ids(mock.messages(topic, 2)) == ["e0", "e1"]


def test_missing_right_stops_the_destination_and_names_the_remedy(
    mock: KafkaMock, topic: str, collector: Collector
) -> None:
    assert collector.push(event(0), wait=True).ok
    mock.refuse(*[KafkaError.TOPIC_AUTHORIZATION_FAILED] * MANY)
    collector.push(event(1), wait=True)
    status = collector.status_of("out")
    assert status.state == "down"
    assert "give this user the right to write to the topic" in status.reason


def test_trouble_is_a_few_lines_of_the_log(
    mock: KafkaMock, topic: str, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    assert collector.push(event(0), wait=True).ok
    mock.stop()
    collector.push(event(1), wait=True, timeout=PATIENCE)
    collector.push(event(2), wait=True, timeout=PATIENCE)
    assert 1 <= len(warnings(caplog)) <= 5
    assert "Connection refused" in " ".join(warnings(caplog))


def test_erasure_says_that_messages_stay(
    mock: KafkaMock, collector: Collector, caplog: pytest.LogCaptureFixture
) -> None:
    collector.push(event(0), wait=True)
    collector.forget({"id": "u1"})
    assert any("has to erase them as well" in line for line in warnings(caplog))


def test_statement_that_is_simulated_shows_its_message(mock: KafkaMock, topic: str) -> None:
    from walker_collector.flow import load_flow
    from walker_collector.plugins import Registry
    from walker_collector.simulation import Simulation

    loaded = load_flow(flow(mock, topic), registry=Registry().discover())
    simulation = Simulation(loaded, now=lambda: 1_700_000_000_000, new_id=lambda: "n1")
    statement = {"name": "walker consent", "data": {"a": True}, "user": {"session": "s1"}}
    (shown,) = simulation.push(statement)
    assert shown.calls[0][:3] == ["produce", topic, "session:s1"]
    assert shown.calls[0][3]["data"] == {"a": True}
    (view,) = simulation.push(event(1))
    assert view.calls[0][:3] == ["produce", topic, "id:u1"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_forked_child_has_a_producer_of_its_own_and_leaves_its_parents(
    mock: KafkaMock, topic: str, collector: Collector
) -> None:
    assert collector.push(event(0), wait=True).ok

    def child() -> None:
        assert collector.push(event(1), wait=True, timeout=PATIENCE).ok
        collector.close()

    assert exit_status(in_fork(child)) == 0
    assert collector.push(event(2), wait=True).ok
    assert ids(mock.messages(topic, 3)) == ["e0", "e1", "e2"]


def test_missing_package_is_named_with_the_remedy(
    mock: KafkaMock, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    with Collector.from_config(flow(mock, topic)) as collector:
        collector.push(event(1), wait=True, timeout=PATIENCE)
        reason = collector.status_of("out").reason
        assert "pip install 'walker-collector[kafka]'" in reason
        collector.close(timeout=0)
