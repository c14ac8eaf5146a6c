"""Source and destination `kafka` over TLS, on a real broker behind a TLS front.

The broker of the tests keeps no users, so nobody can log in.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.kafka_broker import required_broker
from tests.tls_front import TlsFront
from walker_collector import DestinationDown, PluginError, RetryLater
from walker_collector.destinations.kafka.kafka_destination import KafkaDestination
from walker_collector.sources.kafka.kafka_source import KafkaSource
from walker_collector.testing import Harness, SourceHarness

pytestmark = pytest.mark.services("a Kafka broker")

NO_FILES = {"caFile": None, "certFile": None, "keyFile": None}
EVENT = {"name": "page view", "id": "e1", "user": {"id": "u1"}}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """The brokers and the security with which they are reached."""
    folder = tmp_path_factory.mktemp("secured")
    with required_broker() as broker, TlsFront(folder, broker.address) as front:
        broker.encrypt(front)
        broker.make_topic("events")
        security = {
            "protocol": "SSL",
            "caFile": str(front.ca_file),
            "certFile": str(front.cert_file),
            "keyFile": str(front.key_file),
        }
        yield {"brokers": broker.address, "security": security}


def with_security(settings: dict[str, Any], **other: Any) -> dict[str, Any]:
    """Settings with other security; None leaves a part out."""
    security = {**settings["security"], **other}
    given = {name: value for name, value in security.items() if value is not None}
    return {**settings, "security": given}


def reading(settings: dict[str, Any]) -> SourceHarness:
    return SourceHarness(KafkaSource, {**settings, "topics": ["events"], "group": "readers"})


def writing(settings: dict[str, Any]) -> Harness:
    return Harness(KafkaDestination, {**settings, "topic": "events", "timeout": 5_000})


def test_event_goes_through_an_encrypted_topic(settings: dict[str, Any]) -> None:
    with writing(settings) as destination:
        assert destination.push_batch([EVENT]) == {}
    with reading(settings) as source:
        source.wait_for(1)
    assert source.accepted[0]["name"] == "page view"


def test_authority_that_is_not_trusted_is_named_with_what_to_mend(settings: dict[str, Any]) -> None:
    wrong = with_security(settings, caFile=None)
    with pytest.raises(PluginError, match="caFile"):
        reading(wrong).start()
    with pytest.raises(DestinationDown, match="caFile"):
        writing(wrong).init()


@pytest.mark.parametrize(
    "other",
    [{"certFile": None, "keyFile": None}, {"protocol": "PLAINTEXT", **NO_FILES}],
    ids=["no certificate of the client", "no encryption"],
)
def test_connection_that_is_ended_without_a_reason_tells_where_to_look(
    settings: dict[str, Any], other: dict[str, Any]
) -> None:
    with pytest.raises(
        RetryLater, match="check security: the protocol of their port, and certFile"
    ):
        writing(with_security(settings, **other)).init()
