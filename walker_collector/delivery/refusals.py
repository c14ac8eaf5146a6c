"""Refusals in a row: a long run of them is the destination's fault, not the events'."""

from collections import Counter, OrderedDict
from typing import Final

from attrs import Factory, define

EVENTS: Final = 20
"""Different events, refused in a row without a success between, that make a run general."""
PEOPLE: Final = 10
"""Least number of people with events in a general run."""
_EXCUSED_MAX: Final = 10_000
"""Events that are remembered as having been queued again."""


@define
class RefusalRun:
    """The events that were refused, or broke the plugin, since the last success.

    A service that answers 400 to everything, or a plugin with a bug that every event meets, would
    otherwise turn all events into dead letters. The events of such a run are queued again, once:
    a refusal after the destination has recovered is final. An event that was refused while others
    arrived does not count again either: the fault is its own.
    """

    events: dict[int, str] = Factory(dict)
    dead: set[int] = Factory(set)
    _of: Counter[str] = Factory(Counter)
    """The number of the events of each person; at most `EVENTS`, since more of one say no more."""
    _excused: OrderedDict[int, None] = Factory(OrderedDict)

    @property
    def people(self) -> int:
        """The number of people these events belong to."""
        return len(self._of)

    @property
    def is_general(self) -> bool:
        """Whether the run is long enough to be the destination's fault."""
        return len(self.events) >= EVENTS and self.people >= PEOPLE

    @property
    def spared(self) -> int:
        """The number of dead letters to keep beyond the limit, as they may be queued again."""
        # One person's refusals never become a general run by themselves.
        return min(len(self.dead), EVENTS - 1) if self.people > 1 else 0

    def add(self, seq: int, person: str) -> None:
        """Note a refused event, unless there was a success since it was first refused."""
        if seq in self._excused or seq in self.events or self._of[person] >= EVENTS:
            return
        self.events[seq] = person
        self._of[person] += 1

    def end(self) -> None:
        """End the run, after a success."""
        if not self.events:
            return
        self._excused.update(dict.fromkeys(self.events))
        while len(self._excused) > _EXCUSED_MAX:
            self._excused.popitem(last=False)
        self.events.clear()
        self.dead.clear()
        self._of.clear()

    def died(self, seq: int) -> None:
        """Note that an event has become a dead letter, if it belongs to the run."""
        if seq in self.events:
            self.dead.add(seq)

    def take_dead(self) -> set[int]:
        """Return the dead letters to queue again, each of them once."""
        if not self.is_general:
            return set()
        dead, self.dead = self.dead, set()
        return dead
