"""From a flow file to a ready flow: the collector's and every destination's configuration."""

from walker_collector.flow.load import load_flow
from walker_collector.flow.open_rules import warn_of_open_rules

__all__ = ["load_flow", "warn_of_open_rules"]
