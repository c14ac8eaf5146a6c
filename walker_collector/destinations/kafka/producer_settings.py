"""The settings of the destination `kafka`."""

from typing import Final, Literal

from attrs import field, frozen

from walker_collector.clients import between
from walker_collector.kafka.connection import Security, names_brokers, names_topic

_LARGEST: Final = 1_000_000_000
"""Bytes; librdkafka takes no larger messages."""


@frozen(kw_only=True)
class KafkaSettings:
    """Settings of the Kafka destination.

    brokers: some of the cluster's brokers, as `host:port,host:port`; they name the others.
    topic: the topic of all messages; it must exist, unless the brokers make it when it is asked
        for.
    security: encryption, and the credentials of the client; without it the connection is plain.
    compression: messages are packed together in this way; not every service takes each.
    timeout: the brokers acknowledge a batch within so many ms, or its events are retried.
    max_message_bytes: a larger message is refused before it is sent; no more than the
        `max.message.bytes` of the topic.
    """

    brokers: str = field(validator=names_brokers)
    topic: str = field(validator=names_topic)
    security: Security | None = None
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = "none"
    timeout: int = field(default=10_000, validator=between(1_000, 3_600_000))
    max_message_bytes: int = field(default=1_000_000, validator=between(1_000, _LARGEST))
