"""People: learning who is one person, and erasing them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal

from attrs import frozen

from walker_collector.config import Consent
from walker_collector.events import CONSENT_KEYS
from walker_collector.interrupts import run_to_the_end
from walker_collector.people.identity import Identified, identifiers
from walker_collector.people.shared_knowledge import SharedKnowledge
from walker_collector.spool import ConsentRecord, Erased, PeopleUpdate, Spool, later_of


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


class KnownPeople(SharedKnowledge):
    """The people behind the identifiers of events: merges them, with their statements."""

    def __init__(
        self, spool: Spool, default: Consent, people_max: int, now: Callable[[], int]
    ) -> None:
        super().__init__(spool, default, people_max, now)
        self._spool = spool
        self._erasing: set[str] = set()
        """The keys of people under erasure."""

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

    def person_of(self, user: Mapping[str, Any]) -> str:
        """Return the person that identifiers lead to, without learning from them; "": nobody."""
        keys = identifiers(user)
        if len(keys) > 1:
            return self._identities.resolve(keys).person
        return self._identities.current(keys[0]) if keys else ""

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


def _most_binding(record: ConsentRecord) -> ConsentRecord:
    """Return at most `CONSENT_KEYS` statements: denials first, then the latest."""
    if len(record) <= CONSENT_KEYS:
        return record
    ordered = sorted(record.items(), key=lambda item: (item[1][0], -item[1][1]))
    return dict(ordered[:CONSENT_KEYS])
