"""Run of a flow by a command: open its collector, wait for deliveries, close, report."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from signal import Signals
from typing import Self

import attrs

from walker_collector.cli.drain import drain
from walker_collector.cli.log_output import without_repeats_of
from walker_collector.cli.options import verbose
from walker_collector.cli.signals import StopSignal
from walker_collector.cli.spool_access import reading
from walker_collector.cli.streams import say, say_json
from walker_collector.cli.summary import Death, Summary, print_reasons, print_summary, summarise
from walker_collector.collector import Collector
from walker_collector.config import FlowConfig, SpoolConfig
from walker_collector.delivery.status import DestinationStatus
from walker_collector.flow import load_flow
from walker_collector.inspector.deliverers import unattended
from walker_collector.moments import now_ms
from walker_collector.plugins import Registry
from walker_collector.results import Status
from walker_collector.text import counted

_QUEUE_WAIT = 500
"""Milliseconds that a push waits for room. Commands push again, after a look at signals."""


class FlowRun:
    """Run of a flow. Its collector delivers the events in the spool from the start.

    Raises PluginError or SpoolError if the flow cannot be run.
    """

    def __init__(self, flow: FlowConfig, registry: Registry, stop: StopSignal) -> None:
        self._flow = _with_short_pushes(flow)
        self._stop = stop
        self._began = now_ms()
        with stop.starting():
            self.collector = Collector(self._flow, registry)
            self._say_who_is_missing()

    @classmethod
    def of_file(
        cls,
        flow: Path,
        name: str | None,
        stop: StopSignal,
        prepare: Callable[[FlowConfig], FlowConfig] = lambda flow: flow,
    ) -> Self:
        """Run the flow of a file, which `prepare` changes; raises ConfigError, too."""
        registry = Registry().discover()
        loaded = load_flow(flow, flow=name, registry=registry, events_given=True)
        return cls(prepare(loaded), registry, stop)

    def _say_who_is_missing(self) -> None:
        """Say at once where this process only accepts, and nobody delivers."""
        if ids := self._unattended():
            say(
                f"nobody delivers to {', '.join(sorted(ids))} now, and this process only accepts "
                f'("deliver": false): start {self._deliverer}',
                err=True,
            )

    @property
    def _kept_in(self) -> SpoolConfig | None:
        """The spool with the events left after the run; None: they are lost."""
        return self._flow.collector.spool

    @property
    def _delivers(self) -> bool:
        return self._flow.collector.deliver

    @property
    def _deliverer(self) -> str:
        return f"`walker deliver {self._flow.source}`"

    def _unattended(self) -> set[str]:
        """Return the destinations that no process delivers to, where this one only accepts."""
        collector = self._flow.collector
        if collector.deliver or collector.spool is None:
            return set()
        entries = self._flow.destinations.items()
        ids = [id_ for id_, entry in entries if not entry.config.disabled]
        with reading(collector.spool) as store:
            return unattended(store.observer, ids)

    def status(self) -> Status:
        """Return the figures of the collector."""
        return self.collector.status()

    def statuses(self) -> Mapping[str, DestinationStatus]:
        """Return the status of each destination."""
        return self.collector.status().destinations

    def finish(self, summary: Summary, timeout: float | None) -> Summary:
        """Wait for deliveries as `drain` does, close, and return the completed summary.

        After a signal, wait for `collector.closeTimeout` at most.
        """
        drained = drain(self.collector, self._stop, timeout, self.statuses, self._unattended)
        if self._stop.signal:
            self._say_delivering(self._stop.signal)
        dead = self._show_deaths()
        self._close()
        statuses = self.statuses().items()
        # Another process may have tried the events of this run, and made them dead letters.
        figures = {
            id_: attrs.evolve(item, dead=max(item.dead, dead[id_]))
            for id_, item in ((id_, summarise(status)) for id_, status in statuses)
        }
        if drained:  # what other processes have accepted since then is not of this run
            figures = {id_: attrs.evolve(item, waiting=0) for id_, item in figures.items()}
        elif self._kept_in is None:
            figures = {id_: item.as_lost() for id_, item in figures.items()}
        return attrs.evolve(
            summary,
            signal=self._stop.signal.name if self._stop.signal else None,
            destinations=figures,
        )

    def _close(self) -> None:
        """Close the collector; after a signal, deliver the waiting events first."""
        self.collector.status()  # counts what waits in the spool, which a closed one cannot
        if self._stop.signal:
            self.collector.close()
        else:  # nothing more is delivered: their reasons were told
            with without_repeats_of("is a dead letter"):
                self.collector.close(0)

    def _say_delivering(self, received: Signals) -> None:
        say_delivering(received, self._flow)

    def _show_deaths(self) -> Counter[str]:
        """Show why events died in this run; return by destination how many of its own did."""
        # Called before the close: a closed collector cannot list dead letters.
        died = [item for item in self.collector.dead() if item.died_at >= self._began]
        self._show_reasons(Death(item.destination, item.reason) for item in died)
        stored = self._flow.collector.spool is not None
        own = self.collector.dead(own=True) if stored else ()
        return Counter(item.destination for item in own if item.died_at >= self._began)

    def _show_reasons(self, deaths: Iterable[Death]) -> None:
        say_deaths(deaths, kept=self._kept_in is not None)

    def report(self, summary: Summary, as_json: bool, *, reading: bool = True) -> None:
        """Print the figures, and the next step for events left in the spool.

        `reading` says whether the run read events.
        """
        if as_json:
            say_json(summary.as_json(reading))
        else:
            print_summary(summary)
        spool = self._kept_in
        if spool is None:
            return
        figures = summary.destinations.values()
        if any(item.waiting for item in figures):
            way = "the next `walker run` of this flow" if self._delivers else self._deliverer
            say(
                f"{spool.place} keeps the waiting events; {way} delivers them, or any process that "
                "delivers from it. `walker spool status` shows them.",
                err=True,
                level="warning",
            )
        if again := sum(item.unrecorded for item in figures):
            say(
                f"{spool.place} could not record {counted(again, 'finished event')}, for lack of "
                "room; the next `walker run` of this flow will repeat them. Make room on the disk.",
                err=True,
                level="warning",
            )


def say_delivering(received: Signals, flow: FlowConfig) -> None:
    """Print that a run ends, as a signal says so."""
    say(
        f"{received.name}: delivering the accepted events, for at most "
        f"{flow.collector.close_timeout / 1000:g} s (collector.closeTimeout); "
        "the same signal again ends at once.",
        err=True,
    )


def say_deaths(deaths: Iterable[Death], *, kept: bool) -> None:
    """Print why events died in a run; `kept`: a spool has them after it."""
    command = "walker dead list" if kept else "walker -v run"
    print_reasons(deaths, f"`{command}` shows all", everything=verbose())


def _with_short_pushes(flow: FlowConfig) -> FlowConfig:
    """Return the flow with a short `queueWait`, so that a push does not delay a signal."""
    return attrs.evolve(flow, collector=attrs.evolve(flow.collector, queue_wait=_QUEUE_WAIT))
