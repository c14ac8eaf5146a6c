"""What is told of one destination: its answer to an event, and its figures."""

from typing import Final

from attrs import define, frozen

_COUNTED: Final = ("delivered", "ignored", "empty", "dropped")
"""The kinds of outcomes that are figures as well."""


@frozen
class Answer:
    """What one destination said of one event: "delivered", "held", "ignored", "failed", ..."""

    status: str
    reason: str = ""


@frozen(kw_only=True)
class DestinationStatus:
    """The figures of one destination; counts since the process began, ages in s.

    `dead` are the dead letters that are kept, `died` those that came since the process began,
    `replayed` those that were told to wait again, `requeued` those that did so by themselves, since
    the destination refused everything; `dead_dropped` those beyond `dlqMax`, which are gone.
    `empty` are the events that asked nothing of the destination. Of a process's own events,
    accepted + replayed + requeued = delivered + ignored + empty + died + dropped + waiting + held.
    `unrecorded` are the events that are done with, delivered or not, but not in the spool's record,
    which could not be written yet: the next process would deliver them again.
    """

    state: str
    reason: str = ""
    waiting: int = 0
    due: int = 0
    held: int = 0
    dead: int = 0
    in_flight: int = 0
    accepted: int = 0
    delivered: int = 0
    ignored: int = 0
    empty: int = 0
    retried: int = 0
    died: int = 0
    replayed: int = 0
    requeued: int = 0
    dropped: int = 0
    dead_dropped: int = 0
    batches: int = 0
    oldest_age: float = 0.0
    unrecorded: int = 0


@define
class Counts:
    """What has happened since the process began."""

    accepted: int = 0
    delivered: int = 0
    ignored: int = 0
    empty: int = 0
    retried: int = 0
    died: int = 0
    replayed: int = 0
    requeued: int = 0
    dropped: int = 0
    dead_dropped: int = 0
    batches: int = 0

    def add(self, kind: str) -> None:
        """Count the outcome of one event, where it is one of these figures."""
        if kind in _COUNTED:
            setattr(self, kind, getattr(self, kind) + 1)
