"""The source `kafka` against a real broker: what is read, and how it begins, goes on and ends."""

import json
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest

from tests.core.cli_support import spawned
from tests.core.sources.serve_support import ended, figures, flow_in, serving
from tests.kafka_broker import KafkaBroker, required_broker
from tests.support import PATIENCE, wait_until
from walker_collector import PluginError
from walker_collector.sources.kafka.handing_on import Partition
from walker_collector.sources.kafka.kafka_source import KafkaSource
from walker_collector.sources.kafka.taking_over import TakingOver
from walker_collector.testing import SourceHarness


def settings(broker: KafkaBroker, topic: str, **more: Any) -> dict[str, Any]:
    usual = {"brokers": broker.address, "topics": [topic], "group": f"{topic}-readers"}
    return {**usual, **more}


def event(n: int, person: str = "u1", **parts: Any) -> bytes:
    raw = {"name": "page view", "data": {"n": n}, "user": {"id": person}, **parts}
    return json.dumps(raw).encode()


def numbers_in(folder: Path) -> list[int]:
    """The numbers of the delivered events, in their order."""
    file = folder / "out.ndjson"
    if not file.exists():
        return []
    return [json.loads(line)["data"]["n"] for line in file.read_text().splitlines()]


def offsets_in(folder: Path) -> dict[str, int]:
    """The offsets in the spool, by topic and partition."""
    with sqlite3.connect(folder / "spool.db") as db:
        found = db.execute('SELECT input, "offset" FROM positions').fetchall()
    return {input_.partition("/")[2].partition("/")[2]: offset for input_, offset in found}


def committed(broker: KafkaBroker, group: str, topic: str) -> int:
    """The offset of partition 0 that the broker was told."""
    from confluent_kafka import Consumer, TopicPartition

    asking = Consumer({"bootstrap.servers": broker.address, "group.id": group})
    try:
        (found,) = asking.committed([TopicPartition(topic, 0)], timeout=10)
        return int(found.offset)
    finally:
        asking.close()


@contextmanager
def reading(flow: Path, *options: object) -> Iterator["Popen[str]"]:
    """Run `walker serve` until its source has begun."""
    with spawned("serve", flow, *options, cwd=flow.parent, start_new_session=True) as process:
        assert process.stderr is not None
        lines = [process.stderr.readline()]
        while lines[-1] and not lines[-1].startswith("in: kafka"):
            lines.append(process.stderr.readline())
        assert lines[-1], "".join(lines)
        yield process


def test_events_are_read_once_and_the_next_start_goes_on(
    kafka_broker: KafkaBroker, tmp_path: Path
) -> None:
    topic, dead = kafka_broker.new_topic(), kafka_broker.new_topic()
    given = settings(kafka_broker, topic, onBad={"topic": dead}, sessionTimeout=6_000)
    flow = flow_in(tmp_path, {"in": {"package": "kafka", "config": {"settings": given}}})
    kafka_broker.send(topic, event(0), b"nonsense", event(1), b'{"name": ""}', partition=0)
    with reading(flow) as process:
        wait_until(lambda: numbers_in(tmp_path) == [0, 1], "two events are delivered")
        assert ended(process) == 0
    assert offsets_in(tmp_path) == {f"{topic}/0": 4}
    assert committed(kafka_broker, given["group"], topic) == 4
    kafka_broker.send(topic, event(2), partition=0)
    with reading(flow) as process:
        wait_until(lambda: numbers_in(tmp_path) == [0, 1, 2], "the third event is delivered")
        process.kill()
    assert offsets_in(tmp_path) == {f"{topic}/0": 5}
    letters = kafka_broker.messages(dead, 2)
    assert [letter.value() for letter in letters] == [b"nonsense", b'{"name": ""}']
    headers = [dict(letter.headers()) for letter in letters]
    assert [head["walker-dead-offset"] for head in headers] == [b"1", b"3"]
    assert headers[0]["walker-dead-topic"] == topic.encode()
    assert b"not JSON" in headers[0]["walker-dead-reason"]


