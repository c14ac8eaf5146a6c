"""Delivery: one worker per destination, with a queue, batches, retries and a breaker."""

from walker_collector.delivery.destination import (
    Destination,
    announce,
    build_destinations,
)
from walker_collector.delivery.hook_calls import person_of
from walker_collector.delivery.preparation import CONSENT_CHANGED, context_for
from walker_collector.delivery.status import (
    Answer,
    DestinationState,
    DestinationStatus,
    EventStatus,
)
from walker_collector.delivery.worker import DestinationWorker

__all__ = [
    "CONSENT_CHANGED",
    "Answer",
    "Destination",
    "DestinationState",
    "DestinationStatus",
    "DestinationWorker",
    "EventStatus",
    "announce",
    "build_destinations",
    "context_for",
    "person_of",
]
