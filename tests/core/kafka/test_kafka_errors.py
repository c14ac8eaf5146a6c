"""What an error of Kafka means for an event, and the words in which it is told."""

import pytest

from walker_collector import DestinationDown, NotAttempted, Rejected, RetryLater
from walker_collector.destinations.kafka.kafka_errors import failure_of
from walker_collector.kafka.client_log import ClientError

REFUSED = ClientError("_TRANSPORT", "k1:9092: Connect failed: Connection refused")
LOGIN = ClientError("_AUTHENTICATION", "SASL authentication error: unknown user")


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("MSG_SIZE_TOO_LARGE", Rejected, "refused the message"),
        ("INVALID_RECORD", Rejected, "refused the message"),
        ("TOPIC_AUTHORIZATION_FAILED", DestinationDown, "the right to write to the topic"),
        ("UNKNOWN_TOPIC_OR_PART", DestinationDown, "create the topic"),
        ("SASL_AUTHENTICATION_FAILED", DestinationDown, "check security"),
        ("NOT_ENOUGH_REPLICAS", RetryLater, "a text (NOT_ENOUGH_REPLICAS)"),
        ("SOME_NEW_ERROR", RetryLater, "a text (SOME_NEW_ERROR)"),
        ("_QUEUE_FULL", NotAttempted, "queue is full"),
        ("_TIMED_OUT", RetryLater, "topic t: no acknowledgement within 2.5 s"),
    ],
)
def test_error_has_its_kind_and_the_remedy(name: str, kind: type[Exception], words: str) -> None:
    failure = failure_of(ClientError(name, "a text"), None, "topic t", 2.5)
    assert type(failure) is kind
    assert words in str(failure)


@pytest.mark.parametrize("name", ["_TIMED_OUT", "_TRANSPORT", "_PURGE_INFLIGHT", "_FATAL"])
def test_brokers_that_were_not_reached_have_the_cause_of_that(name: str) -> None:
    error = ClientError(name, "vague")
    transient = failure_of(error, REFUSED, "topic t", 10.0)
    assert type(transient) is RetryLater
    assert str(transient).endswith("within 10 s: k1:9092: Connect failed: Connection refused")
    lasting = failure_of(error, LOGIN, "topic t", 10.0)
    assert type(lasting) is DestinationDown
    assert "unknown user (_AUTHENTICATION); check security: username" in str(lasting)
