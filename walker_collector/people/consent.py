"""Consent: the statements of people, and the decision for an event.

walkerOS keeps one consent state, right for a browser tab. A server has many visitors: here
consent belongs to a person, and the default holds for people without statements.
"""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal, TypeVar

import attrs
from attrs import frozen

from walker_collector.config import Consent
from walker_collector.errors import EventError
from walker_collector.events import CONSENT_KEYS
from walker_collector.interrupts import run_to_the_end
from walker_collector.people.default import CurrentDefault
from walker_collector.people.gate import granted
from walker_collector.people.identity import Identified, IdentityGraph, identifiers
from walker_collector.people.records import ConsentRecords
from walker_collector.spool import (
    ConsentRecord,
    DefaultConsent,
    Erased,
    PeopleNews,
    PeopleUpdate,
    Spool,
    StalePeople,
    later_of,
)

T = TypeVar("T")


@frozen
class Grant:
    """One key of a decision, with its source: the event, the person, or the default."""

    key: str
    granted: bool
    source: str


@frozen
class ConsentSnapshot:
    """The consent of people at one version of the store.

    `bases` has the keys granted for each person's events, `names` the key that each person is
    known by.
    """

    version: int
    bases: dict[str, Consent]
    names: Mapping[str, str]


@frozen
class _Learned:
    """A step of learning: the keys of each joining person, and the update to store.

    `decides`: whether any of the people has stated anything. If nobody has, no decision changes.
    """

    found: Identified
    keys: Mapping[str, set[str]]
    update: PeopleUpdate
    decides: bool


News = Literal["joined", "stated"] | None
"""The news in an event's identifiers: people were merged; "stated": and they have statements."""


