"""The plugin: reads the events in topics, as one of the processes of a consumer group."""

from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final

from walker_collector.errors import PluginError
from walker_collector.hookspecs import Received, SourceContext, hookimpl
from walker_collector.kafka.client_log import ClientLog, client_error
from walker_collector.kafka.connection import client_config, load_client
from walker_collector.sources.kafka.bad_messages import BadMessages, StoppedError
from walker_collector.sources.kafka.group_member import GroupMember
from walker_collector.sources.kafka.hand_on_thread import MOST_BYTES, HandOnThread, Placed
from walker_collector.sources.kafka.handing_on import HandingOn
from walker_collector.sources.kafka.kafka_settings import Settings
from walker_collector.sources.kafka.message_events import MessageReader
from walker_collector.sources.kafka.taking_over import TakingOver

_WAIT: Final = 5.0
"""Seconds that brokers have to answer."""
_PAUSE: Final = 1.0
_REFUSED: Final = {
    "_AUTHENTICATION": "the brokers refuse the credentials; correct settings.security",
    "SASL_AUTHENTICATION_FAILED": "the brokers refuse the credentials; correct settings.security",
    "_SSL": "TLS fails; settings.security must fit to the brokers' listener, and caFile to their "
    "certificate",
    "_INVALID_ARG": "the settings do not fit together",
}
"""Errors at the start that only a person can mend, with the remedy."""
_ABSENT: Final = frozenset({"UNKNOWN_TOPIC_OR_PART", "_UNKNOWN_TOPIC"})


class KafkaSource:
    """Hands on the events in the messages of topics."""

    settings = Settings
    every_worker = True
    wants_spool = True

    @hookimpl
    def run(self, context: SourceContext) -> None:
        """Read until the stop; raises PluginError for credentials that the brokers refuse."""
        client, settings = load_client(), context.settings
        log = ClientLog(context.logger, settings.brokers)
        # A client for questions: one that polls on another thread would make them wait.
        asking = _consumer(client, settings, log)
        try:
            cluster = _connect(asking, context, settings, log)
            if cluster is not None:
                self._read(context, client, asking, cluster, log)
        finally:
            asking.close()

    def _read(
        self, context: SourceContext, client: Any, asking: Any, cluster: str, log: ClientLog
    ) -> None:
        settings = context.settings
        bad = BadMessages(
            topic=settings.dead_letter_topic,
            group=settings.group,
            make_producer=partial(_producer, client, settings, log),
            logger=context.logger,
            count=lambda count: context.figures.add(("bad", context.id), count),
            stopped=context.stop.is_set,
            pause=context.stop.wait,
        )
        handing_on = _handing_on(context, settings, bad)

        def hand_on(messages: Sequence[Placed]) -> None:
            with suppress(StoppedError):
                handing_on.hand_on(messages)

        def on_commit(error: Any, offsets: Sequence[Any]) -> None:
            member.on_committed(error, offsets)

        member = GroupMember(
            context=context,
            settings=settings,
            consumer=_consumer(client, settings, log, on_commit=on_commit),
            make=client.TopicPartition,
            cluster=cluster,
            log=log,
            work=HandOnThread(hand_on, f"walker-source-{context.id}-hand-on"),
            taking_over=TakingOver(
                consumer=asking,
                make=client.TopicPartition,
                positions=context.positions,
                start=settings.start,
                logger=context.logger,
            ),
        )
        member.run()


def _handing_on(context: SourceContext, settings: Settings, bad: BadMessages) -> HandingOn:
    sender = Received(
        {},
        trusted=settings.trusted,
        limited=not settings.trusted,
        learn=settings.learn_consent,
    )
    reader = MessageReader(
        format=settings.format,
        names=settings.names,
        sender=sender,
        max_bytes=context.max_bytes,
        whole=context.config.has_steps,
    )
    return HandingOn(
        accept=context.accept,
        positions=context.positions,
        read=reader.read,
        on_bad=bad.take,
        pause=context.stop.wait,
        stopped=context.stop.is_set,
    )


def _consumer(client: Any, settings: Settings, log: ClientLog, **callbacks: Any) -> Any:
    config = {
        **client_config(settings.brokers, settings.security),
        "group.id": settings.group,
        "enable.auto.commit": False,
        "auto.offset.reset": "error",  # TakingOver decides where to go on
        "partition.assignment.strategy": "range",
        "session.timeout.ms": settings.session_timeout,
        "heartbeat.interval.ms": min(1_000, settings.session_timeout // 6),
        "queued.max.messages.kbytes": MOST_BYTES // 1024,
        "fetch.queue.backoff.ms": 20,
        "topic.metadata.refresh.interval.ms": 30_000,  # a topic may be made later
        "error_cb": log.on_error,
        **callbacks,
    }
    try:
        return client.Consumer(config, logger=log)
    except client.KafkaException as error:  # such as a certificate that cannot be read
        raise PluginError(f"{client_error(error).text} (settings.security)") from None


def _producer(client: Any, settings: Settings, log: ClientLog) -> Any:
    config = {
        **client_config(settings.brokers, settings.security),
        "enable.idempotence": True,
        "message.timeout.ms": 8_000,
        "message.max.bytes": 100_000_000,  # the brokers have the say
        "error_cb": log.on_error,
    }
    return client.Producer(config, logger=log)


def _connect(
    consumer: Any, context: SourceContext, settings: Settings, log: ClientLog
) -> str | None:
    """Wait for the brokers; return the cluster's id, or None at the stop.

    Raises PluginError where it is of no use to wait.
    """
    place = f"kafka {settings.brokers}: {', '.join(settings.topics)} ({settings.group})"
    has_warned = False
    while not context.stop.is_set():
        try:
            found = consumer.list_topics(settings.topics[0], timeout=_WAIT)
        except Exception as error:  # of the client
            consumer.poll(0)  # tells the reason to `log`
            name, text = log.last_error or client_error(error)
            if name in _REFUSED:
                raise PluginError(f"{_REFUSED[name]} ({text})") from None
            if not has_warned:
                has_warned = True
                context.ready(place)
                context.logger.warning("%s: %s; trying again", settings.brokers, text)
            context.stop.wait(_PAUSE)
            continue
        _warn_of_absent_topics(consumer, context, settings)
        context.ready(place)
        if has_warned:
            context.logger.info("%s: connected", settings.brokers)
        return found.cluster_id or settings.brokers
    return None


def _warn_of_absent_topics(consumer: Any, context: SourceContext, settings: Settings) -> None:
    wanted = dict.fromkeys(settings.topics, "it is read once it is there")
    if settings.dead_letter_topic:
        wanted[settings.dead_letter_topic] = "bad messages wait for it, with their partitions"
    for topic, effect in wanted.items():
        try:
            error = consumer.list_topics(topic, timeout=_WAIT).topics[topic].error
        except Exception:  # of the client: the brokers have gone again, which the log tells
            return
        if error is not None and client_error(error).name in _ABSENT:
            context.logger.warning("topic %s does not exist; make it: %s", topic, effect)
        elif error is not None:
            context.logger.warning("topic %s: %s", topic, client_error(error).text)
