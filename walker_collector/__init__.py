"""A Python event collector for servers: the public names, nothing else."""

from walker_collector.config import MISSING, Consent, Secret
from walker_collector.errors import (
    CollectorClosed,
    ConfigError,
    DestinationDown,
    EventError,
    PluginError,
    Rejected,
    RetryLater,
    SpoolError,
    SpoolFull,
    WalkerError,
)
from walker_collector.hookspecs import Context, Event, Item, Person, PushContext, Rule, hookimpl

__all__ = [
    "MISSING",
    "CollectorClosed",
    "ConfigError",
    "Consent",
    "Context",
    "DestinationDown",
    "Event",
    "EventError",
    "Item",
    "Person",
    "PluginError",
    "PushContext",
    "Rejected",
    "RetryLater",
    "Rule",
    "Secret",
    "SpoolError",
    "SpoolFull",
    "WalkerError",
    "hookimpl",
]
