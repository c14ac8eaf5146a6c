"""Public names of the testing kit, re-exported by `walker_collector.testing`."""

from walker_collector.testing.backend import Backend
from walker_collector.testing.contract import DestinationContract
from walker_collector.testing.harness import Harness, registry_of
from walker_collector.testing.recorder import Delivery, Recorder
from walker_collector.testing.sample_events import Events

__all__ = [
    "Backend",
    "Delivery",
    "DestinationContract",
    "Events",
    "Harness",
    "Recorder",
    "registry_of",
]
