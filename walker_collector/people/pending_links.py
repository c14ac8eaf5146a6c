"""The links that the events of a group tell of, until they are stored together with the group."""

from collections.abc import Sequence
from typing import NamedTuple

from walker_collector.people.identity import Identified, IdentityGraph, Link, resolve
from walker_collector.spool import PeopleUpdate
from walker_collector.spool.person_keys import is_claimed


class Join(NamedTuple):
    """A person without an id, all their keys, and the person they are merged into."""

    root: str
    keys: set[str]
    person: str


class PendingLinks:
    """The links that events of a group tell of, in the order of these events.

    They are shown to everybody once they are stored. Until then only the events after them in the
    group are filed by them. Either untrusted callers have named all of these keys, or none.
    `decides`: whether any of the people has stated anything.
    """

    def __init__(self, graph: IdentityGraph) -> None:
        self._graph = graph
        self._links: dict[str, Link] = {}
        self._joined: dict[str, set[str]] = {}
        """The keys that have joined each person."""
        self.joins: list[Join] = []
        self.signed_in: dict[str, str | None] = {}
        self.decides = False
        self.learned = False
        """Whether people were merged, by these links or by others in the meantime."""
        self.stated: set[str] = set()
        """People with new statements, from merges in the meantime."""

    def __bool__(self) -> bool:
        return bool(self._links)

    def are_like(self, key: str) -> bool:
        """Return whether these links and a key are both of trusted senders, or both claims."""
        return is_claimed(key) is is_claimed(next(iter(self._links)))

    def resolve(self, keys: Sequence[str]) -> Identified:
        """Return the person named by keys, as `IdentityGraph.resolve` does."""
        return resolve(keys, self._current if self._links else self._graph.current)

    def keys_of(self, root: str) -> set[str]:
        """Return all keys of a person, those that have joined them among these."""
        return self._graph.all_keys(root) | self._joined.get(root, set())

    def add(self, found: Identified, joins: list[Join], *, decides: bool) -> None:
        """Add the news that the keys of an event have."""
        for root, keys, person in joins:
            self._links.update(dict.fromkeys(keys, Link(person, person)))
            self._joined.setdefault(person, set()).update(keys)
            self._joined.pop(root, None)
        for key in found.signed_in:
            link = self._links.get(key)
            owner = self._graph.canonical(key) if link is None else link.owner
            self._links[key] = Link(owner, found.person)
            self.signed_in[key] = None if owner == found.person else found.person
        self.joins += joins
        self.decides |= decides
        self.learned |= bool(joins)

    def update(self, based_on: int | None) -> PeopleUpdate:
        """Return the update to store, based on a version of the spool's knowledge of people."""
        aliases = {key: join.person for join in self.joins for key in join.keys}
        return PeopleUpdate(based_on=based_on, aliases=aliases, signed_in=self.signed_in)

    def show(self) -> None:
        """Show the links, which are stored."""
        for join in self.joins:
            self._graph.join(join.keys, join.root, join.person)
        for key in self.signed_in:
            self._graph.sign_in(key, self._links[key].current)

    def clear(self) -> None:
        """Begin anew, after these links were stored."""
        self._links, self._joined, self.joins, self.signed_in = {}, {}, [], {}
        self.decides = False

    def _current(self, key: str) -> str:
        link = self._links.get(key)
        return self._graph.current(key) if link is None else link.current
