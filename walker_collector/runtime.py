"""The working parts of a collector, which a forked child makes anew."""

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from typing import Any, Final

from walker_collector.config import CollectorConfig, FlowConfig
from walker_collector.delivery.cooperation import Cooperation
from walker_collector.delivery.destination import Host, announce, build_destinations
from walker_collector.delivery.workers import DestinationWorkers
from walker_collector.errors import SpoolError
from walker_collector.events import Bounds, Defaults
from walker_collector.flow import SOURCES_NOT_RUN
from walker_collector.intake.accept import Intake
from walker_collector.intake.given_letters import by_destination, parts_to_leave_out
from walker_collector.intake.in_flight import InFlight
from walker_collector.intake.origin import Origin
from walker_collector.intake.outbox import OutboxReader, post
from walker_collector.intake.reading import readable
from walker_collector.intake.sink import SpoolSink
from walker_collector.interrupts import uninterrupted
from walker_collector.moments import now_ms
from walker_collector.people.consent import ConsentStore
from walker_collector.people.erasure import Erasure
from walker_collector.plugins import Registry
from walker_collector.results import PushResult
from walker_collector.spool import RECENT, DeadLetter, Spool
from walker_collector.spool.memory import MemorySpool
from walker_collector.spool.opening import open_durable
from walker_collector.spool.outbox_figures import outbox_figures
from walker_collector.text import get_logger

logger = get_logger("walker_collector")

_WRITE_WAIT: Final = 1_000
"""Least wait (ms) for other processes that write, also if a push is not to wait for room."""


def open_spool(config: CollectorConfig) -> Spool:
    """Open the spool of a configuration, which all processes of the machine share."""
    recent = RECENT if config.recent is None else config.recent
    if config.spool is None:
        return MemorySpool(recent)
    wait = max(config.queue_wait, _WRITE_WAIT) / 1000
    return open_durable(config.spool, shards=config.shards, recent=recent, wait=wait)


def log_warnings(flow: FlowConfig) -> None:
    """Log the warnings of a flow."""
    for warning in flow.warnings:  # an application may well mount a source, or only push
        level = logging.INFO if warning.startswith(SOURCES_NOT_RUN) else logging.WARNING
        logger.log(level, "%s: %s", flow.source, warning)


class Runtime:
    """Intake, people, workers and erasure, over one spool. It closes the spool if it fails."""

    def __init__(
        self,
        flow: FlowConfig,
        spool: Spool,
        registry: Registry | None,
        host: Host,
        defaults: Defaults,
        in_flight: InFlight,
        now: Callable[[], int],
        random: Callable[[], float],
    ) -> None:
        config = flow.collector
        self.spool = spool
        self._delivers = config.deliver
        try:
            destinations = build_destinations(flow, registry, host)
            self.consents = ConsentStore(spool, config.consent, config.people_max, now)
            self.workers = DestinationWorkers(destinations, spool, self.consents, now, random)
            self.erasure = Erasure(self.workers, self.consents, spool)
            self._cooperation = (
                Cooperation(
                    spool, self.workers, self.consents, self.erasure, delivers=config.deliver
                )
                if spool.durable
                else None
            )
            self.sink = SpoolSink(config, spool, self.workers, in_flight)
            self.bounds = bounds = Bounds(config.max_depth, config.max_bytes)
            defaults.begin_run()
            process = Origin(recent=config.recent or 0)
            self.intake = Intake(
                defaults, bounds, self.consents, self.sink, now, began=now(), process=process
            )
            self.outbox = spool.outbox if spool.durable else None
            self._outbox_reader = (
                OutboxReader(self.outbox, self.intake, self.consents, now)
                if self.outbox and config.deliver
                else None
            )
            announce(destinations, config, registry)
        except BaseException:
            spool.close()
            raise

    def start(self, *, forked: bool = False) -> None:
        """Finish the erasures that an earlier process has left pending; begin to deliver."""
        try:
            self.consents.begin(forked=forked)
            self.erasure.finish()
            self.workers.start()
            if self._cooperation is not None:
                self._cooperation.start()
            if self._outbox_reader is not None:
                self._outbox_reader.start()
        except BaseException:
            self._leave()
            raise

    def post(
        self, connection: Any, event: Mapping[str, Any], new_id: Callable[[], str]
    ) -> PushResult:
        """Write an event into the transaction of an application; see `outbox.post`."""
        stamp = self.consents.next_stamp
        return post(self.outbox, connection, event, self.intake, stamp, new_id)

    def posted(self) -> tuple[int | None, float]:
        """Return the figures of the outbox, for a status; (None, 0.0): there is none.

        So it is while the spool cannot be asked, as its `trouble` tells.
        """
        spool = self.spool
        if not spool.durable or spool.trouble:
            return None, 0.0
        with suppress(SpoolError):
            return outbox_figures(spool, now_ms()) or (None, 0.0)
        return None, 0.0

    def replay(
        self, letters: Iterable[DeadLetter], without: Collection[str], *, without_messages: bool
    ) -> int:
        """Deliver dead letters again; see `Collector.replay`."""
        workers, found = self.workers, by_destination("replay", letters)
        parts = readable(lambda: parts_to_leave_out(without, found, workers.values()))
        return uninterrupted(
            lambda: workers.replay(found, parts, without_messages=without_messages)
        )

    def delete_dead(self, letters: Iterable[DeadLetter]) -> int:
        """Delete dead letters for good; return their count."""
        workers, found = self.workers, by_destination("bury", letters)
        return uninterrupted(lambda: workers.delete_dead(found))

    def stop(self, deadline: float, expired: Callable[[], bool]) -> bool:
        """Deliver until `deadline` (monotonic, s), then stop; return whether nothing is left."""
        try:
            if self._outbox_reader is not None:
                self._outbox_reader.stop()
            # Other processes deliver what waits, if there are any: nobody waits for that.
            handed_over = self._cooperation.leave() if self._cooperation else ()
            if self._delivers:
                self.workers.finish(deadline, expired, handed_over)
            self.erasure.wait(deadline)
            self.erasure.stop()
            if self._cooperation is not None:
                self._cooperation.stop()
            return self.workers.stop(expired, handed_over) == 0
        finally:
            self._leave()

    def _leave(self) -> None:
        try:
            if self._cooperation is not None:
                self._cooperation.close()
        finally:
            self.spool.close()
