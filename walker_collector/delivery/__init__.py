"""Delivery: for each destination a lane that queues, batches, retries and stops."""

from walker_collector.delivery.dispatch import (
    CONSENT_CHANGED,
    Destination,
    admits,
    context_for,
    person_of,
)
from walker_collector.delivery.lane import Answer, DestinationStatus, Lane

__all__ = [
    "CONSENT_CHANGED",
    "Answer",
    "Destination",
    "DestinationStatus",
    "Lane",
    "admits",
    "context_for",
    "person_of",
]
