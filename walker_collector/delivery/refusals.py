"""Refusals in a row: from when on they say something about the destination, not about events."""

from collections import OrderedDict
from typing import Final

from attrs import Factory, define

EVENTS: Final = 20
"""So many different events refused in a row, with no success between, ..."""
PEOPLE: Final = 10
"""... of at least so many people, are the destination's trouble."""
_EXCUSED_MAX: Final = 10_000


@define
class RefusalRun:
    """The events that were refused, or broke the plugin, since the last success.

    A service that answers 400 to everything, or a plugin with a bug that every event meets, would
    otherwise turn all events into dead letters. Events of such a run go back to waiting, once:
    what is refused again after a recovery is final. Nor does an event count again that was refused
    while others arrived: it is the event that is in trouble.
    """

    events: dict[int, str] = Factory(dict)
    dead: set[int] = Factory(set)
    _excused: OrderedDict[int, None] = Factory(OrderedDict)

    @property
    def people(self) -> int:
        """How many people they belong to."""
        return len(set(self.events.values()))

    @property
    def is_general(self) -> bool:
        """Whether the run is long enough to be the destination's trouble."""
        return len(self.events) >= EVENTS and self.people >= PEOPLE

    @property
    def spared(self) -> int:
        """How many dead letters may have to come back yet, and so must be kept."""
        return len(self.dead) if self.people > 1 else 0

    def add(self, seq: int, person: str) -> None:
        """Note a refused event, unless somebody's success has come since it first was."""
        if seq not in self._excused:
            self.events[seq] = person

    def end(self) -> None:
        """Note a success."""
        if not self.events:
            return
        self._excused.update(dict.fromkeys(self.events))
        while len(self._excused) > _EXCUSED_MAX:
            self._excused.popitem(last=False)
        self.events.clear()
        self.dead.clear()

    def died(self, seq: int) -> None:
        """Note that an event has become a dead letter; those of the run may have to come back."""
        if seq in self.events:
            self.dead.add(seq)

    def take_dead(self) -> set[int]:
        """Return the dead letters that are to wait again, once."""
        if not self.is_general:
            return set()
        dead, self.dead = self.dead, set()
        return dead
