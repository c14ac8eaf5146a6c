"""Consent: the statements of people, and the decision for an event.

walkerOS keeps one consent state, right for a browser tab. A server has many visitors: here
consent belongs to a person, and the default holds for people without statements.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple, TypeVar

from attrs import frozen

from walker_collector.config import Consent
from walker_collector.errors import EventError
from walker_collector.events import CONSENT_KEYS
from walker_collector.people.basis import Basis, latest_of, learn, state_of
from walker_collector.people.gate import granted
from walker_collector.people.merges import KnownPeople
from walker_collector.spool import (
    LEARNED,
    ConsentRecord,
    DefaultConsent,
    PeopleUpdate,
    later_of,
)
from walker_collector.spool.person_keys import OF_IDS, claimed, is_claimed, unclaimed

T = TypeVar("T")
Keep = Callable[[PeopleUpdate, str, Consent], object]
"""Stores an update, given the person who has stated something, and all their statements."""


class Stated(NamedTuple):
    """The moment of a statement that comes late: its stamp, and the number of erasures then.

    None: erasures since then do not matter.
    """

    at: int
    as_of: int | None


@frozen
class Grant:
    """One key of a decision, with its source: the event, the person, or the default."""

    key: str
    granted: bool
    source: str


@frozen
class ConsentSnapshot:
    """The consent of people at one version of the store.

    `bases` has the consent of each person, `names` the key that each person is known by.
    """

    version: int
    bases: Mapping[str, Basis]
    names: Mapping[str, str]


class ConsentStore(KnownPeople):
    """The statements of people about consent, and the decision for each event; thread-safe."""

    def next_stamp(self) -> int:
        """Return the stamp of something that is stated now: above all before it."""
        return self._records.next_stamp()

    @property
    def default(self) -> dict[str, bool]:
        """The consent that holds if neither event nor person states anything."""
        return dict(self._default.consent)

    def begin(self, *, forked: bool) -> None:
        """Take the default of the spool over, or store the flow's if the flow has changed.

        A forked child has the flow of its parent, which may be an older one: it follows.
        """
        if self._store is not None:
            self._until_current(lambda: self._begin(forked))

    def show_stored_default(self) -> None:
        """Let the default of the spool count, if it has one: for mere readers."""
        self._default.reread()

    def _begin(self, forked: bool) -> None:
        with self._recording:
            default = None if forked else self._default.from_flow()
            if default is None:
                self._default.reread()
            else:
                self._store_default(default, self._records.store)

    def set_default(
        self, update: Consent, keep: Callable[[PeopleUpdate, Consent], object] | None = None
    ) -> None:
        """Change the default, for all processes of a durable spool.

        `keep` stores it, before anybody else sees it; if it raises, nothing changes. Raises
        EventError for more than `CONSENT_KEYS` keys.
        """
        self._until_current(lambda: self._set_default(update, keep))

    def _set_default(
        self, update: Consent, keep: Callable[[PeopleUpdate, Consent], object] | None
    ) -> None:
        with self._recording:
            default = self._default.changed_to(
                _extended(self._default.consent, update, "the default")
            )
            store = self._records.store if keep is None else partial(_keep_default, keep)
            self._store_default(default, store)

    def _store_default(
        self, default: DefaultConsent, store: Callable[[PeopleUpdate], object]
    ) -> None:
        change = self._based(PeopleUpdate(default=default))
        store(change)
        self._default.show(default)
        self.version += 1
        self._note_shown(change)

    # --- statements ------------------------------------------------------------------------

    def record_consent(
        self,
        update: Consent,
        user: Mapping[str, Any],
        keep: Keep | None = None,
        *,
        claim: bool = False,
        stated: Stated | None = None,
    ) -> tuple[str, dict[str, bool]]:
        """Record the statement of a person; return their key and all their statements.

        `stated`: when, if not now; later statements stay. Raises Overtaken after an erasure since.

        `keep` stores it, given the person and these statements; if it raises, nothing changes.
        `claim`: an untrusted caller says so. Then grants count for the events of such callers
        only, and withdrawals for all. Raises ValueError if `user` has no identifier, EventError for
        a person with more than `CONSENT_KEYS` keys.
        """
        return self._until_current(lambda: self._record(update, user, keep, claim, stated))

    def _record(
        self,
        update: Consent,
        user: Mapping[str, Any],
        keep: Keep | None,
        claim: bool,
        stated: Stated | None,
    ) -> tuple[str, dict[str, bool]]:
        with self._recording:
            as_of = stated.as_of if stated else None
            person, _ = self.identify(user, claim=claim, as_of=as_of)
            if not person:
                raise ValueError("user needs an id, a device or a session")
            self.check_not_overtaken(as_of)
            now = self._records.next_stamp()
            at = min(stated.at, now) if stated else now
            new = {key: (bool(value), at) for key, value in update.items()}
            records = self._with_withdrawals(new, user, person) if claim else {}
            for key in (person, *self._merged_claim(person)):
                before = self._records.get(key)
                records[key] = _extended(before, _not_overtaken(new, before), "the person")
            return person, self._state_records(records, person, keep)

    def _merged_claim(self, person: str) -> Iterable[str]:
        """Yield the person that a person's claims were merged into, if they are another's.

        That one has a record of its own; else those of the person count for the claims as well.
        """
        mine = self.claimed_person(person)
        if mine not in (person, claimed(person)):
            yield mine

    def _with_withdrawals(
        self, new: ConsentRecord, user: Mapping[str, Any], person: str
    ) -> dict[str, ConsentRecord]:
        """Return the records of the people behind a claim, with the withdrawals among `new`."""
        records: dict[str, ConsentRecord] = {}
        for key in self.people_behind(user, person):
            stated = self.dated(key)
            denied = {
                name: (given, at)
                for name, (given, at) in new.items()
                if not given and (True, 0) <= stated.get(name, (True, 0)) <= (True, at)
            }
            if denied:
                records[key] = _extended(self._records.get(key), denied, "the person")
        return records

    def _state_records(
        self, records: Mapping[str, ConsentRecord], person: str, keep: Keep | None
    ) -> dict[str, bool]:
        """Store records, and show them; return all statements of a person after that."""
        record = records[person]
        if is_claimed(person):
            known = self.canonical(unclaimed(person))
            record = later_of(record, records.get(known) or self._records.get(known))
        state = state_of(record)
        change = self._based(PeopleUpdate(consents=records))
        if keep is None:
            self._records.store(change)
        else:
            keep(change, person, state)
        for key, item in records.items():
            self._records.put(key, item)
        self.version += 1
        self._note_shown(change)
        return state

    def learn_consent(
        self,
        consent: Consent,
        user: Mapping[str, Any],
        at: int,
        keep: Keep,
        *,
        claim: bool = False,
    ) -> bool:
        """Learn the consent of an event, everything its person grants at stamp `at`.

        Returns whether anything has changed. Older events than the last one change nothing.
        """
        return self._until_current(lambda: self._learn_consent(consent, user, at, keep, claim))

    def _learn_consent(
        self, consent: Consent, user: Mapping[str, Any], at: int, keep: Keep, claim: bool
    ) -> bool:
        with self._recording:
            person, _ = self.identify(user, claim=claim)
            before = self._records.get(person)
            new = {key: (bool(given), at) for key, given in consent.items()}
            records = self._with_withdrawals(new, user, person) if claim else {}
            learned = learn(before, consent, at)
            if learned is not None:
                for other in self._merged_claim(person):
                    records[other] = learn(self._records.get(other), consent, at) or {}
            if learned is None and not records:
                return False
            records[person] = before if learned is None else learned
            self._state_records({k: v for k, v in records.items() if v}, person, keep)
            return True

    def dated(self, person: str) -> ConsentRecord:
        """Return the statement that counts of each key, with its stamp."""
        return latest_of(self.statements_of(person))

    def state(self, person: str) -> dict[str, bool]:
        """Return all statements of a person, as they are now."""
        if self._records.is_empty or not person:
            return {}
        return state_of(self.statements_of(person))

    # --- decisions -------------------------------------------------------------------------

    def decide(
        self, own: Mapping[str, Any] | None, person: str, since: int | None = None
    ) -> Mapping[str, Any]:
        """Return the consent that holds for an event: its own, else the person's, else default.

        `since`: see `Basis.of_event`.
        """
        if since is not None:
            return {**self.basis(person).before(since), **(own or {})}
        base = self._default.consent if self._records.is_empty else self.base(person)
        return {**base, **own} if own else base

    def base(self, person: str) -> Mapping[str, Any]:
        """Return the consent that holds for a person's events without consent of their own."""
        if self._records.is_empty:
            return self._default.consent
        return {**self._default.consent, **self.state(self.canonical(person))}

    def basis(self, person: str) -> Basis:
        """Return the consent that holds for a person's events."""
        if self._records.is_empty or not person:
            return Basis(granted(self._default.consent))
        statements = self.dated(self.canonical(person))
        return Basis(granted({**self._default.consent, **state_of(statements)}), statements)

    def snapshot(self, people: Iterable[str]) -> ConsentSnapshot:
        """Return the consent of each of these people."""
        version = self.version  # read first: a statement made since then outdates the snapshot
        look = self.canonical
        names = {key: key if key and key[0] == OF_IDS else look(key) for key in people}
        if self._records.is_empty:
            return ConsentSnapshot(version, dict.fromkeys(names, self.basis("")), names)
        return ConsentSnapshot(version, {person: self.basis(person) for person in names}, names)

    def explain(self, own: Mapping[str, Any], person: str) -> list[Grant]:
        """Return each key of the decision with its source."""
        stated = self.state(self.canonical(person))
        return [
            Grant(key, bool(value), source(key, own, stated))
            for key, value in self.decide(own, person).items()
        ]


def _extended(before: Mapping[str, T], update: Mapping[str, T], whose: str) -> dict[str, T]:
    """Return consent with an update; raises EventError for more than `CONSENT_KEYS` keys."""
    after = {**before, **update}
    # What is known can be withdrawn in any case; what was learned is bounded by its event.
    count = sum(not key.startswith(LEARNED) for key in after)
    if count > max(CONSENT_KEYS, len(before)):
        raise EventError(
            f"consent: {whose} would have {count:,} keys with this; the limit is {CONSENT_KEYS}"
        )
    return after


def _not_overtaken(new: ConsentRecord, before: ConsentRecord) -> ConsentRecord:
    """Return those of new statements that count: of two with one stamp, the denial."""
    merged = later_of(before, new)
    return {key: item for key, item in new.items() if merged[key] == item}


def _keep_default(keep: Callable[[PeopleUpdate, Consent], object], change: PeopleUpdate) -> None:
    assert change.default is not None
    keep(change, change.default.current)


def source(key: str, own: Mapping[str, Any], stated: Mapping[str, Any]) -> str:
    """Return which of the three decided a consent key: "event", "person" or "default"."""
    if key in own:
        return "event"
    return "person" if key in stated else "default"
