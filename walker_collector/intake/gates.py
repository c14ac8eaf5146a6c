"""The first decision on an event: it waits for a destination, is held for it, or is ignored."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from walker_collector.delivery.destination import Destination
from walker_collector.delivery.status import EventStatus
from walker_collector.spool import State

_WAITING: Final = State.WAITING
_HELD: Final = State.HELD
_NAMES_MAX: Final = 1_024
"""Names of events that are remembered."""


class _Gate(NamedTuple):
    """The parts of a destination that decide on new events.

    ignores: tells from the name of an event whether it is ignored in any case; None: none is.
    """

    id: str
    destination: Destination
    ignores: Callable[[str], bool] | None
    requires_consent: bool


class Gates:
    """Decides for each destination whether an event waits for it, is held or ignored."""

    def __init__(self, destinations: Sequence[Destination]) -> None:
        self._gates = [
            _Gate(
                item.id,
                item,
                item.ignoring.by_name if item.ignoring else None,
                item.requires_consent,
            )
            for item in destinations
        ]
        self.ids: Final = [gate.id for gate in self._gates]
        self.require_consent: Final = any(gate.requires_consent for gate in self._gates)
        """Whether consent decides on any event."""
        self.waiting: Final[Mapping[str, State]] = dict.fromkeys(self.ids, _WAITING)
        self.accepted: Final = dict[str, EventStatus](dict.fromkeys(self.ids, "accepted"))
        """The states and answers of an event that all destinations take."""
        self.taken: tuple[Mapping[str, Any] | None, set[str]] = None, set()
        """The consent noted last, and names of events that all destinations take then."""

    def decide(
        self, name: str, consent: Mapping[str, Any], body: bytes
    ) -> tuple[Mapping[str, State], dict[str, EventStatus]]:
        """Return the first state of an event for each destination, and the first answers.

        `consent` holds for the event, `body` is its JSON. Where the event waits for all
        destinations, the states are the same object each time.
        """
        states, statuses = self._decide(name, consent, body)
        if len(states) == len(self.ids) and _HELD not in states.values():
            return self.waiting, statuses
        return states, statuses

    def note_taken(self, name: str, consent: Mapping[str, Any]) -> None:
        """Note that all destinations take events of this name with this consent."""
        last, names = self.taken
        if consent != last or len(names) >= _NAMES_MAX:
            self.taken = consent, {name}
        else:
            names.add(name)

    def _decide(
        self, name: str, consent: Mapping[str, Any], body: bytes
    ) -> tuple[dict[str, State], dict[str, EventStatus]]:
        states: dict[str, State] = {}
        statuses: dict[str, EventStatus] = {}
        for id_, destination, ignores, requires_consent in self._gates:
            if ignores is not None and ignores(name):
                statuses[id_] = "ignored"
                continue
            if requires_consent and not destination.admits(consent):
                statuses[id_] = status = destination.status_when_denied(name, body)
                if status == "held":
                    states[id_] = _HELD
                continue
            statuses[id_] = "accepted"
            states[id_] = _WAITING
        return states, statuses
