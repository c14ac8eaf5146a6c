"""The source that `walker serve` starts where a flow has none."""

from typing import Any, Final

import attrs

from walker_collector.config import FlowConfig, SourceConfig, SourceEntry
from walker_collector.flow import warn_of_lossy_edge, warn_of_open_rules
from walker_collector.plugins import Registry

_DEFAULT: Final = "http"


def with_a_source(flow: FlowConfig, registry: Registry) -> FlowConfig:
    """Return the flow with a source `http` if it has none, and with the warnings about it."""
    if flow.sources:
        return flow
    plugin: Any = registry.find_source(_DEFAULT)
    entry = SourceEntry(
        package=_DEFAULT, plugin=plugin, config=SourceConfig(settings=plugin.settings())
    )
    sources = {_DEFAULT: entry}
    warnings = (
        *flow.warnings,
        *warn_of_open_rules(sources, flow.destinations),
        *warn_of_lossy_edge(sources, flow.destinations, flow.collector),
    )
    return attrs.evolve(flow, sources=sources, warnings=warnings)
