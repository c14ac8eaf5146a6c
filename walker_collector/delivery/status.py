"""The public view of one destination: its answer to an event, and its figures."""

from typing import Final, Literal

from attrs import define, frozen

_FIGURES: Final = {
    "delivered": "delivered",
    "notified": "notified",
    "ignored": "ignored",
    "empty": "empty",
    "dropped": "dropped",
}
"""Kinds of outcomes, and the figures that count them."""

EventStatus = Literal[
    "accepted", "held", "ignored", "dropped", "delivered", "empty", "failed", "erased", "closed"
]
"""The status of an event at a destination: see `PushResult`."""

DestinationState = Literal["idle", "ready", "failing", "down"]
"""The state of a destination; idle: before its first delivery."""


@frozen
class Answer:
    """One destination's answer to one event: "delivered", "held", "ignored", "failed", ..."""

    status: EventStatus
    reason: str = ""


@frozen(kw_only=True)
class DestinationStatus:
    """The figures of one destination; counts since the start of the process, ages in s.

    `initialised`: the plugin's `init` has succeeded, before the first delivery of this process.
    `dead` counts the dead letters that are kept, `died` those that were added since the start.
    `replayed` counts dead letters that somebody had delivered again, `requeued` those that were
    queued again since the destination had refused everything, `dead_dropped` those deleted beyond
    `dlqMax`. `empty` counts events that gave the destination nothing to send, `erased` those that
    left undelivered with their person, `notified` changes of consent that were delivered to the
    destination; they are accepted, and wait, like events. For one process,
    accepted + replayed + requeued
    = delivered + notified + ignored + empty + died + dropped + erased + waiting + held.
    `unrecorded` counts events that have left the queue while the spool could not be written: the
    next process would deliver them again.
    """

    state: DestinationState
    reason: str = ""
    initialised: bool = False
    waiting: int = 0
    due: int = 0
    held: int = 0
    dead: int = 0
    in_flight: int = 0
    accepted: int = 0
    delivered: int = 0
    notified: int = 0
    ignored: int = 0
    empty: int = 0
    retried: int = 0
    died: int = 0
    replayed: int = 0
    requeued: int = 0
    dropped: int = 0
    erased: int = 0
    dead_dropped: int = 0
    batches: int = 0
    oldest_age: float = 0.0
    unrecorded: int = 0


@define
class Counts:
    """Counters of one destination since the start of the process."""

    accepted: int = 0
    delivered: int = 0
    notified: int = 0
    ignored: int = 0
    empty: int = 0
    retried: int = 0
    died: int = 0
    replayed: int = 0
    requeued: int = 0
    dropped: int = 0
    erased: int = 0
    dead_dropped: int = 0
    batches: int = 0

    def add(self, kind: str, otherwise: str = "") -> None:
        """Count the outcome of one event, if it has a figure; else under `otherwise`, if given."""
        if figure := _FIGURES.get(kind, otherwise):
            setattr(self, figure, getattr(self, figure) + 1)
