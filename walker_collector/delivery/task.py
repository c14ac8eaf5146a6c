"""One entry of a batch on its way through a delivery."""

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct

from walker_collector.delivery.outcome import NOT_ATTEMPTED, Outcome
from walker_collector.hookspecs import Item
from walker_collector.spool import Entry


class BatchInProgress(Protocol):
    """A batch on its way, which knows whether its entry at an index may still be sent."""

    def may_proceed(self, at: int) -> bool: ...

    def may_all_proceed(self, places: Sequence[int]) -> bool: ...


class Task(Struct, eq=False, gc=False):  # one is made per event
    """The delivery of one entry: the item to send, and its outcome.

    `at` is its index in the batch. `notice`: the entry is a change of consent, for the hook
    `consent`, rather than an event.
    """

    entry: Entry
    person: str
    batch: BatchInProgress
    at: int
    item: Item | None = None
    notice: bool = False
    outcome: Outcome = NOT_ATTEMPTED