def test_two_workers_share_the_partitions_and_metrics_tell_of_them(
    kafka_broker: KafkaBroker, tmp_path: Path
) -> None:
    topic = kafka_broker.new_topic(2)
    given = settings(kafka_broker, topic)
    sources = {
        "in": {"package": "kafka", "config": {"settings": given}},
        "web": {"package": "http", "config": {"settings": {"port": 0}}},
    }
    flow = flow_in(tmp_path, sources)
    with serving(flow, "--workers", 2) as (process, (url,)):
        wait_until(lambda: figures(url).get("walker_source_partitions") == 2, timeout=40)
        for partition in (0, 1):
            values = [event(10 * partition + n, f"u{partition}") for n in range(5)]
            kafka_broker.send(topic, *values, b"bad", partition=partition)
        wait_until(lambda: len(numbers_in(tmp_path)) == 10, "ten events are delivered")
        assert [n for n in numbers_in(tmp_path) if n < 10] == list(range(5))
        wait_until(lambda: figures(url).get("walker_source_bad_messages_total") == 2)
        found = figures(url)
        assert found["walker_source_lag"] == 0
        assert found["walker_source_commits_total"] >= 1
        assert ended(process) == 0
    assert offsets_in(tmp_path) == {f"{topic}/0": 6, f"{topic}/1": 6}


def test_partition_that_somebody_else_has_taken_over_is_read_by_whom_it_is_assigned_to(
    kafka_broker: KafkaBroker, tmp_path: Path
) -> None:
    topic = kafka_broker.new_topic()
    given = settings(kafka_broker, topic, sessionTimeout=6_000)
    flow = flow_in(tmp_path, {"in": {"package": "kafka", "config": {"settings": given}}})
    with reading(flow):
        kafka_broker.send(topic, event(0))
        wait_until(lambda: numbers_in(tmp_path) == [0], "the first event is delivered")
        with closing(sqlite3.connect(tmp_path / "spool.db")) as db, db:
            db.execute("UPDATE positions SET run = 'of a process that was suspended'")
        kafka_broker.send(topic, event(1))
        wait_until(lambda: numbers_in(tmp_path) == [0, 1], "the second one is, too")


def test_commands_count_in_their_order(kafka_broker: KafkaBroker, tmp_path: Path) -> None:
    topic = kafka_broker.new_topic()
    source = {
        "package": "kafka",
        "config": {"settings": settings(kafka_broker, topic, trusted=True)},
    }
    flow = flow_in(tmp_path, {"in": source}, consent={"ads": False})
    raw = json.loads(flow.read_text())
    raw["destinations"]["out"]["config"]["consent"] = {"ads": True}
    flow.write_text(json.dumps(raw))

    def says(granted: bool) -> bytes:
        statement = {"name": "walker consent", "data": {"ads": granted}, "user": {"id": "u1"}}
        return json.dumps(statement).encode()

    messages = [event(0), says(True), event(1), event(2)]
    kafka_broker.send(topic, *messages, partition=0)
    with reading(flow) as process:
        wait_until(lambda: numbers_in(tmp_path) == [0, 1, 2], "the grant releases the first")
        kafka_broker.send(topic, says(False), event(3), partition=0)
        wait_until(lambda: offsets_in(tmp_path) == {f"{topic}/0": 6})
        assert ended(process) == 0
    assert numbers_in(tmp_path) == [0, 1, 2]


def test_partition_waits_while_there_is_no_room_and_nobody_else_gets_it(
    kafka_broker: KafkaBroker,
) -> None:
    topic = kafka_broker.new_topic()
    given = settings(kafka_broker, topic, sessionTimeout=6_000)
    with SourceHarness(KafkaSource, given) as source:
        source.hold()
        kafka_broker.send(topic, *(event(n) for n in range(6_000)), partition=0)
        wait_until(lambda: source.inside, "a group is handed on")
        # Fetching pauses once 2,000 wait, and polling goes on.
        member = next(item for item in source.log if "assigned" in item.getMessage())
        assert member.getMessage() == "partitions assigned: 1"
        assert len(source.offered) == source.inside <= 500
        source.release()
        source.wait_for(6_000)
    assert [item["data"]["n"] for item in source.accepted] == list(range(6_000))


@pytest.mark.services("a Kafka broker")
def test_brokers_that_are_away_at_the_start_are_waited_for() -> None:
    broker = required_broker()
    with SourceHarness(KafkaSource, settings(broker, "events")) as source:
        assert len(source.warnings) >= 1
        with broker:
            broker.make_topic("events")
            broker.send("events", event(0))
            source.wait_for(1)


def test_topic_that_is_not_there_is_named_with_what_to_do(kafka_broker: KafkaBroker) -> None:
    with SourceHarness(KafkaSource, settings(kafka_broker, "no-such-topic")) as source:
        wait_until(lambda: source.warnings)
    assert "topic no-such-topic does not exist; make it" in source.warnings[0]


