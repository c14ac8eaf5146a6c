"""The public names of the testing kit; `walker_collector.testing` hands them on."""

from walker_collector.testing.backend import Backend
from walker_collector.testing.contract import DestinationContract
from walker_collector.testing.events import Events
from walker_collector.testing.harness import Harness, registry_of
from walker_collector.testing.recorder import Delivery, Recorder

__all__ = [
    "Backend",
    "Delivery",
    "DestinationContract",
    "Events",
    "Harness",
    "Recorder",
    "registry_of",
]
