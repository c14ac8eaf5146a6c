"""The delivery of one entry of a batch."""

from attrs import define

from walker_collector.delivery.outcome import NOT_ATTEMPTED, Outcome
from walker_collector.hookspecs import Item
from walker_collector.spool import Entry


@define(eq=False)
class Task:
    """The delivery of one entry. `notice`: it tells of a change of consent."""

    entry: Entry
    person: str
    item: Item | None = None
    notice: bool = False
    outcome: Outcome = NOT_ATTEMPTED
