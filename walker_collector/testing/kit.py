"""Public names of the testing kit, re-exported by `walker_collector.testing`."""

from importlib import import_module
from typing import TYPE_CHECKING

from walker_collector.testing.backend import Backend
from walker_collector.testing.harness import Harness, registry_of
from walker_collector.testing.recorder import Delivery, Recorder
from walker_collector.testing.sample_events import Events
from walker_collector.testing.sender import Sender
from walker_collector.testing.source_harness import SourceHarness

if TYPE_CHECKING:
    from walker_collector.testing.contract import DestinationContract
    from walker_collector.testing.contract.sources import SourceContract
else:
    _CONTRACTS = {
        "DestinationContract": "walker_collector.testing.contract",
        "SourceContract": "walker_collector.testing.contract.sources",
    }

    def __getattr__(name: str) -> type:
        """Import a contract on first use: the other names need no pytest."""
        if name not in _CONTRACTS:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        try:
            return getattr(import_module(_CONTRACTS[name]), name)
        except ModuleNotFoundError as error:
            if error.name != "pytest":
                raise
            advice = 'pip install pytest, or "walker-collector[testing]"'
            raise ImportError(f"{name} needs pytest: {advice}") from None


__all__ = [
    "Backend",
    "Delivery",
    "DestinationContract",
    "Events",
    "Harness",
    "Recorder",
    "Sender",
    "SourceContract",
    "SourceHarness",
    "registry_of",
]
