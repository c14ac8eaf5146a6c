"""The first decision on an event: it waits for a destination, is held for it, or is ignored."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from walker_collector.delivery.destination import Destination
from walker_collector.delivery.status import EventStatus
from walker_collector.events import CONSENT_AT
from walker_collector.people.consent import ConsentStore
from walker_collector.spool import State

_WAITING: Final = State.WAITING
_HELD: Final = State.HELD
_NOTHING: Final[Mapping[str, Any]] = {}
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

    def __init__(self, destinations: Sequence[Destination], consents: ConsentStore) -> None:
        self._consents = consents
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
        self._all_open = not any(gate.ignores or gate.requires_consent for gate in self._gates)
        self._any_requires = any(gate.requires_consent for gate in self._gates)
        self._waiting: Final[Mapping[str, State]] = dict.fromkeys(self.ids, _WAITING)
        self._accepted: Final = dict[str, EventStatus](dict.fromkeys(self.ids, "accepted"))
        self._last: tuple[Mapping[str, Any] | None, set[str]] = None, set()
        """The consent that decided last, and names of events that all destinations take then."""

    def decide(
        self, event: Mapping[str, Any], body: bytes, person: str
    ) -> tuple[Mapping[str, State], dict[str, EventStatus]]:
        """Return the first state of an event for each destination, and the first answers.

        Where the event waits for all destinations, the states are the same object each time.
        `event` has at least the parts that it is decided by: name, consent, and the mark of that.
        """
        if self._all_open:
            return self._waiting, self._accepted.copy()
        name, own, since = event["name"], event.get("consent"), event.get(CONSENT_AT)
        consent = self._consents.decide(own, person, since) if self._any_requires else _NOTHING
        # Mostly the same for many people, of whom nothing is known: the default.
        last, taken = self._last
        if consent is last and name in taken:
            return self._waiting, self._accepted.copy()
        states, statuses = self._decide(name, consent, body)
        if len(states) == len(self.ids) and _HELD not in states.values():
            if consent is not last or len(taken) >= _NAMES_MAX:
                self._last = consent, {name}
            else:
                taken.add(name)
            return self._waiting, statuses
        return states, statuses

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
