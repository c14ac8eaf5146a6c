"""Topic, workers, PostgreSQL, Customer.io: no event is lost, doubled or overtaken on its way."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.emulator import Answer, Emulator, Poison
from tests.forms import form
from tests.integration.kafka_workers import (
    PARTITIONS,
    Sending,
    check,
    flow_of,
    until,
    wait_until_came,
    workers,
)
from tests.kafka_broker import KafkaBroker, lasting_broker
from tests.postgres_server import PostgresServer, required_server

pytestmark = pytest.mark.services("PostgreSQL", "a Kafka broker")

PEOPLE = form(100, 1_000)


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """A server of the test's own, to be stopped and started."""
    with required_server() as started:
        yield started


@pytest.fixture
def broker() -> Iterator[KafkaBroker]:
    """A broker of the test's own, to be killed and started."""
    with lasting_broker() as started:
        yield started


@pytest.mark.long
@pytest.mark.timeout(600)
def test_killed_worker_loses_doubles_and_reorders_nothing(
    tmp_path: Path, server: PostgresServer, kafka_broker: KafkaBroker
) -> None:
    poison = Poison(until(form(1.0, 5.0)), Answer(503))
    topic = kafka_broker.new_topic(PARTITIONS)
    events, rate = form(3_000, 60_000), form(1_000, 10_000)
    with Emulator(tmp_path, poison=[poison]) as emulator:
        flow = flow_of(tmp_path, emulator, server, kafka_broker.address, topic)
        with workers(flow, 2) as running:
            running.wait_until_shared()  # a worker without partitions would be killed in vain
            sending = Sending(kafka_broker, topic, events, PEOPLE, rate)
            sending.go_to(1)
            sending.wait_for(0.5)
            running.kill()
            sending.end()
            check(emulator, sending, running)
            assert running.end() == 0
    assert poison.met > 0


@pytest.mark.long
@pytest.mark.timeout(600)
def test_restarts_and_more_and_fewer_workers_lose_double_and_reorder_nothing(
    tmp_path: Path, server: PostgresServer, broker: KafkaBroker
) -> None:
    topic = broker.new_topic(PARTITIONS)
    events, rate = form(3_000, 60_000), form(200, 2_000)
    with Emulator(tmp_path) as emulator:
        flow = flow_of(tmp_path, emulator, server, broker.address, topic)
        with workers(flow, 1) as running:
            sending = Sending(broker, topic, events, PEOPLE, rate)
            sending.go_to(0.3)
            running.start()
            running.start()
            sending.go_to(0.5)
            server.stop("immediate")
            server.start()
            # Whether a producer repeats what it sent is not the question; nor whether this broker
            # ends a rebalance that it had begun before its end.
            sending.end()
            running.wait_until_shared()
            broker.kill()
            broker.start()
            sending.go_to(0.65)
            sending.end()
            wait_until_came(emulator, sending, running, int(0.65 * events))
            sending.go_to(0.8)
            assert running.end() == 0
            # This broker keeps a leader that leaves before the group is formed again: the others
            # would wait for it for ever, whatever client they use.
            running.wait_until_shared()
            sending.go_to(1)
            assert running.end() == 0
            sending.end()
            check(emulator, sending, running)
            assert running.end() == 0
