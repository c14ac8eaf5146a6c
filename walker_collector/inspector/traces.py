"""Traces of events: their state at each destination, as spool, processes and flow show it.

Reads alone: nothing is changed, and collectors may be running.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Final, Protocol, cast

import attrs
from attrs import Factory, frozen

from walker_collector.config import DestinationConfig, FlowConfig
from walker_collector.events import MARKS, decode
from walker_collector.inspector.deliverers import Attendance, attendance
from walker_collector.inspector.missing_consent import MissingConsent, missing_consent
from walker_collector.moments import now_ms
from walker_collector.people.consent import ConsentStore
from walker_collector.spool import RECENT, Observer, State, StoredDelivery, StoredSpool
from walker_collector.spool.deliverer import NOBODY
from walker_collector.spool.person_keys import is_claimed, unclaimed
from walker_collector.spool.repeats import RecentEvent, RecentOutcome
from walker_collector.spool.stored_spool import StoredEvents

_DELIVERED: Final = RecentOutcome("delivered", 0)
_STATUSES: Final = {State.WAITING: "waiting", State.HELD: "held", State.DEAD: "dead"}


@frozen
class Delivery:
    """The state of an event at one destination, or its end there.

    status: "held", "waiting", "dead"; "delivered"; "ignored", "empty", "dropped", "deleted" (a dead
    letter that somebody has deleted), "erased"; "unknown": not stored for it, and not remembered.
    shard: that of its person. at: since when it is so (ms since 1970); 0: unknown. tried: the time
    of the last attempt of one that waits; 0: there was none. behind: the earlier event of the
    person that it waits for. under_way: a call with events of the person is under way.
    """

    destination: str
    status: str
    shard: int = 0
    at: int = 0
    tried: int = 0
    reason: str = ""
    attempts: int = 0
    due: int = 0
    missing: MissingConsent | None = None
    behind: str = ""
    under_way: bool = False
    parts: Mapping[str, str] = Factory(dict)

    def as_object(self) -> dict[str, Any]:
        """Return it for --json, without empty parts; times in ms since 1970."""
        made = {
            "destination": self.destination,
            "status": self.status,
            "at": self.at,
            "tried": self.tried,
            "reason": self.reason,
            "attempts": self.attempts,
            "due": self.due,
            "behind": self.behind,
            "underWay": self.under_way,
            "parts": dict(self.parts),
            "consent": self.missing.as_object() if self.missing else None,
        }
        return {key: value for key, value in made.items() if value}


@frozen
class EventTrace:
    """An event with its state at each destination.

    seq: its number. event: its name; "" if the spool has it no more. accepted: the time of
    acceptance (ms since 1970). data: all of it, if it is stored.
    """

    id: str
    seq: int
    event: str
    person: str
    accepted: int
    deliveries: Sequence[Delivery]
    data: Mapping[str, Any] | None = None

    def as_object(self, *, with_data: bool) -> dict[str, Any]:
        """Return it for --json; times in ms since 1970."""
        made: dict[str, Any] = {
            "id": self.id,
            "event": self.event or None,
            "person": self.person or None,
            "accepted": self.accepted,
            "deliveries": [item.as_object() for item in self.deliveries],
        }
        return {**made, "data": self.data} if with_data else made


class TracedStore(Protocol):
    """The part of a spool with the traces of events."""

    @property
    def observer(self) -> Observer: ...

    def counts(self) -> dict[str, dict[State, int]]: ...

    def recent_event(self, id_: str, now: int) -> RecentEvent | None: ...

    def stored_events(self) -> StoredEvents: ...


class Tracer:
    """Finds the traces of events in a spool; `flow` is None where only the spool is given.

    consents: those of the collector at work; None: they are read from the spool.
    """

    def __init__(
        self,
        store: TracedStore,
        place: str,
        flow: FlowConfig | None,
        consents: ConsentStore | None = None,
    ) -> None:
        self.now = now_ms()
        self.flow = flow
        self.consents = consents or _consents_of(cast(StoredSpool, store), flow)
        self._store = store
        self.place = place
        self._events = store.stored_events()
        self._observer = store.observer
        self._known_ahead: dict[str, tuple[Mapping[str, StoredDelivery], Collection[str]]] = {}
        self._attended: dict[tuple[str, int], Attendance] = {}

    @property
    def recent(self) -> int:
        """The time (ms) for which ids of events from sources are remembered."""
        asked = self.flow.collector.recent if self.flow else None
        return RECENT if asked is None else asked

    @cached_property
    def waiting(self) -> dict[str, int]:
        """The number of events that wait for each destination."""
        return {id_: n.get(State.WAITING, 0) for id_, n in self._store.counts().items()}

    def attendance(self, item: Delivery) -> Attendance:
        """Return the deliverer of an event to a destination, and its health."""
        key = item.destination, item.shard
        if key not in self._attended:
            found = self._observer.deliverers(item.destination).get(item.shard, NOBODY)
            self._attended[key] = attendance(found, item.destination, self.flow)
        return self._attended[key]

    def events(self, id_: str) -> list[EventTrace]:
        """Return the trace of an event; of several events, where an id was given again."""
        found = [item for item in self._events.with_text(id_) if _id_of(item) == id_]
        recent = self._store.recent_event(id_, self.now)
        traces = self.traces_of(found)
        if recent is not None and not any(trace.seq == recent.seq for trace in traces):
            traces.append(EventTrace(id_, recent.seq, "", "", recent.at, ()))
        return [
            self._with_ends(trace, recent if recent and recent.seq == trace.seq else None)
            for trace in traces
        ]

    def of_people(self, keys: Collection[str], limit: int) -> list[EventTrace]:
        """Return the traces of the latest stored events under these keys, latest first."""
        return self.traces_of(self._events.of_people(keys, limit))

    def counts(self, keys: Collection[str]) -> dict[str, dict[str, int]]:
        """Return the stored events under these keys: by destination, waiting, held and dead."""
        result: dict[str, dict[str, int]] = {}
        for (id_, state), count in self._events.counts(keys).items():
            result.setdefault(id_, dict.fromkeys(_STATUSES.values(), 0))[_STATUSES[state]] = count
        return result

    def traces_of(self, deliveries: Iterable[StoredDelivery]) -> list[EventTrace]:
        """Return the traces of events, given their deliveries."""
        by_seq: dict[int, list[StoredDelivery]] = {}
        for item in deliveries:
            by_seq.setdefault(item.entry[0], []).append(item)
        return [self._trace(found) for found in by_seq.values()]

    def _trace(self, found: Sequence[StoredDelivery]) -> EventTrace:
        seq, person, at, body = found[0].entry
        event = _event(body)
        retries, calls = self._ahead(person)
        return EventTrace(
            id=str(event.get("id", "")),
            seq=seq,
            event=str(event.get("name", "?")),
            person=person,
            accepted=at,
            deliveries=[self._delivery(item, event, retries, calls) for item in found],
            data={key: value for key, value in event.items() if key not in MARKS},
        )

    def _ahead(self, person: str) -> tuple[Mapping[str, StoredDelivery], Collection[str]]:
        """Return the obstacles in the way of a person's events.

        These are the first event that waits for a retry, by destination, and the destinations with
        a call under way.
        """
        owner = self.consents.canonical(person)
        if owner not in self._known_ahead:
            keys = self.consents.all_keys([owner]) if owner else set()
            first: dict[str, StoredDelivery] = {}
            for item in self._events.retries(keys) if keys else ():
                first.setdefault(item.destination, item)
            self._known_ahead[owner] = first, self._events.calls_with(keys)
        return self._known_ahead[owner]

    def _delivery(
        self,
        item: StoredDelivery,
        event: Mapping[str, Any],
        retries: Mapping[str, StoredDelivery],
        calls: Collection[str],
    ) -> Delivery:
        destination, seq, person = item.destination, item.entry[0], item.entry[1]
        first = retries.get(destination)
        waits = item.state is State.WAITING
        behind = waits and not item.due and first is not None and first.entry[0] < seq
        return Delivery(
            destination=destination,
            status=_STATUSES[item.state],
            shard=item.shard,
            # The spool keeps the time of the last change, which may be an attempt.
            at=item.entry[2] if waits else item.changed,
            tried=item.changed if waits and item.reason else 0,
            reason=item.reason,
            attempts=item.attempts,
            due=item.due if waits else 0,
            missing=self._missing(destination, event, person) if _is_held(item) else None,
            behind=_id_of(first) if behind and first else "",
            under_way=waits and destination in calls,
            parts=item.parts,
        )

    def _missing(self, destination: str, event: Mapping[str, Any], person: str) -> MissingConsent:
        return missing_consent(self.config_of(destination), event, person, self.consents)

    def config_of(self, destination: str) -> DestinationConfig | None:
        """Return the configuration of a destination; None: there is none, or it is disabled."""
        entry = self.flow.destinations.get(destination) if self.flow else None
        return entry.config if entry else None

    def _with_ends(self, trace: EventTrace, recent: RecentEvent | None) -> EventTrace:
        """Add the destinations that the event is not stored for any more, or never was."""
        stored = {item.destination for item in trace.deliveries}
        known = self.flow.destinations.keys() if self.flow else set[str]()
        if recent is None:
            added = [Delivery(id_, "unknown") for id_ in known if id_ not in stored]
        else:
            added = [*_ends(recent, stored)]
        deliveries = sorted([*trace.deliveries, *added], key=lambda item: item.destination)
        return attrs.evolve(trace, deliveries=deliveries)


def _consents_of(store: StoredSpool, flow: FlowConfig | None) -> ConsentStore:
    default = flow.collector.consent if flow else {}
    consents = ConsentStore(store, default, people_max=1_000, now=now_ms)
    consents.show_stored_default()
    return consents


def shown_person(key: str) -> str:
    """Return a person's key for people to read."""
    if not is_claimed(key):
        return key
    return f"{unclaimed(key)}, as a sender says that is not trusted"


def _ends(recent: RecentEvent, stored: Collection[str]) -> Iterable[Delivery]:
    """Yield the end of an event at each destination that it is not stored for."""
    for id_ in recent.destinations.union(recent.outcomes).difference(stored):
        outcome = recent.outcomes.get(id_, _DELIVERED)
        yield Delivery(id_, outcome.kind, at=outcome.at, reason=outcome.reason)


def _is_held(item: StoredDelivery) -> bool:
    return item.state is State.HELD


def _id_of(item: StoredDelivery) -> str:
    return str(_event(item.entry[3]).get("id", ""))


def _event(body: bytes) -> dict[str, Any]:
    try:
        event = decode(body)
    except ValueError:  # damaged: it becomes a dead letter when it is read to be delivered
        return {}
    return event if isinstance(event, dict) else {}
