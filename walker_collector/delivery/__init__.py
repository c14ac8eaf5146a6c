"""Delivery: for each destination a lane that queues, batches, retries and stops."""

from walker_collector.delivery.dispatch import (
    CONSENT_CHANGED,
    Destination,
    context_for,
    person_of,
)
from walker_collector.delivery.lane import Lane
from walker_collector.delivery.status import Answer, DestinationStatus

__all__ = [
    "CONSENT_CHANGED",
    "Answer",
    "Destination",
    "DestinationStatus",
    "Lane",
    "context_for",
    "person_of",
]