def test_credentials_that_the_brokers_refuse_end_the_start(kafka_broker: KafkaBroker) -> None:
    security = {
        "protocol": "SASL_PLAINTEXT",
        "mechanism": "SCRAM-SHA-256",
        "username": "walker",
        "password": "do-not-show-me",
    }
    given = settings(kafka_broker, "events", security=security)
    with pytest.raises(PluginError, match=r"settings\.security") as refused:
        SourceHarness(KafkaSource, given).start()
    assert "do-not-show-me" not in str(refused.value)


@pytest.mark.services("a Kafka broker")
def test_broker_that_is_away_for_a_while_is_waited_for() -> None:
    with required_broker() as broker:
        topic = broker.new_topic()
        with SourceHarness(KafkaSource, settings(broker, topic)) as source:
            broker.send(topic, event(0))
            source.wait_for(1)
            broker.pause()
            wait_until(lambda: not source.ended, timeout=PATIENCE)
            broker.resume()
            broker.send(topic, event(1))
            source.wait_for(2)
            broker.kill()  # the source ends in time all the same
        assert [item["data"]["n"] for item in source.accepted] == [0, 1]


def test_deleted_messages_are_told_and_the_oldest_is_the_next(tmp_path: Path) -> None:
    """librdkafka's own stand-in for brokers: this test needs no service."""
    from confluent_kafka import Consumer, TopicPartition

    _client, address = stand_in(messages=3)
    asking = Consumer({"bootstrap.servers": address, "group.id": "readers", "log_level": 0})
    asking.commit(offsets=[TopicPartition("events", 0, 1_000)], asynchronous=False)
    asking.close()
    given = {"brokers": address, "topics": ["events"], "group": "readers"}
    with SourceHarness(KafkaSource, given) as source:
        source.wait_for(3)
    assert [item["data"]["n"] for item in source.accepted] == [0, 1, 2]
    (warning,) = [text for text in source.warnings if "offset 1000" in text]
    assert "the topic ends before offset 1000, so it was made anew" in warning


def test_partition_that_the_brokers_have_again_is_read_on_where_it_was() -> None:
    """librdkafka's own stand-in for brokers, which has the offset that is asked about."""
    from confluent_kafka import Consumer, TopicPartition

    client, address = stand_in(messages=3)
    asking = Consumer({"bootstrap.servers": address, "group.id": "readers", "log_level": 0})
    taking_over = TakingOver(
        consumer=asking,
        make=TopicPartition,
        positions=None,
        start="latest",
        logger=logging.getLogger("tests"),
    )
    partition = Partition("events", 0, "kafka:c/readers/events/0", "run-1", offset=2)
    taking_over.start_again(partition)
    assert partition.offset == 2
    asking.close()
    del client  # the brokers end with it


def test_pause_ends_with_a_rebalance() -> None:
    """A second process joins while the first one has no room: nothing stands still afterwards."""
    _client, address = stand_in(messages=1_500, partitions=4)
    given = {"brokers": address, "topics": ["events"], "group": "readers", "sessionTimeout": 6_000}
    with SourceHarness(KafkaSource, given) as first:
        first.hold()
        wait_until(lambda: first.inside, "a group is handed on")
        with SourceHarness(KafkaSource, given, id="second") as second:
            told = "partitions assigned: 2"
            wait_until(
                lambda: all(
                    any(told in item.getMessage() for item in source.log)
                    for source in (first, second)
                ),
                "each has two partitions",
            )
            first.release()
            wait_until(
                lambda: len({key(item) for item in (*first.accepted, *second.accepted)}) == 6_000,
                lambda: f"{len(first.accepted)} and {len(second.accepted)} are accepted",
            )


def key(accepted: Any) -> tuple[int, int]:
    return accepted["data"]["partition"], accepted["data"]["n"]


def stand_in(messages: int, partitions: int = 1) -> tuple[Any, str]:
    """A client that brings brokers along, with messages in each partition; their address."""
    from confluent_kafka import Producer

    client = Producer({"bootstrap.servers": "none", "test.mock.num.brokers": 1, "log_level": 0})
    (broker,) = client.list_topics(timeout=PATIENCE).brokers.values()
    for at in range(partitions):
        for n in range(messages):
            client.produce("events", event(n, data={"n": n, "partition": at}), partition=at)
            client.poll(0)
    assert client.flush(PATIENCE) == 0
    return client, f"{broker.host}:{broker.port}"
