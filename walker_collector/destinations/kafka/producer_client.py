"""The client that sends messages: an idempotent producer of librdkafka, connected to its topic."""

import time
from typing import Any, Final

from walker_collector.destinations.kafka.kafka_errors import failure_of
from walker_collector.errors import DestinationDown, PluginError
from walker_collector.hookspecs import Context
from walker_collector.kafka.client_log import ClientError, ClientLog, client_error
from walker_collector.kafka.connection import client_config, load_client

_LINGER: Final = 5
"""Ms that the client waits for more messages of a batch; it sends when the batch is complete."""
_BATCH_BYTES: Final = 1_000_000
_NEW_TOPIC: Final = frozenset({"UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC", "LEADER_NOT_AVAILABLE"})
"""Errors of a topic that brokers may be making just now."""
_NEW_TOPIC_WAIT: Final = 2.0
_PAUSE: Final = 0.1


def make_client(context: Context, log: ClientLog) -> Any:
    """Return a producer; raises DestinationDown if the settings allow none."""
    settings = context.settings
    try:
        module = load_client()
    except PluginError as error:
        raise DestinationDown(str(error)) from None
    config = {
        **client_config(settings.brokers, settings.security),
        "acks": "all",
        "batch.size": min(_BATCH_BYTES, settings.max_message_bytes),
        "compression.type": settings.compression,
        "enable.gapless.guarantee": True,
        "enable.idempotence": True,
        "error_cb": log.on_error,
        "linger.ms": _LINGER,
        "logger": log,
        "message.max.bytes": settings.max_message_bytes,
        "message.timeout.ms": 0,  # the batch has a time of its own, and ends as a whole
    }
    try:
        return module.Producer(config)
    except module.KafkaException as error:
        found = client_error(error)
        raise DestinationDown(f"no client for these settings: {found.text}") from None


def require_topic(client: Any, context: Context, log: ClientLog, timeout: float) -> None:
    """Ask the brokers for the topic; raises DestinationDown or RetryLater."""
    ends_at = time.monotonic() + timeout
    error = _problem_of_topic(client, context.settings.topic, timeout)
    patience = time.monotonic() + _NEW_TOPIC_WAIT
    while error and error.name in _NEW_TOPIC and time.monotonic() < min(patience, ends_at):
        time.sleep(_PAUSE)
        error = _problem_of_topic(client, context.settings.topic, timeout)
    client.poll(0)  # for `last_error`
    if error is not None:
        where = f"topic {context.settings.topic}"
        raise failure_of(error, log.last_error, where, timeout, "answer of the brokers")
    log.succeeded()


def _problem_of_topic(client: Any, topic: str, timeout: float) -> ClientError | None:
    try:
        found = client.list_topics(topic, timeout=timeout).topics[topic].error
    except Exception as error:  # KafkaException
        return client_error(error)
    return None if found is None else client_error(found)
