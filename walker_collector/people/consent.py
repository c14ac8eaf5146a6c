"""Consent: the decision for an event, and the consents of statements.

walkerOS keeps one consent state, right for a browser tab. A server has many visitors: here
consent belongs to a person, and the process default is what holds where nobody said anything.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from attrs import frozen

from walker_collector.config import Consent
from walker_collector.errors import SpoolError
from walker_collector.people.gate import granted
from walker_collector.people.identity import Identified, IdentityGraph, Joins, identifiers
from walker_collector.spool import ConsentRecord, Erased, PeopleStore, PeopleUpdate, Spool, later_of


@frozen
class Grant:
    """Where one key of a decision comes from: the event, the person, or the default."""

    key: str
    granted: bool
    source: str


@frozen
class ConsentSnapshot:
    """What is granted for people's events that say nothing themselves, as of a version of the
    consents; and as whom each of their keys is known.
    """

    version: int
    bases: dict[str, Consent]
    names: Mapping[str, str]


@frozen
class _Learned:
    """What identifiers have taught: the keys of each person who joins, and what is stored."""

    found: Identified
    keys: Mapping[str, set[str]]
    update: PeopleUpdate


News = Literal["joined", "said"] | None
"""What was learned: people turned out to be one, and "said": with statements of several."""


class ConsentStore:
    """The statements of people about consent, and the keys that lead to them; thread-safe.

    `version` changes with every statement, so that a decision can be told to be overtaken.
    Holds the most recent `people_max` people in memory; with a durable spool the others are
    read back from it, without one they are forgotten.

    Workers ask it while they are locked, and whoever writes to the spool may have to wait for a
    worker: so what is in memory has a lock that is never held while the spool is written, and
    statements have one of their own. What is written is shown afterwards, so that nobody acts on
    what then fails.
    """

    def __init__(
        self, spool: Spool, default: Consent, people_max: int, now: Callable[[], int]
    ) -> None:
        self._spool = spool
        self._people: PeopleStore | None = spool if spool.durable else None
        self._default: dict[str, bool] = dict(default)
        self._now = now
        self._max = people_max
        self._recording = threading.RLock()
        self._identities = IdentityGraph(spool, people_max)
        self._lock = self._identities.lock
        self.canonical = self._identities.canonical
        self._told: OrderedDict[str, ConsentRecord] = OrderedDict()
        self._unfinished: _Learned | None = None
        self._is_empty = not (self._people and self._people.has_consent())
        self._last_stamp = self._people.last_stamp() if self._people else 0
        self.version = 0

    @property
    def is_empty(self) -> bool:
        """Whether nobody said anything yet, so that the default holds for everybody."""
        return self._is_empty

    @property
    def default(self) -> dict[str, bool]:
        """The consent that holds where neither event nor person said anything."""
        return dict(self._default)

    def set_default(self, update: Consent, keep: Callable[[Consent], object] | None = None) -> None:
        """Change the process default. `keep` is called with it before anybody else sees it, and
        where that raises nothing has changed.
        """
        with self._recording:
            default = {**self._default, **update}
            if keep is not None:
                keep(default)
            self._default = default
            self.version += 1

    # --- people ----------------------------------------------------------------------------

    def follow(self) -> Joins:
        """Return a queue that gets every join of two people when it becomes visible."""
        return self._identities.follow()

    def identify(self, user: Mapping[str, Any]) -> tuple[str, News]:
        """Learn from the identifiers that an event or call names together.

        Return the person's key, and whether people turned out to be one: then events held under a
        weaker identifier are this person's.
        """
        known = self._identities.recognise(user)
        if known is not None:
            return known, None
        keys = identifiers(user)
        if not keys:
            return "", None
        if len(keys) == 1:
            return self._identities.current(keys[0]), None
        found = self._identities.resolve(keys)
        if not found.is_news:
            return found.person, None
        with self._recording:
            self._finish()
            found = self._identities.resolve(keys)
            return found.person, self._learn(found) if found.is_news else None

    def _learn(self, found: Identified) -> News:
        """Join people without an id to this one, their statements too, and note sign-ins."""
        graph, person = self._identities, found.person
        keys = {root: graph.all_keys(root) for root in found.joining}
        told, said = self._merge(found)
        update = PeopleUpdate(
            aliases=dict.fromkeys((key for theirs in keys.values() for key in theirs), person),
            signed_in={
                key: None if graph.canonical(key) == person else person for key in found.signed_in
            },
            consents=told,
        )
        self._apply(_Learned(found, keys, update))
        # Where none of them said anything, no decision is another one now.
        self.version += said
        if told:
            return "said"
        return "joined" if found.joining else None

    def _apply(self, learned: _Learned) -> None:
        """Store and show what was learned. Broken off by a signal handler, it is done again later:
        the spool may have it, or write it with the next transaction.
        """
        self._unfinished = learned
        try:
            with self._identities.unchanged(learned.update.aliases):
                self._write(learned.update)
                self._show(learned)
        except SpoolError:  # nothing was written
            self._unfinished = None
            raise
        self._unfinished = None

    def _show(self, learned: _Learned) -> None:
        graph, found = self._identities, learned.found
        with self._lock:
            for root, theirs in learned.keys.items():
                graph.join(theirs, root, found.person)
            for key in found.signed_in:
                graph.sign_in(key, found.person)
            for key, told in learned.update.consents.items():
                self._cache(key, told)

    def _finish(self) -> None:
        """Do what a signal handler has broken off."""
        if self._unfinished is not None:
            self._apply(self._unfinished)
            self.version += 1

    def _merge(self, found: Identified) -> tuple[dict[str, ConsentRecord], bool]:
        """Return the statements to store after a join, and whether any of the people has one."""
        said = {root: self._consent_of(root) for root in found.joining}
        before = self._consent_of(found.person) if said else {}
        if not any(said.values()):
            return {}, bool(before)
        merged = before
        for theirs in said.values():
            merged = later_of(merged, theirs)
        emptied: dict[str, ConsentRecord] = {root: {} for root, theirs in said.items() if theirs}
        return {found.person: merged, **emptied}, True

    def keys_of(self, user: Mapping[str, Any]) -> set[str]:
        """Return all keys that events of a user may be filed under."""
        keys = identifiers(user)
        if not keys:
            return set()
        found = self._identities.resolve(keys)
        return self.all_keys((found.person, *found.joining))

    def all_keys(self, people: Iterable[str]) -> set[str]:
        """Return all keys that events of these people may be filed under."""
        return set().union(*map(self._identities.all_keys, people))

    def erase(self, people: set[str]) -> Erased | None:
        """Erase these keys here and in the spool. None, with nothing done, where other keys have
        turned out to be the same people's.
        """
        with self._recording:
            self._finish()
            if not self.all_keys(people) <= people:
                return None
            removed = self._spool.erase(people)
            with self._lock:
                for key in people:
                    self._told.pop(key, None)
                self._identities.forget(people)
        return removed

    # --- statements ------------------------------------------------------------------------

    def record_consent(
        self,
        update: Consent,
        user: Mapping[str, Any],
        keep: Callable[[PeopleUpdate, str, Consent], object] | None = None,
    ) -> tuple[str, dict[str, bool]]:
        """Record the statement of a person; return their key and all their statements.

        `keep` stores it, given the person and these statements; if it raises, nothing changes.
        Raises ValueError if `user` has no identifier.
        """
        with self._recording:
            self._finish()
            person, _ = self.identify(user)
            if not person:
                raise ValueError("user needs an id, a device or a session")
            at = self._stamp()
            told = {**self._consent_of(person), **{k: (bool(v), at) for k, v in update.items()}}
            state = {key: value for key, (value, _) in told.items()}
            change = PeopleUpdate(consents={person: told})
            if keep is None:
                self._write(change)
            else:
                keep(change, person, state)
            self._cache(person, told)
            self._is_empty = False
            self.version += 1
        return person, state

    def _write(self, update: PeopleUpdate) -> None:
        if self._people:
            self._people.learn(update)

    def _stamp(self) -> int:
        """Return the stamp of a statement: above all before it, however the clock was set.

        It is the clock's time in thousandths of ms, so that those of several processes compare.
        """
        self._last_stamp = max(self._last_stamp + 1, self._now() * 1_000)
        return self._last_stamp

    def state(self, person: str) -> dict[str, bool]:
        """Return what a person said, as it stands now."""
        if self._is_empty or not person:
            return {}
        return {key: value for key, (value, _) in self._consent_of(person).items()}

    def _consent_of(self, person: str) -> ConsentRecord:
        with self._lock:
            told = self._told.get(person)
            if told is None:
                told = self._people.consent_of(person) if self._people else {}
                self._cache(person, told)
            else:
                self._told.move_to_end(person)
            return told

    def _cache(self, person: str, told: ConsentRecord) -> None:
        with self._lock:
            self._told[person] = told
            self._told.move_to_end(person)
            if len(self._told) > self._max:
                self._told.popitem(last=False)

    # --- decisions -------------------------------------------------------------------------

    def decide(self, own: Mapping[str, Any], person: str) -> Mapping[str, Any]:
        """Return the consent that holds for an event: its own, else the person's, else default."""
        base = self.base(person)
        return {**base, **own} if base and own else base or own

    def base(self, person: str) -> Mapping[str, Any]:
        """Return what holds for a person's events that say nothing themselves."""
        if self._is_empty:
            return self._default
        return {**self._default, **self.state(self.canonical(person))}

    def snapshot(self, people: Iterable[str]) -> ConsentSnapshot:
        """Return what is granted for each of these people's events (see `base`)."""
        version = self.version  # read first: what is said meanwhile makes this one outdated
        names = {person: self.canonical(person) for person in people}
        if self._is_empty:
            return ConsentSnapshot(version, dict.fromkeys(names, granted(self._default)), names)
        return ConsentSnapshot(
            version, {person: granted(self.base(person)) for person in names}, names
        )

    def explain(self, own: Mapping[str, Any], person: str) -> list[Grant]:
        """Return each key of the decision with where it comes from."""
        said = self.state(self.canonical(person))
        return [
            Grant(key, bool(value), source(key, own, said))
            for key, value in self.decide(own, person).items()
        ]


def source(key: str, own: Mapping[str, Any], said: Mapping[str, Any]) -> str:
    """Return which of the three decided a consent key: "event", "person" or "default"."""
    if key in own:
        return "event"
    return "person" if key in said else "default"
