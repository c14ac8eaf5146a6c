"""The log of librdkafka: one warning for a trouble, not one for each attempt to connect."""

import logging

import pytest
from confluent_kafka import KafkaError, KafkaException

from walker_collector import Secret
from walker_collector.kafka.client_log import ClientError, ClientLog, client_error

REFUSED = "k1:9092/1: Connect to ipv4#10.0.0.1:9092 failed: Connection refused (after %dms)"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def log(clock: Clock, caplog: pytest.LogCaptureFixture) -> ClientLog:
    caplog.set_level(logging.DEBUG)
    return ClientLog(logging.getLogger("test.kafka"), "destination out", clock)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


def fail(log: ClientLog, text: str, after: int = 0, client: int = 1) -> None:
    text = text.replace("%d", str(after))
    thread = f"[thrd:k{client}:9092/bootstrap]: "
    log.log(logging.ERROR, "%s [%s] %s", "FAIL", f"rdkafka#producer-{client}", thread + text)


def test_trouble_is_a_warning_once(
    log: ClientLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for attempt in range(50):
        fail(log, REFUSED, after=attempt, client=attempt)
        clock.now += 2
    assert len(warnings(caplog)) == 1
    assert warnings(caplog)[0].startswith("destination out: k1:9092/1: Connect to ")
    assert "Connection refused" in warnings(caplog)[0]
    fail(log, REFUSED.replace("k1", "k2"))
    assert len(warnings(caplog)) == 2


def test_trouble_that_lasts_is_told_again_after_ten_minutes(
    log: ClientLog, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(700):
        fail(log, REFUSED)
        clock.now += 1
    assert len(warnings(caplog)) == 2


def test_other_lines_are_for_the_debug_log(
    log: ClientLog, caplog: pytest.LogCaptureFixture
) -> None:
    log.log(logging.INFO, "%s [%s] %s", "REBALANCE", "rdkafka#consumer-1", "joined")
    log.log(logging.CRITICAL, "%s [%s] %s", "FATAL", "rdkafka#producer-1", "a gap")
    assert warnings(caplog) == []
    assert "joined" in caplog.text


def test_no_secret_is_logged(log: ClientLog, caplog: pytest.LogCaptureFixture) -> None:
    secret = Secret("sasl-secret-9")
    fail(log, f"login as walker:{secret.reveal()} failed")
    log.on_error(KafkaError(KafkaError._AUTHENTICATION, f"no {secret.reveal()}"))
    assert "sasl-secret-9" not in caplog.text
    assert log.last_error == ClientError("_AUTHENTICATION", "no ***")


def test_last_error_is_the_one_that_tells_why(log: ClientLog) -> None:
    log.on_error(KafkaError(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down"))
    assert log.last_error is not None
    assert log.last_error.name == "_ALL_BROKERS_DOWN"
    assert "ended the connection without a reason" in log.last_error.text
    log.on_error(KafkaError(KafkaError._TRANSPORT, "refused"))
    log.on_error(KafkaError(KafkaError._ALL_BROKERS_DOWN, "1/1 brokers are down"))
    assert log.last_error == ClientError("_TRANSPORT", "refused")
    log.succeeded()
    assert log.last_error is None


def test_exceptions_of_the_client_are_read_as_its_errors() -> None:
    error = KafkaError(KafkaError._TIMED_OUT, "too late")
    assert client_error(KafkaException(error)) == client_error(error)
    assert client_error(error) == ClientError("_TIMED_OUT", "too late")
    assert client_error(ValueError("a text")) == ClientError("ValueError", "")
    assert client_error(SystemError()) == ClientError("SystemError", "")
