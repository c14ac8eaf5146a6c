"""The public names that applications use; `public` has those of plugins, too.

They are imported without the parts that work for a collector, which come when one is made.
"""

from walker_collector.collector import Collector
from walker_collector.config import Consent, Secret
from walker_collector.delivery.status import DestinationState, DestinationStatus, EventStatus
from walker_collector.errors import (
    CollectorClosed,
    ConfigError,
    EventError,
    PluginError,
    ReentrantCall,
    SpoolError,
    SpoolFull,
    WalkerError,
)
from walker_collector.events import EventParts, EventUser, NestedEntity
from walker_collector.results import PushResult, Status

__all__ = [
    "Collector",
    "CollectorClosed",
    "ConfigError",
    "Consent",
    "DestinationState",
    "DestinationStatus",
    "EventError",
    "EventParts",
    "EventStatus",
    "EventUser",
    "NestedEntity",
    "PluginError",
    "PushResult",
    "ReentrantCall",
    "Secret",
    "SpoolError",
    "SpoolFull",
    "Status",
    "WalkerError",
]
