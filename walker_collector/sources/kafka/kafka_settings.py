"""The settings of the source `kafka`."""

from typing import Any, Final, Literal

from attrs import Factory, field, frozen

from walker_collector.clients import between, filled
from walker_collector.kafka.connection import Security, names_brokers, names_topic
from walker_collector.sources.http.settings import check_event_names

_SESSION: Final = 10_000
_SESSION_LEAST: Final = 6_000
"""The bounds (ms) of brokers, unless they are configured otherwise."""
_SESSION_MOST: Final = 300_000


def _topics(instance: Any, attribute: Any, value: list[str]) -> None:
    if not value:
        raise ValueError("name at least one topic")
    for topic in value:
        names_topic(instance, attribute, topic)


@frozen(kw_only=True)
class DeadLetterTopic:
    """A topic for messages without an event.

    topic: the name of the topic.
    """

    topic: str = field(validator=names_topic)


@frozen(kw_only=True)
class Settings:
    """Settings of the source `kafka`.

    brokers: some brokers of the cluster with their ports, as `host:port,host:port`.
    topics: the messages of these topics are read.
    group: the name of the consumer group, which all processes that share the topics have in common.
    security: encryption and credentials; without it, neither.
    format: "walker" reads our event JSON, "segment" Segment's calls, one per message.
    names: Segment's track calls get these names, by the call's event.
    start: where a group begins that has read nothing yet: "earliest" with the oldest message,
        "latest" with those that come from then on.
    on_bad: "skip" leaves messages without an event out, or they are forwarded to a topic.
    trusted: whether senders are trusted whose messages have no header of ours that says so.
    learn_consent: true remembers the consent of events in such messages for their people.
    session_timeout: a process that has not been heard of for so many ms counts as dead, and the
        others take its partitions over.
    """

    brokers: str = field(validator=names_brokers)
    topics: list[str] = field(validator=_topics)
    group: str = field(validator=filled)
    security: Security | None = None
    format: Literal["walker", "segment"] = "walker"
    names: dict[str, str] = field(default=Factory(dict), validator=check_event_names)
    start: Literal["earliest", "latest"] = "earliest"
    on_bad: Literal["skip"] | DeadLetterTopic = "skip"
    trusted: bool = False
    learn_consent: bool = True
    session_timeout: int = field(default=_SESSION, validator=between(_SESSION_LEAST, _SESSION_MOST))

    @property
    def dead_letter_topic(self) -> str | None:
        """The topic for messages without an event; None: they are skipped."""
        return None if self.on_bad == "skip" else self.on_bad.topic