class ConsentStore:
    """The statements of people about consent, and the keys that lead to them; thread-safe.

    `version` changes with every statement, which shows whether a decision is overtaken. The most
    recent `people_max` people are in memory; with a durable spool the others are read back from
    it, without one they are forgotten.

    A worker asks while it holds its own lock, and a thread that writes to the spool may wait for a
    worker. So the lock of the memory is never held during a write, and statements have a lock of
    their own. A change becomes visible after it is stored, so that nobody acts on one that fails.
    """

    def __init__(
        self, spool: Spool, default: Consent, people_max: int, now: Callable[[], int]
    ) -> None:
        self._spool = spool
        self._recording = threading.RLock()
        self._identities = IdentityGraph(spool, people_max)
        self._records = ConsentRecords(spool, people_max, now, self._identities.lock)
        self.canonical = self._identities.canonical
        self.known_person = self._identities.known_person
        self.follow = self._identities.follow
        self._erasing: set[str] = set()
        """The keys of people under erasure."""
        self._store = spool if spool.durable else None
        self._default = CurrentDefault(self._store, default)
        self._known = spool.people_since(0).version if spool.durable else 0
        """The version of the spool's knowledge of people that memory has."""
        self._changes_seen = spool.people_changes if spool.durable else 0
        self.on_news: Callable[[set[str] | None], None] = lambda people: None
        """Called with the people that another process has changed; "" among them: the default;
        None: everybody, and some may have been erased.
        """
        self.on_moved: Callable[[], None] = lambda: None
        """Called when another process has erased or replayed events, which are to be read anew."""
        self.version = 0
        self.erasures = spool.erasures
        """The number of erasures that are over. The spool refuses an event if another one has begun
        since its person was found."""

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

    # --- other processes -------------------------------------------------------------------

    @property
    def is_stale(self) -> bool:
        """Whether another process, or this one, has changed something since `refresh`."""
        return self._store is not None and self._store.people_changes != self._changes_seen

    @property
    def known_version(self) -> int:
        """The version of the knowledge of people in memory."""
        return self._known

    def refresh(self, *, surely: bool = False) -> None:
        """Learn the changes of other processes, if there are any, or `surely`.

        Call it without the lock of a worker.
        """
        if self._store is None or not (surely or self.is_stale):
            return
        with self._recording:
            # First: what changes now is seen the next time.
            seen, erasures = self._store.people_changes, self._store.erasures
            news = self._store.people_since(self._known)
            people = self._show_changes(news)
            self._known, self._changes_seen = news.version, seen
            self.erasures = erasures
            if people is None or people or news.erased:
                self.version += 1
        if people is None or people:
            self.on_news(people)
        if news.moved:
            self.on_moved()

    def _show_changes(self, news: PeopleNews) -> set[str] | None:
        graph = self._identities
        if news.changes is None:
            graph.reread(None)
            self._records.reread(None)
            self._default.reread()
            return None
        people: set[str] = set()
        with graph.lock:
            if news.erased:
                graph.reread_marked(news.erased)
                self._records.reread_marked(news.erased)
            for key, owner in news.changes:
                if not key:
                    self._default.reread()
                elif owner is None:
                    graph.reread([key])
                else:
                    graph.join(graph.cached_keys(key), key, owner)
                    people.add(owner)
                people.add(key)
            self._records.reread(people)
        return people

    def _based(self, update: PeopleUpdate) -> PeopleUpdate:
        """Return an update that the spool refuses if another process was faster."""
        return attrs.evolve(update, based_on=self._known) if self._store else update

    def _note_shown(self, update: PeopleUpdate) -> None:
        """Note that memory has an update of this process, with its version in the spool.

        Last of all: until then, `refresh` shows it like one of another process.
        """
        if update.based_on is not None:
            self._known = update.based_on + update.changes

    def _until_current(self, work: Callable[[], T]) -> T:
        """Do something, and again each time that another process was faster."""
        while True:
            try:
                return work()
            except StalePeople:
                self.refresh(surely=True)

    # --- people ----------------------------------------------------------------------------

    def identify(self, user: Mapping[str, Any]) -> tuple[str, News]:
        """Learn from the identifiers that an event or call names together.

        Returns the person's key, and the news: after a merge, events held under a weaker
        identifier are this person's.
        """
        keys = identifiers(user)
        if not keys:
            return "", None
        if len(keys) == 1:
            return self._identities.current(keys[0]), None
        found = self._identities.resolve(keys)
        if not found.is_news:
            return found.person, None
        return self._until_current(lambda: self._identify(keys))

    def _identify(self, keys: Sequence[str]) -> tuple[str, News]:
        with self._recording:
            found = self._identities.resolve(keys)
            if not found.is_news or not self._erasing.isdisjoint((found.person, *found.joining)):
                return found.person, None
            return found.person, self._learn(found)

    def _learn(self, found: Identified) -> News:
        """Merge people without an id into this one, with their statements, and note sign-ins."""
        graph, person = self._identities, found.person
        keys = {root: graph.all_keys(root) for root in found.joining}
        statements, decides = self._merge(found)
        update = PeopleUpdate(
            based_on=self._known if self._store else None,
            aliases=dict.fromkeys((key for theirs in keys.values() for key in theirs), person),
            signed_in={
                key: None if graph.canonical(key) == person else person for key in found.signed_in
            },
            consents=statements,
        )
        self._apply(_Learned(found, keys, update, decides))
        if statements:
            return "stated"
        return "joined" if found.joining else None

    def _apply(self, learned: _Learned) -> None:
        """Store the update, then make it visible.

        If a signal handler interrupts the first, the spool may have the update all the same, or
        write it with the next transaction: then `refresh` shows it.
        """
        with self._identities.unchanged(learned.update.aliases):
            self._records.store(learned.update)
            try:
                self._show(learned)
            except BaseException:
                run_to_the_end(lambda: self._show(learned))
                raise

    def _show(self, learned: _Learned) -> None:
        graph, found = self._identities, learned.found
        with graph.lock:
            for root, theirs in learned.keys.items():
                graph.join(theirs, root, found.person)
            for key in found.signed_in:
                graph.sign_in(key, found.person)
            for key, record in learned.update.consents.items():
                self._records.put(key, record)
            if learned.decides:
                self.version += 1
            self._note_shown(learned.update)

    def _merge(self, found: Identified) -> tuple[dict[str, ConsentRecord], bool]:
        """Return the statements to store after a merge, and whether any of the people has one."""
        joining = {root: self._records.get(root) for root in found.joining}
        before = self._records.get(found.person) if joining else {}
        if not any(joining.values()):
            return {}, bool(before)
        merged = before
        for theirs in joining.values():
            merged = later_of(merged, theirs)
        emptied: dict[str, ConsentRecord] = {root: {} for root, theirs in joining.items() if theirs}
        return {found.person: _most_binding(merged), **emptied}, True

    def keys_of(self, user: Mapping[str, Any]) -> set[str]:
        """Return all keys that events of a user may be filed under."""
        keys = identifiers(user)
        if not keys:
            return set()
        self.refresh()
        found = self._identities.resolve(keys)
        return self.all_keys((found.person, *found.joining))

    def all_keys(self, people: Iterable[str]) -> set[str]:
        """Return all keys that events of these people may be filed under."""
        return set().union(*map(self._identities.all_keys, people))

    @contextmanager
    def erasing(self, people: Iterable[str]) -> Iterator[set[str]]:
        """Learn no further keys of these people inside the block; yield the keys that they have.

        So an erasure ends, however many events name the people with new keys: these links count as
        erased. One erasure at a time.
        """
        with self._recording:
            self._erasing = keys = self.all_keys(people)
        try:
            yield keys
        finally:
            self._erasing = set()

    def erase(self, keys: set[str]) -> Erased:
        """Erase these keys here and in the spool."""
        with self._recording:
            try:
                removed = self._spool.erase(keys)
                if removed.versions[0] == self._known:  # else `refresh` reads everything anew
                    self._known = removed.versions[1]
                with self._identities.lock:
                    self._records.drop(keys)
                    self._identities.erase(keys)
            finally:
                if self._store is None:  # else `refresh` counts those of all processes
                    self.erasures = self._spool.erasures
        return removed

    def after_erasure(self) -> int:
        """Wait for the keys that are being erased to be gone; return the number of erasures."""
        with self._recording:
            self.refresh(surely=True)
            return self.erasures

    # --- statements ------------------------------------------------------------------------

    def record_consent(
        self,
        update: Consent,
        user: Mapping[str, Any],
        keep: Callable[[PeopleUpdate, str, Consent], object] | None = None,
    ) -> tuple[str, dict[str, bool]]:
        """Record the statement of a person; return their key and all their statements.

        `keep` stores it, given the person and these statements; if it raises, nothing changes.
        Raises ValueError if `user` has no identifier, EventError for a person with more than
        `CONSENT_KEYS` keys.
        """
        return self._until_current(lambda: self._record(update, user, keep))

    def _record(
        self,
        update: Consent,
        user: Mapping[str, Any],
        keep: Callable[[PeopleUpdate, str, Consent], object] | None,
    ) -> tuple[str, dict[str, bool]]:
        with self._recording:
            person, _ = self.identify(user)
            if not person:
                raise ValueError("user needs an id, a device or a session")
            at = self._records.next_stamp()
            new = {key: (bool(value), at) for key, value in update.items()}
            record = _extended(self._records.get(person), new, "the person")
            state = _state(record)
            change = self._based(PeopleUpdate(consents={person: record}))
            if keep is None:
                self._records.store(change)
            else:
                keep(change, person, state)
            self._records.put(person, record)
            self.version += 1
            self._note_shown(change)
        return person, state

    def state(self, person: str) -> dict[str, bool]:
        """Return all statements of a person, as they are now."""
        if self._records.is_empty or not person:
            return {}
        return _state(self._records.get(person))

    # --- decisions -------------------------------------------------------------------------

    def decide(self, own: Mapping[str, Any] | None, person: str) -> Mapping[str, Any]:
        """Return the consent that holds for an event: its own, else the person's, else default."""
        base = self._default.consent if self._records.is_empty else self.base(person)
        return {**base, **own} if own else base

    def base(self, person: str) -> Mapping[str, Any]:
        """Return the consent that holds for a person's events without consent of their own."""
        if self._records.is_empty:
            return self._default.consent
        return {**self._default.consent, **self.state(self.canonical(person))}

    def snapshot(self, people: Iterable[str]) -> ConsentSnapshot:
        """Return the consent granted for each of these people's events (see `base`)."""
        version = self.version  # read first: a statement made since then outdates the snapshot
        names = {person: self.canonical(person) for person in people}
        if self._records.is_empty:
            return ConsentSnapshot(
                version, dict.fromkeys(names, granted(self._default.consent)), names
            )
        return ConsentSnapshot(
            version, {person: granted(self.base(person)) for person in names}, names
        )

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
    # What is known can be withdrawn in any case.
    if len(after) > max(CONSENT_KEYS, len(before)):
        raise EventError(
            f"consent: {whose} would have {len(after):,} keys with this; "
            f"the limit is {CONSENT_KEYS}"
        )
    return after


def _keep_default(keep: Callable[[PeopleUpdate, Consent], object], change: PeopleUpdate) -> None:
    assert change.default is not None
    keep(change, change.default.current)


def _most_binding(record: ConsentRecord) -> ConsentRecord:
    """Return at most `CONSENT_KEYS` statements: denials first, then the latest."""
    if len(record) <= CONSENT_KEYS:
        return record
    ordered = sorted(record.items(), key=lambda item: (item[1][0], -item[1][1]))
    return dict(ordered[:CONSENT_KEYS])


def _state(record: ConsentRecord) -> dict[str, bool]:
    """Return the consent that statements amount to."""
    return {key: value for key, (value, _) in record.items()}


def source(key: str, own: Mapping[str, Any], stated: Mapping[str, Any]) -> str:
    """Return which of the three decided a consent key: "event", "person" or "default"."""
    if key in own:
        return "event"
    return "person" if key in stated else "default"
