"""An edge: `walker serve` in front of a real broker, which answers when the broker has an event."""

import json
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.core.sources.serve_support import ended, figures, post, serving
from tests.kafka_broker import KafkaBroker
from tests.support import PATIENCE, wait_until
from walker_collector import Collector, PushResult, Received
from walker_collector.kafka.event_messages import received_of

pytestmark = pytest.mark.services("a Kafka broker")

S1 = {"session": "s1"}


def edge_in(folder: Path, broker: KafkaBroker, topic: str, timeout: int = 10_000) -> Path:
    """Write the flow of an edge without a disk; requests wait `timeout` ms."""
    settings = {"brokers": broker.address, "topic": topic, "timeout": 1_000}
    out = {"settings": settings, "retry": {"base": 10, "cap": 50}, "breaker": {"cooldown": 200}}
    web = {"port": 0, "acknowledge": "delivered", "timeout": timeout}
    flow = folder / "edge.json"
    flow.write_text(
        json.dumps(
            {
                "sources": {"web": {"package": "http", "config": {"settings": web}}},
                "destinations": {"out": {"package": "kafka", "config": out}},
            }
        )
    )
    return flow


def view(id: str, **parts: Any) -> dict[str, Any]:
    return {"name": "page view", "id": id, "user": S1, **parts}


def ids(messages: Iterable[Any]) -> list[str]:
    return [dict(item.headers())["walker-id"].decode() for item in messages]


def accepted_by(url: str) -> float:
    """Return the number of events that an edge has accepted."""
    return figures(url)["walker_events_accepted_total"]


def accepted(messages: Iterable[Any], folder: Path) -> list[str]:
    """Return the ids of the events that a worker's spool takes of messages, in order."""
    out = {"package": "file", "config": {"settings": {"path": str(folder / "worker.ndjson")}}}
    flow = {
        "collector": {"spool": {"path": str(folder / "worker.db")}},
        "destinations": {"out": out},
    }
    anybody = Received({}, trusted=False)
    with Collector.from_config(flow) as worker:
        for item in messages:
            received = received_of(json.loads(item.value()), item.headers(), anybody)
            (result,) = worker.push_from(None, [received])
            assert isinstance(result, PushResult)
        assert worker.flush(PATIENCE)
    lines = (folder / "worker.ndjson").read_text("utf-8").splitlines()
    return [json.loads(line)["id"] for line in lines]


def test_event_that_was_answered_is_at_the_broker_whatever_ends_the_edge(
    tmp_path: Path, kafka_broker: KafkaBroker
) -> None:
    topic = kafka_broker.new_topic()
    flow = edge_in(tmp_path, kafka_broker, topic)
    answered: list[str] = []
    enough = threading.Event()

    def send(sender: int) -> None:
        for number in range(1_000):
            id_ = f"{sender}-{number}"
            try:
                status, _ = post(url, view(id_, user={"session": str(sender)}))
            except OSError:
                return
            assert status == 200
            answered.append(id_)
            if len(answered) >= 100:
                enough.set()

    with serving(flow) as (process, (url,)), ThreadPoolExecutor(8) as senders:
        sending = [senders.submit(send, sender) for sender in range(8)]
        assert enough.wait(PATIENCE)
        process.kill()
        for each in sending:
            each.result(PATIENCE)
    assert set(answered) <= set(ids(kafka_broker.messages(topic, len(answered))))


def test_edge_goes_on_by_itself_when_the_broker_answers_again(
    tmp_path: Path, kafka_broker: KafkaBroker
) -> None:
    topic = kafka_broker.new_topic()
    flow = edge_in(tmp_path, kafka_broker, topic, timeout=500)
    statement = {"name": "walker consent", "id": "c1", "data": {"a": True}, "user": S1}
    with serving(flow) as (process, (url,)):
        wait_until(lambda: post(url, view("e1"))[0] == 200, "the edge is connected")
        kafka_broker.pause()
        try:
            assert [post(url, item)[0] for item in (view("e2"), statement, view("e2"))] == [504] * 3
        finally:
            kafka_broker.resume()
        wait_until(lambda: post(url, view("e3"))[0] == 200, "the edge delivers again")
        wait_until(lambda: post(url, statement)[0] == 200, "what is sent again is answered")
        assert ended(process) == 0
    found = ids(kafka_broker.messages(topic, 4))
    # The broker may have had more of a request than it could acknowledge.
    assert list(dict.fromkeys(found)) == ["e1", "e2", "c1", "e3"]


def test_event_that_is_sent_again_to_another_edge_is_accepted_once(
    tmp_path: Path, kafka_broker: KafkaBroker
) -> None:
    topic = kafka_broker.new_topic()
    flow = edge_in(tmp_path, kafka_broker, topic)
    for _ in range(2):
        with serving(flow) as (process, (url,)):
            assert post(url, [view("e1"), view("e2")])[0] == 200
            process.kill()
            process.wait(PATIENCE)
    messages = kafka_broker.messages(topic, 4)
    assert ids(messages) == ["e1", "e2", "e1", "e2"]
    assert accepted(messages, tmp_path) == ["e1", "e2"]


def test_sigterm_answers_all_that_is_in_flight(tmp_path: Path, kafka_broker: KafkaBroker) -> None:
    topic = kafka_broker.new_topic()
    flow = edge_in(tmp_path, kafka_broker, topic)
    with serving(flow) as (process, (url,)), ThreadPoolExecutor(20) as senders:
        assert post(url, view("e0"))[0] == 200
        kafka_broker.pause()
        try:
            sending = [
                senders.submit(post, url, view(f"e{number}", user={"session": str(number)}))
                for number in range(1, 21)
            ]
            wait_until(lambda: accepted_by(url) == 21, "all requests have come")
            process.terminate()
            assert process.stderr is not None
            assert any("SIGTERM: stopping" in line for line in process.stderr)
        finally:
            kafka_broker.resume()
        assert [each.result(PATIENCE)[0] for each in sending] == [200] * 20
        assert process.wait(PATIENCE) == 0
    assert {f"e{number}" for number in range(21)} <= set(ids(kafka_broker.messages(topic, 21)))


def test_trust_and_consent_arrive_at_the_worker_as_they_were_posted(
    tmp_path: Path, kafka_broker: KafkaBroker
) -> None:
    topic = kafka_broker.new_topic()
    flow = edge_in(tmp_path, kafka_broker, topic)
    with serving(flow) as (process, (url,)):
        assert post(url, view("e1", consent={"marketing": True, "a": False}))[0] == 200
        withdrawal = {"name": "walker consent", "data": {"marketing": False}, "user": S1}
        assert post(url, {**withdrawal, "id": "c1"})[0] == 200
        assert post(url, {**withdrawal, "user": {"id": "u1"}})[0] == 403
        assert ended(process) == 0
    event, statement = kafka_broker.messages(topic, 2)
    assert json.loads(event.value())["consent"] == {"marketing": True, "a": False}
    read = received_of({}, event.headers(), Received({}))
    assert (read.trusted, read.limited, read.learn) == (False, False, True)
    assert json.loads(statement.value())["data"] == {"marketing": False}
    told = received_of({}, statement.headers(), Received({}))
    assert (told.trusted, told.learn) == (False, False)
    assert read.stated_at is not None
    assert told.stated_at is not None
    assert read.stated_at < told.stated_at
