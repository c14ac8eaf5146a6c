"""From a flow file to a ready flow: the collector's and every destination's configuration."""

from walker_collector.flow.load import load_flow

__all__ = ["load_flow"]
