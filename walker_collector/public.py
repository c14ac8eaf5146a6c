"""The public names, nothing else; `walker_collector` hands them on."""

from walker_collector.collector import Collector
from walker_collector.config import (
    MISSING,
    AlternativesSpec,
    Consent,
    DestinationConfig,
    PathSpec,
    Secret,
)
from walker_collector.delivery import DestinationStatus
from walker_collector.errors import (
    CollectorClosed,
    ConfigError,
    DestinationDown,
    EventError,
    Ignored,
    NotAttempted,
    NothingToSend,
    NotTrusted,
    PartDown,
    PluginError,
    ReentrantCall,
    Rejected,
    RetryLater,
    SpoolError,
    SpoolFull,
    WalkerError,
)
from walker_collector.events import EventParts
from walker_collector.hookspecs import (
    Context,
    Event,
    Item,
    Person,
    Progress,
    PushContext,
    Received,
    Rule,
    SimulatedCalls,
    SourceContext,
    hookimpl,
)
from walker_collector.mapping import Value, each_rule, may_make_object
from walker_collector.plugins import Registry
from walker_collector.results import PushResult, Status
from walker_collector.spool import DeadLetter

__all__ = [
    "MISSING",
    "AlternativesSpec",
    "Collector",
    "CollectorClosed",
    "ConfigError",
    "Consent",
    "Context",
    "DeadLetter",
    "DestinationConfig",
    "DestinationDown",
    "DestinationStatus",
    "Event",
    "EventError",
    "EventParts",
    "Ignored",
    "Item",
    "NotAttempted",
    "NotTrusted",
    "NothingToSend",
    "PartDown",
    "PathSpec",
    "Person",
    "PluginError",
    "Progress",
    "PushContext",
    "PushResult",
    "Received",
    "ReentrantCall",
    "Registry",
    "Rejected",
    "RetryLater",
    "Rule",
    "Secret",
    "SimulatedCalls",
    "SourceContext",
    "SpoolError",
    "SpoolFull",
    "Status",
    "Value",
    "WalkerError",
    "each_rule",
    "hookimpl",
    "may_make_object",
]
