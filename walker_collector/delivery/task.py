"""One entry of a batch on its way through a delivery."""

from collections.abc import Callable

from msgspec import Struct

from walker_collector.delivery.outcome import NOT_ATTEMPTED, Outcome
from walker_collector.hookspecs import Item
from walker_collector.spool import Entry


class Task(Struct, eq=False, gc=False):  # one is made per event
    """The delivery of one entry: the item to send, and its outcome.

    `may_proceed` says whether the entry may still be sent. `notice`: the entry is a change of
    consent, for the hook `consent`, rather than an event.
    """

    entry: Entry
    person: str
    may_proceed: Callable[[], bool]
    item: Item | None = None
    notice: bool = False
    outcome: Outcome = NOT_ATTEMPTED
