"""Public names of the testing kit, re-exported by `walker_collector.testing`."""

from typing import TYPE_CHECKING

from walker_collector.testing.backend import Backend
from walker_collector.testing.harness import Harness, registry_of
from walker_collector.testing.recorder import Delivery, Recorder
from walker_collector.testing.sample_events import Events

if TYPE_CHECKING:
    from walker_collector.testing.contract import DestinationContract
else:

    def __getattr__(name: str) -> type:
        """Import the contract on first use: the other names need no pytest."""
        if name != "DestinationContract":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        try:
            from walker_collector.testing.contract import DestinationContract
        except ModuleNotFoundError as error:
            if error.name != "pytest":
                raise
            advice = 'pip install pytest, or "walker-collector[testing]"'
            raise ImportError(f"DestinationContract needs pytest: {advice}") from None
        return DestinationContract


__all__ = [
    "Backend",
    "Delivery",
    "DestinationContract",
    "Events",
    "Harness",
    "Recorder",
    "registry_of",
]
