"""`walker serve`: start the sources of a flow, and deliver their events."""

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs
import click

from walker_collector.cli.options import examples, flow_argument, flow_option
from walker_collector.cli.signals import StopSignal
from walker_collector.cli.streams import say
from walker_collector.collector import Collector
from walker_collector.config import FlowConfig, SourceConfig, SourceEntry
from walker_collector.flow import load_flow, warn_of_open_rules
from walker_collector.plugins import Registry
from walker_collector.serving import RunningSources

_INTERVAL: Final = 0.05
"""Seconds between two looks for a signal."""
_DEFAULT: Final = "http"


@click.command(
    epilog=examples(
        "walker serve flow.json",
        "walker serve flow.json --host 0.0.0.0 --port 80",
        """curl --json '{"name": "page view"}' localhost:8080/collect   # another terminal""",
    )
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
def serve(flow: Path, name: str | None, host: str | None, port: int | None) -> None:
    """Start the sources of FLOW, and deliver their events to its destinations.

    A flow without sources gets one: http, at 127.0.0.1:8080/collect. What each source listens at is
    printed on stderr.

    Ctrl-C and SIGTERM stop the sources, which answer all that is in flight; accepted events are
    delivered within collector.closeTimeout, and with a spool the rest by the next start. The same
    signal again ends at once.

    Exit status: 0 after a signal, or when every source has come to its end; 1 if a source fails.
    """
    registry = Registry().discover()
    loaded = load_flow(flow, flow=name, registry=registry, serve=True)
    given = {"host": host, "port": port}
    served = _with_address(
        _with_a_source(loaded, registry),
        {key: item for key, item in given.items() if item is not None},
    )
    with StopSignal() as stop, Collector(served, registry) as collector:
        sources = RunningSources(
            collector, served.sources, registry, lambda id, place: say(f"{id}: {place}", err=True)
        )
        while stop.signal is None and sources.running:
            time.sleep(_INTERVAL)
        if stop.signal:
            say(f"{stop.signal.name}: stopping; the same signal again ends at once.", err=True)
        sources.stop()
    for failure in sources.failures:
        say(f"Error: {failure}", err=True)
    sys.exit(1 if sources.failures else 0)


def _with_a_source(flow: FlowConfig, registry: Registry) -> FlowConfig:
    """Return the flow with a source `http` if it has none."""
    if flow.sources:
        return flow
    plugin: Any = registry.find_source(_DEFAULT)
    entry = SourceEntry(
        package=_DEFAULT, plugin=plugin, config=SourceConfig(settings=plugin.settings())
    )
    sources = {_DEFAULT: entry}
    warnings = (*flow.warnings, *warn_of_open_rules(sources, flow.destinations))
    return attrs.evolve(flow, sources=sources, warnings=warnings)


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
