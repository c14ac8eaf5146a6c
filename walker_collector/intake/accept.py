"""The way of an event from the door to the spool: complete, encode, identify, gate, store."""

import itertools
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from walker_collector.config import CollectorConfig
from walker_collector.delivery.workers import DestinationWorkers
from walker_collector.errors import SpoolFull, WalkerError
from walker_collector.events import Bounds, Defaults, complete, encode, hint_at_part
from walker_collector.intake.reading import blamed
from walker_collector.intake.room import Room
from walker_collector.people.consent import ConsentStore
from walker_collector.results import PushResult, Waiter
from walker_collector.spool import NewEvent, Spool, State

_UNKNOWN_SHOWN: Final = 20
"""Keys that no event has, and that are told one by one."""

_STATES: Final = {"accepted": State.WAITING, "held": State.HELD}
"""The first states of an event in the spool; with other answers it is not stored."""

logger = logging.getLogger("walker_collector")


class Intake:
    """Accepts events: the only path from an application, a file or a source to the spool.

    `defaults` complete events; they live as long as the collector, this as long as its spool.
    """

    def __init__(
        self,
        config: CollectorConfig,
        defaults: Defaults,
        spool: Spool,
        consents: ConsentStore,
        workers: DestinationWorkers,
        room: Room,
        now: Callable[[], int],
    ) -> None:
        self.accepted = 0
        self._defaults = defaults
        self._bounds = Bounds(config.max_depth, config.max_bytes)
        self._spool = spool
        self._consents = consents
        self._workers = workers
        self._room = room
        self._now = now
        self._began = now()
        defaults.trace = os.urandom(16).hex()
        defaults.count = itertools.count(1).__next__

    def accept(self, raw: Mapping[str, Any], *, wait: bool) -> tuple[PushResult, Waiter | None]:
        """Accept one event; `wait` asks for a waiter, which gathers the destinations' answers."""
        version = self._consents.version
        record, result = self._prepare(raw)
        if not record.states:
            self.accepted += 1
            return result, None
        waiter = Waiter(len(record.states)) if wait else None
        self._store([record], version, waiter)
        return result, waiter

    def group(self) -> "Group":
        """Return a group of events that are to be stored with one commit."""
        return Group(self)

    def _prepare(self, raw: Mapping[str, Any]) -> tuple[NewEvent, PushResult]:
        """Return an event ready to be stored, and the first answer of each destination."""
        now = self._now()
        try:
            event, body = self._complete(raw, now)
        except Exception as error:
            raise blamed(error, lambda: self._complete(raw, now)) from None
        person, news = self._consents.identify(event["user"])
        if news:
            self._workers.release({person} if news == "said" else set())
        states, statuses = self._gate(event, body, person)
        if len(states) < len(statuses):
            self._count_unstored(event, statuses)
        return NewEvent(person, now, body, states), PushResult(event["id"], statuses)

    def _complete(self, raw: Mapping[str, Any], now: int) -> tuple[dict[str, Any], bytes]:
        event = complete(raw, now, (now - self._began) // 10 / 100, self._defaults)
        return event, encode(event, self._bounds)

    def _gate(
        self, event: Mapping[str, Any], body: bytes, person: str
    ) -> tuple[dict[str, State], dict[str, str]]:
        """Decide for each destination whether the event waits for it, is held or ignored.

        Returns the first states, and the first answers.
        """
        name, own = event["name"], event.get("consent") or {}
        states: dict[str, State] = {}
        statuses: dict[str, str] = {}
        consent: Mapping[str, Any] | None = None
        for worker, destination in self._workers.active:
            status = "accepted"
            if destination.ignoring is not None and destination.ignoring.by_name(name):
                status = "ignored"
            elif destination.requires_consent:
                if consent is None:
                    consent = self._consents.decide(own, person)
                if not destination.admits(consent):
                    status = destination.status_when_denied(name, body)
            statuses[worker.id] = status
            if status in _STATES:
                states[worker.id] = _STATES[status]
        return states, statuses

    def _count_unstored(self, event: Mapping[str, Any], statuses: Mapping[str, str]) -> None:
        """Count the event at the destinations that it is not stored for."""
        for id_, status in statuses.items():
            if status == "ignored":
                self._workers[id_].count_ignored(event["id"], event["name"])
            elif status == "dropped":
                self._workers[id_].count_dropped()

    def _store(self, records: Sequence[NewEvent], version: int, waiter: Waiter | None) -> None:
        """Store events that were gated by that version of the consents."""
        enqueue = partial(self._workers.enqueue, waiter=waiter) if waiter else self._workers.enqueue
        self._room.make(records)
        try:
            self._spool.append(records, enqueue)
        except SpoolFull:
            self._room.wait_for(lambda: self._spool.append(records, enqueue))
        self._workers.maintain()
        self.accepted += len(records)
        if version != self._consents.version:
            self._catch_up(records)

    def _catch_up(self, records: Iterable[NewEvent]) -> None:
        """Release events held by a decision that a grant has overtaken."""
        people = {item.person for item in records if State.HELD in item.states.values()}
        if people:
            self._workers.release(people)


class Group:
    """Events that are stored together; one that is refused does not stop the others."""

    def __init__(self, intake: Intake) -> None:
        self.results: list[PushResult | WalkerError] = []
        self._intake = intake
        self._records: dict[int, NewEvent] = {}
        self._version = intake._consents.version

    def __len__(self) -> int:
        return len(self._records)

    def add(self, raw: Mapping[str, Any]) -> None:
        """Add an event; raises EventError for one that cannot be accepted."""
        record, result = self._intake._prepare(raw)
        if record.states:
            self._records[len(self.results)] = record
        else:
            self._intake.accepted += 1
        self.results.append(result)

    def store(self) -> None:
        """Store the events added since the last time; an error becomes the result of each."""
        if self._records:
            try:
                self._intake._store(list(self._records.values()), self._version, None)
            except WalkerError as error:
                for at in self._records:
                    self.results[at] = error
            self._records.clear()
        self._version = self._intake._consents.version


class UnknownKeys:
    """Warns of keys that are no part of an event, each once: one may be misspelt."""

    def __init__(self) -> None:
        self._seen: set[Any] = set()

    def __call__(self, key: Any) -> None:
        if key in self._seen or len(self._seen) >= _UNKNOWN_SHOWN:
            return
        self._seen.add(key)
        shown = str(key)[:80]
        logger.warning("%r is no part of an event and is left out%s", shown, hint_at_part(shown))
