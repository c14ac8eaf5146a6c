"""A collector at work for one command: opened, waited for, closed, and what it came to."""

from collections.abc import Callable
from pathlib import Path

import attrs
import click

from walker_collector.cli.clock import now_ms
from walker_collector.cli.drain import drain
from walker_collector.cli.options import verbose
from walker_collector.cli.output import counted, print_json
from walker_collector.cli.signals import StopSignal
from walker_collector.cli.summary import Summary, figures, print_reasons, print_summary
from walker_collector.collector import Collector
from walker_collector.config import FlowConfig
from walker_collector.flowfile import load_flow
from walker_collector.plugins import Registry

_ROOM_WAIT = 500
"""ms that a push waits for room before signals are looked at again; the command itself goes on."""


class FlowRun:
    """Opens a flow's collector; what waits in its spool is delivered from then on.

    Raises ConfigError, PluginError or SpoolError where it cannot be opened.
    """

    def __init__(self, flow: Path, name: str | None, stop: StopSignal) -> None:
        registry = Registry().discover()
        self._flow = responsive(load_flow(flow, flow=name, registry=registry))
        self._stop = stop
        self._began = now_ms()
        self.collector = Collector(self._flow, registry)

    def finish(
        self,
        summary: Summary,
        timeout: float | None,
        waiting: Callable[[int], None] = lambda count: None,
    ) -> Summary:
        """Wait for what is not delivered yet, close, and complete the summary.

        After a signal, waits no longer than `collector.closeTimeout`.
        """
        drain(self.collector, self._stop, timeout, waiting)
        if self._stop.signal:
            click.echo(
                f"{self._stop.signal.name}: delivering what was accepted, for at most "
                f"{self._flow.collector.close_timeout / 1000:g} s (collector.closeTimeout); "
                "the same signal again ends at once.",
                err=True,
            )
        self._explain_deaths()
        self.collector.close(None if self._stop.signal else 0)
        return self._complete(summary)

    def _explain_deaths(self) -> None:
        died = [item for item in self.collector.dead() if item.died_at >= self._began]
        stored = self._flow.collector.spool is not None
        command = "walker dead list" if stored else "walker -v run"
        print_reasons(died, f"`{command}` shows all", everything=verbose())

    def _complete(self, summary: Summary) -> Summary:
        return attrs.evolve(
            summary,
            signal=self._stop.signal.name if self._stop.signal else None,
            destinations={
                id_: figures(status) for id_, status in self.collector.status().destinations.items()
            },
        )

    def report(self, summary: Summary, as_json: bool, *, reading: bool = True) -> None:
        """Print the figures, and what to do about what is left; `reading`: events were read."""
        if as_json:
            print_json(summary.as_json(reading))
        else:
            print_summary(summary)
        spool = self._flow.collector.spool
        left = sum(item.waiting for item in summary.destinations.values())
        if left and spool:
            click.echo(
                f"{spool.path} keeps what waits; the next `walker run` of this flow delivers it. "
                "`walker spool status` shows it.",
                err=True,
            )
        again = sum(item.unrecorded for item in summary.destinations.values())
        if again and spool:
            click.echo(
                f"{spool.path} could not be told of {counted(again, 'event')} that are done with; "
                "the next `walker run` of this flow delivers them again. Make room on the disk.",
                err=True,
            )


def responsive(flow: FlowConfig) -> FlowConfig:
    """Return the flow with pushes that wait for room only so long that a signal is noticed."""
    return attrs.evolve(flow, collector=attrs.evolve(flow.collector, queue_wait=_ROOM_WAIT))
