"""From a flow file to a ready flow: the collector's and every destination's configuration."""

from walker_collector.flow.load import load_flow
from walker_collector.flow.lossy_edges import warn_of_lossy_edge
from walker_collector.flow.open_rules import warn_of_open_rules
from walker_collector.flow.unsupported import SOURCES_NOT_RUN

__all__ = ["SOURCES_NOT_RUN", "load_flow", "warn_of_lossy_edge", "warn_of_open_rules"]
