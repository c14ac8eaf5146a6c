"""`walker serve`: start the sources of a flow, and deliver their events."""

import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs
import click

from walker_collector.cli.default_source import with_a_source
from walker_collector.cli.heap import relax_gc
from walker_collector.cli.inspection import Inspection, with_inspector
from walker_collector.cli.options import examples, flow_argument, flow_option
from walker_collector.cli.prefork import Alone, Worker, Workers
from walker_collector.cli.signals import StopSignal
from walker_collector.cli.streams import say
from walker_collector.collector import Collector
from walker_collector.config import FlowConfig
from walker_collector.flow import load_flow
from walker_collector.plugins import Registry
from walker_collector.serving import RunningSources, open_listeners, runs_in_every_worker

_MOST: Final = 256
"""Processes, at most."""
_SPARE: Final = 10.0
"""Seconds to stop that a worker has beside those in which it answers, and delivers."""

Listeners = Mapping[str, socket.socket]


@click.command(
    epilog=examples(
        "walker serve flow.json",
        "walker serve flow.json --host 0.0.0.0 --port 80",
        "walker serve flow.json --workers 2",
        "walker serve flow.json --inspect",
        "# elsewhere:",
        "curl localhost:8080/collect -H content-type:application/json \\",
        """  -d '{"name": "page view"}'""",
    ),
)
@flow_argument
@flow_option
@click.option("--host", metavar="HOST", help="Address to listen at, in place of the flow's.")
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    metavar="PORT",
    help="Port to listen at, in place of the flow's; 0 takes a free one.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, _MOST),
    default=1,
    metavar="N",
    help="Processes that take and deliver events, at the same addresses; needs a spool.",
)
@click.option("--inspect", is_flag=True, help="Serve a page that shows what happens, at /inspect.")
@click.option("--inspect-values", is_flag=True, help="The page may show the values of events.")
@click.option("--inspect-remote", is_flag=True, help="The page answers other machines, too.")
def serve(
    flow: Path,
    name: str | None,
    host: str | None,
    port: int | None,
    workers: int,
    inspect: bool,
    inspect_values: bool,
    inspect_remote: bool,
) -> None:
    """Start the sources of FLOW, and deliver their events to its destinations.

    A flow without sources gets one: http, at 127.0.0.1:8080/collect. What each source listens at is
    printed on stderr.

    With --workers, N processes share the sockets and the spool. One that ends is replaced, unless
    it ends five times within a minute. A source without a socket runs in one of them.

    With --inspect, a page at the source's address shows live events, queues, dead letters and
    people. Its URL, with the token that it needs, is printed on stderr. Values of events stay
    masked without --inspect-values, and other machines are refused without --inspect-remote.

    Ctrl-C and SIGTERM stop the sources, which answer all that is in flight; accepted events are
    delivered within collector.closeTimeout, and with a spool the rest by the next start. The same
    signal again ends at once.

    Exit status: 0 after a signal, or when every source has come to its end; 1 if a source fails, or
    workers end again and again.
    """
    registry = Registry().discover()
    loaded = load_flow(flow, flow=name, registry=registry, serve=True)
    given = {"host": host, "port": port}
    served = _with_address(
        with_a_source(loaded, registry),
        {key: item for key, item in given.items() if item is not None},
    )
    if inspect or inspect_values or inspect_remote:
        served = with_inspector(served)
    inspection = Inspection.of(served, show_values=inspect_values, remote=inspect_remote)
    if workers > 1:
        _check_shareable(served, workers)
    listeners = open_listeners(served.sources)
    try:
        with StopSignal() as stop:
            if workers == 1:
                status = _serve(served, registry, listeners, stop, Alone(), inspection)
            else:
                status = _serve_together(served, registry, listeners, stop, workers, inspection)
    finally:
        _close(listeners)
    sys.exit(status)


def _check_shareable(flow: FlowConfig, workers: int) -> None:
    """Raise UsageError for a flow that several processes cannot serve."""
    faults = []
    if flow.collector.spool is None:
        faults.append(
            f"--workers {workers} needs a spool that the processes share, as memory serves one; "
            'add "spool": {"path": "spool.db"} to "collector"'
        )
    if not any(runs_in_every_worker(entry) for entry in flow.sources.values()):
        faults.append(
            f"--workers {workers} is for sources that workers can share; there are only: "
            f"{', '.join(flow.sources)}"
        )
    if faults:
        raise click.UsageError("\n".join(faults))


def _serve_together(
    flow: FlowConfig,
    registry: Registry,
    listeners: Listeners,
    stop: StopSignal,
    count: int,
    inspection: Inspection | None,
) -> int:
    """Serve in a number of processes until a signal; return the exit status."""

    def work(worker: Worker) -> int:
        return _serve(_part_of(flow, worker), registry, listeners, stop, worker, inspection)

    patience = 2 * flow.collector.close_timeout / 1000 + _SPARE
    return Workers(count, work, stop, patience).run(lambda: _close(listeners))


def _part_of(flow: FlowConfig, worker: Worker) -> FlowConfig:
    """Return the flow as a worker serves it: one has the sources that only run once, one warns."""
    first, found = worker.number == 0, flow.sources.items()
    sources = {id: entry for id, entry in found if first or runs_in_every_worker(entry)}
    return attrs.evolve(flow, sources=sources, warnings=flow.warnings if worker.announces else ())


def _serve(
    flow: FlowConfig,
    registry: Registry,
    listeners: Listeners,
    stop: StopSignal,
    me: Alone | Worker,
    inspection: Inspection | None,
) -> int:
    """Serve in this process until a signal; return the exit status."""
    waiting = set(listeners)

    def ready(id: str, place: str) -> None:
        if me.announces:
            say(f"{id}: {place}", err=True)
            if inspection is not None and id == inspection.source:
                say(f"inspector: {inspection.address(place)}", err=True)
        waiting.discard(id)
        if not waiting:
            me.has_started()

    with stop.starting():
        collector = Collector(flow, registry)
    with collector:
        relax_gc()
        figures = me.figures(collector.status)
        sources = RunningSources(
            collector,
            flow.sources,
            registry,
            ready,
            listeners=listeners,
            figures=figures,
            inspector=inspection.page(collector, figures) if inspection else None,
        )
        while stop.signal is None and sources.running and me.wait(figures):
            pass
        me.stops(stop.signal)
        sources.stop()
    me.write(figures)
    for failure in sources.failures:
        say(f"Error: {failure}", err=True)
    return 1 if sources.failures else 0


def _close(listeners: Listeners) -> None:
    for listener in listeners.values():
        listener.close()


def _with_address(flow: FlowConfig, given: Mapping[str, Any]) -> FlowConfig:
    """Return the flow with another host or port for its one source that has them."""
    if not given:
        return flow
    listening = [
        id
        for id, entry in flow.sources.items()
        if all(hasattr(entry.config.settings, key) for key in given)
    ]
    if len(listening) != 1:
        names = ", ".join(listening) or "none"
        raise click.UsageError(
            f"--host and --port are for a flow with one source that listens; it has: {names}"
        )
    entry = flow.sources[listening[0]]
    settings = attrs.evolve(entry.config.settings, **given)
    changed = attrs.evolve(entry, config=attrs.evolve(entry.config, settings=settings))
    return attrs.evolve(flow, sources={**flow.sources, listening[0]: changed})
