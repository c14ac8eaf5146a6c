"""People: learning of merges, and erasing them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal, NamedTuple

from attrs import evolve

from walker_collector.config import Consent
from walker_collector.errors import Overtaken
from walker_collector.events import CONSENT_KEYS
from walker_collector.interrupts import run_to_the_end
from walker_collector.people.identity import NOBODY, Identified, identifiers
from walker_collector.people.pending_links import Join, PendingLinks
from walker_collector.people.shared_knowledge import SharedKnowledge
from walker_collector.spool import ConsentRecord, Erased, PeopleUpdate, Spool, later_of
from walker_collector.spool.person_keys import (
    OF_IDS,
    claimed,
    is_claimed,
    is_signed_in,
    ordering_key,
    unclaimed,
)


class _Steps(NamedTuple):
    """The steps that follow from news: the merges, and the statements of the people merged.

    `claims`: whether claimed people are merged as well. `decides`: whether any of the people has
    stated anything. If nobody has, no decision changes.
    """

    joins: list[Join]
    statements: dict[str, ConsentRecord]
    claims: bool
    decides: bool

    @property
    def can_wait(self) -> bool:
        """Whether the events of a group are filed and decided by these merges once it is stored.

        Not if there are statements: they decide on the event itself.
        """
        return not self.statements and not self.claims


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

    def identify(
        self, user: Mapping[str, Any], *, claim: bool = False, as_of: int | None = None
    ) -> tuple[str, News]:
        """Learn from the identifiers that an event or call names together.

        Returns the person's key, and the news: after a merge, events held under a weaker
        identifier are this person's. `claim`: an untrusted caller names them. `as_of`: the number
        of erasures when they were read; raises Overtaken after another one.
        """
        keys = keys_named(user, claim=claim)
        if not keys:
            return "", None
        if len(keys) == 1:
            return self._identities.current(keys[0]), None
        found = self._identities.resolve(keys)
        if not found.is_news:
            return found.person, None
        return self._until_current(lambda: self._identify(keys, as_of))

    def person_of(self, user: Mapping[str, Any], *, claim: bool = False) -> str:
        """Return the person that identifiers lead to, without learning from them; "": nobody."""
        keys = keys_named(user, claim=claim)
        if len(keys) > 1:
            return self._identities.resolve(keys).person
        return self._identities.current(keys[0]) if keys else ""

    def check_not_overtaken(self, as_of: int | None) -> None:
        """Raise Overtaken if there was another erasure than so many; None: that does not matter.

        What is stored after this check is refused as stale if one comes in between.
        """
        if as_of not in (None, self.erasures):
            raise Overtaken("an erasure has begun since this was read")

    def _identify(self, keys: Sequence[str], as_of: int | None) -> tuple[str, News]:
        with self._recording:
            self.check_not_overtaken(as_of)
            found = self._identities.resolve(keys)
            return found.person, self._learn(found) if self._is_learned(found) else None

    def _is_learned(self, found: Identified) -> bool:
        """Return whether there is news that nobody is just erasing."""
        return found.is_news and self._erasing.isdisjoint((found.person, *found.joining))

    def _learn(self, found: Identified) -> News:
        """Merge people without an id into this one, with their statements, and note sign-ins."""
        steps = self._steps(found, self._identities.all_keys)
        links = PendingLinks(self._identities)
        links.add(found, steps.joins, decides=steps.decides)
        update = evolve(links.update(self._based_on), consents=steps.statements)
        self._write(update, self._shown(links, update))
        if steps.statements:
            return "stated"
        return "joined" if found.joining else None

    def _steps(self, found: Identified, keys_of: Callable[[str], set[str]]) -> _Steps:
        person = found.person
        joins = [Join(root, keys_of(root), person) for root in found.joining]
        statements, decides = self._merge(found)
        claims: list[Join] = []
        if not is_claimed(person) and self._identities.may_know_claimed():
            claims = self._joining_claims(found)
            for join in claims:
                decides |= self._merge_claims(join, statements)
        return _Steps(joins + claims, statements, bool(claims), decides)

    @property
    def _based_on(self) -> int | None:
        return self._known if self._store else None

    def _write(self, update: PeopleUpdate, show: Callable[[], None]) -> None:
        """Store an update, then make it visible.

        If a signal handler interrupts the first, the spool may have the update all the same, or
        write it with the next transaction: then `refresh` shows it.
        """
        with self._identities.unchanged(update.aliases):
            self._records.store(update)
            try:
                show()
            except BaseException:
                run_to_the_end(show)
                raise

    def _show(self, links: Callable[[], None], update: PeopleUpdate, *, decides: bool) -> None:
        with self._identities.lock:
            links()
            for key, record in update.consents.items():
                self._records.put(key, record)
            if decides:
                self.version += 1
            self._note_shown(update)

    # --- the events of a group, learned together -------------------------------------------

    @contextmanager
    def learning(self, keys: Iterable[str]) -> Iterator[PendingLinks]:
        """Let nobody else learn of people inside the block, which learns from a group of events.

        The keys that they name are read at once. The block must not wait for room, nor run
        commands.
        """
        with self._recording:
            if self._ahead:
                self._ahead.look_up(self._identities.not_in_memory(keys))
            try:
                yield PendingLinks(self._identities)
            finally:
                if self._ahead:
                    self._ahead.forget()

    def identify_pending(self, keys: Sequence[str], pending: PendingLinks) -> str:
        """Return the person of an event; news in its keys joins the pending links."""
        found = self.resolve_pending(keys, pending)
        if self._is_learned(found):
            steps = self._steps(found, pending.keys_of)
            if steps.can_wait:
                pending.add(found, steps.joins, decides=steps.decides)
            else:
                self.write_pending(pending)
                news = self._learn(found)
                pending.learned |= news is not None
                if news == "stated":
                    pending.stated |= self.with_claimed(found.person)
        return found.person

    def resolve_pending(self, keys: Sequence[str], pending: PendingLinks) -> Identified:
        """Return the person named by the keys of an event, as far as the pending links tell."""
        if not keys:
            return NOBODY
        if pending and not pending.are_like(keys[0]):  # what is known for sure holds for claims
            self.write_pending(pending)
        return pending.resolve(keys)

    def write_pending(self, pending: PendingLinks) -> None:
        """Store pending links by themselves, and show them."""
        if pending:
            update = pending.update(self._based_on)
            self._write(update, self._shown(pending, update))
            pending.clear()

    def store_pending(
        self, pending: PendingLinks, store: Callable[[PeopleUpdate, Callable[[], None]], object]
    ) -> None:
        """Have pending links stored together with events.

        `store` is given the update, and the function that shows it once it is stored.
        """
        update = pending.update(self._based_on)
        if self._ahead:
            self._ahead.forget()
        with self._identities.unchanged(update.aliases):
            store(update, self._shown(pending, update))

    def _shown(self, pending: PendingLinks, update: PeopleUpdate) -> Callable[[], None]:
        return partial(self._show, pending.show, update, decides=pending.decides)

    def _merge(self, found: Identified) -> tuple[dict[str, ConsentRecord], bool]:
        """Return the statements to store after a merge, and whether any of the people has one."""
        joining = {root: self.statements_of(root) for root in found.joining}
        before = self._records.get(found.person) if joining else {}
        if not any(joining.values()):
            return {}, bool(joining) and bool(self.statements_of(found.person))
        merged = before
        for theirs in joining.values():
            merged = later_of(merged, theirs)
        emptied: dict[str, ConsentRecord] = {
            root: {} for root in found.joining if self._records.get(root)
        }
        return {found.person: _most_binding(merged), **emptied}, True

    def statements_of(self, person: str) -> ConsentRecord:
        """Return the statements that count for a person's events.

        For those of untrusted callers these are the statements of such callers, and those that are
        known for sure.
        """
        record = self._records.get(person)
        if not is_claimed(person):
            return record
        return later_of(record, self._records.get(self.canonical(unclaimed(person))))

    # --- claims, where more becomes known for sure -----------------------------------------

    def _joining_claims(self, found: Identified) -> list[Join]:
        """Return the joins of claimed people that follow from joins, and are to be stored.

        Most follow by themselves: see IdentityGraph. Nothing follows where a claim has made a
        joining person that of another id.
        """
        graph, plain = self._identities, claimed(found.person)
        person = graph.canonical(plain)
        joins = []
        for mine in map(claimed, found.joining):
            root = graph.canonical(mine)
            if is_signed_in(root) or root == person:
                continue
            linked = graph.linked_keys(root)
            if person != plain or root != mine or linked or self._records.get(root):
                joins.append(Join(root, {root, *linked}, person))
        return joins

    def _merge_claims(self, join: Join, statements: dict[str, ConsentRecord]) -> bool:
        """Add the statements that a join of claimed people makes one person's, if any."""
        record = self._records.get(join.root)
        if record:
            before = statements.get(join.person) or self._records.get(join.person)
            statements[join.person] = _most_binding(later_of(before, record))
            statements[join.root] = {}
        return bool(record)

    def keys_of(self, user: Mapping[str, Any]) -> set[str]:
        """Return all keys that events of a user may be filed under."""
        keys = identifiers(user)
        if not keys:
            return set()
        self.refresh()
        found = self._identities.resolve(keys)
        return self.all_keys((found.person, *found.joining))

    def all_keys(self, people: Iterable[str]) -> set[str]:
        """Return all keys that events of these people may be filed under, also as claims."""
        every = {key for person in people for key in (person, self.claimed_person(person))}
        if self._identities.may_know_claimed():
            return set().union(*map(self._identities.all_keys, every))
        surely = (key for key in every if not is_claimed(key))
        keys = set[str]().union(*map(self._identities.all_keys, surely))
        return keys.union(every, map(claimed, keys))

    def claimed_person(self, person: str) -> str:
        """Return the person that untrusted callers name by a person's key."""
        if is_claimed(person) or not person:
            return person
        mine = claimed(person)
        return self.canonical(mine) if self._identities.may_know_claimed() else mine

    def with_claimed(self, person: str) -> set[str]:
        """Return a person, and the one that untrusted callers name by their key."""
        return {person, self.claimed_person(person)}

    def people_behind(self, user: Mapping[str, Any], claim: str) -> set[str]:
        """Return the people that identifiers lead to, and the person that a claim is about."""
        graph, keys = self._identities, identifiers(user)
        people = {graph.canonical(key) for key in keys} | {graph.current(key) for key in keys}
        return people | {graph.canonical(unclaimed(claim))}

    def ordering_key(self, key: str) -> str:
        """Return the key that shares the order of delivery with a key."""
        if key.startswith("id:"):  # most are, and need no look
            return key
        return ordering_key(self.canonical(key))

    def ordering_keys(self, keys: Iterable[str]) -> list[str]:
        """Return `ordering_key` of each key."""
        look = self.ordering_key
        return [key if key and key[0] == OF_IDS else look(key) for key in keys]

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
        self.refresh(surely=True)  # outside the lock: whoever hears of the news may need another
        with self._recording:
            return self.erasures


def keys_named(user: Mapping[str, Any], *, claim: bool) -> list[str]:
    """Return the keys that a user is named by, strongest first; raises EventError.

    `claim`: an untrusted caller names them.
    """
    keys = identifiers(user)
    return [*map(claimed, keys)] if claim else keys


def _most_binding(record: ConsentRecord) -> ConsentRecord:
    """Return at most `CONSENT_KEYS` statements: denials first, then the latest."""
    if len(record) <= CONSENT_KEYS:
        return record
    ordered = sorted(record.items(), key=lambda item: (item[1][0], -item[1][1]))
    return dict(ordered[:CONSENT_KEYS])
