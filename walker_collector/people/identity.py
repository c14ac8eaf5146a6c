"""Identity: the links from identifiers to people.

`user.id`, `user.device` and `user.session` are keys of a person: `id:ines`, `device:d-1`,
`session:s-1`. Keys that an event or a call names together belong together:

- An id is a person. The first id that is named with a device or session owns the events filed under
  it until then, for good.
- An id that is named with a key of somebody else signs in there: earlier events stay with their
  owner, new events under that key alone are filed for the new person.
- Without an id, an unknown key joins the person of the other key. If the keys lead to two people,
  the session decides, and nothing changes.

Untrusted callers name people by keys of their own, `~id:ines`. What is known for sure holds for
these keys too: `~session:s-1` is `~id:ines` as soon as `session:s-1` is `id:ines`. What untrusted
callers name together links such keys alone, and the other way round nothing follows from them.

So the events filed under a key have one owner for good, and joins go from root to root: circles
cannot arise. Every key leads to its root directly.
"""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple
from uuid import UUID

from attrs import frozen

from walker_collector.errors import EventError
from walker_collector.events import Bounds, check_identifier, may_need_check, plain_object
from walker_collector.people.read_ahead import ReadAhead
from walker_collector.spool import mark_of
from walker_collector.spool.person_keys import claimed, is_claimed, is_signed_in, unclaimed

KINDS: Final = ("id", "device", "session")
"""The identifiers of a person, strongest first: a weaker one belongs to a stronger one."""
_PREFIXES: Final = tuple((f"{kind}:", kind) for kind in KINDS)
_WEAKER: Final = _PREFIXES[1:]
_CLAIMED_WEAKER: Final = tuple((claimed(prefix), kind) for prefix, kind in _WEAKER)
_PLAIN: Final = frozenset({str, int, UUID})
"""Types with the same text in Python and in JSON."""
_BOUNDS: Final = Bounds()

Joins = deque[tuple[str, str]]
"""Joins in order: a key that was a person of its own, and the person that it has joined."""


def identifiers(user: Mapping[str, Any]) -> list[str]:
    """Return the keys under which a user is known (`id:u1`, `session:s1`), strongest first.

    An identifier is read as JSON, so a Decimal or an Enum is the text that destinations get.
    Numbers count as text: 42, 42.0 and "42" are one person. An empty text, true, false, NaN and
    infinity identify nobody. Raises EventError for a list, an object, and a text that
    `check_identifier` refuses.
    """
    keys = []
    for prefix, kind in _PREFIXES:
        value = user.get(kind)
        if type(value) in _PLAIN:
            text = str(value)
        else:
            text = "" if value is None else _as_text(kind, value)
        if text:
            if may_need_check(text):
                check_identifier(f"user.{kind}", text)
            keys.append(prefix + text)
    return keys


def _as_text(kind: str, value: Any) -> str:
    plain = plain_object("user", {kind: value}, _BOUNDS).get(kind)
    if isinstance(plain, list | dict):
        found = "a list" if isinstance(plain, list) else "an object"
        raise EventError(f"user.{kind}: must be text or a number, not {found}")
    if plain is None or isinstance(plain, bool):
        return ""
    whole = isinstance(plain, float) and plain.is_integer()
    return str(int(plain) if whole else plain)


class Link(NamedTuple):
    """The owner of the events filed under a key, and the person new ones are filed for."""

    owner: str
    current: str


@frozen
class Identified:
    """The person named by several keys together, and the news in that.

    `joining` are people without an id that are merged into this one. `signed_in` are keys of
    somebody else; this person is the last to have signed in under them.
    """

    person: str
    joining: tuple[str, ...] = ()
    signed_in: tuple[str, ...] = ()

    @property
    def is_news(self) -> bool:
        """Whether there is anything to learn."""
        return bool(self.joining or self.signed_in)


def resolve(keys: Sequence[str], current: Callable[[str], str]) -> Identified:
    """Return the person named by keys, strongest first. See the module for the rules.

    `current`: the person that new events under a key alone are filed for.
    """
    people = [current(key) for key in keys]
    if people.count(people[0]) == len(people):
        return Identified(people[0])
    strangers = tuple(dict.fromkeys(p for p in people if not is_signed_in(p)))
    if is_signed_in(keys[0]):
        person = keys[0]
        theirs = zip(keys[1:], people[1:], strict=True)
        others = tuple(key for key, p in theirs if is_signed_in(p) and p != person)
        return Identified(person, strangers, others)
    known = [person for person in people if is_signed_in(person)]
    if known:
        return Identified(known[-1], strangers)
    # Both are strangers. A device outlives its sessions; of two devices the one that the
    # session was seen with first.
    is_session = unclaimed(people[-1]).startswith("session:")
    person = people[0] if is_session else people[-1]
    return Identified(person, tuple(p for p in strangers if p != person))


NOBODY: Final = Identified("")


class IdentityGraph:
    """The links from keys to people; thread-safe.

    Holds the `limit` keys in memory that were seen last; with a durable spool the others are
    read back from it, without one they are forgotten.
    """

    def __init__(self, people: ReadAhead | None, limit: int) -> None:
        self.lock = threading.RLock()
        self._people = people
        self._limit = limit
        self._links: OrderedDict[str, Link] = OrderedDict()
        self._keys: dict[str, set[str]] = {}
        """The cached keys of each person, owned or current, but for the person's own name."""
        self._pinned: dict[str, Link] = {}
        self._followers: list[Joins] = []
        self._any_claimed = False
        """Whether anybody has asked for a claimed key yet."""

    def follow(self) -> Joins:
        """Return a queue that gets every join at the moment it becomes visible."""
        joins: Joins = deque()
        self._followers.append(joins)
        return joins

    # --- looking up ------------------------------------------------------------------------

    def known_person(self, user: Mapping[str, Any], claim: bool = False) -> str | None:
        """Return the person if all identifiers are known to be theirs, as in almost every event.

        "": nobody is named. None: a closer look is needed. `claim`: an untrusted caller names them.
        """
        id_, person = user.get("id"), None
        if id_ is not None:
            if type(id_) is int:
                id_ = str(id_)
            elif type(id_) is not str:
                return None
            if id_:
                person = "~id:" + id_ if claim else "id:" + id_
        links, is_known = self._links, not id_
        for prefix, kind in _CLAIMED_WEAKER if claim else _WEAKER:
            value = user.get(kind)
            if value is None:
                continue
            if type(value) is not str or not value:
                return None
            key = prefix + value
            link = links.get(key)
            if link is None:
                return None
            _, current = link
            if person != current and person is not None:
                return None
            person = current  # one text for all their events, so that each takes less memory
            try:
                links.move_to_end(key)
            except KeyError:  # another thread has just forgotten it
                return None
            is_known = True
        if is_known or not may_need_check(str(id_)):
            return person or ""
        return None

    def canonical(self, key: str) -> str:
        """Return the owner of the events filed under a key."""
        return key if not key or is_signed_in(key) else self._lookup(key).owner

    def current(self, key: str) -> str:
        """Return the person that new events under a key alone are filed for."""
        return key if is_signed_in(key) else self._lookup(key).current

    def not_in_memory(self, keys: Iterable[str]) -> set[str]:
        """Return the keys that are to be read from the spool, those that they follow from too."""
        unknown = {key for key in keys if key not in self._links}
        return unknown.union(map(unclaimed, unknown))

    def resolve(self, keys: Sequence[str]) -> Identified:
        """Return the person named by keys, strongest first. See the module for the rules."""
        return resolve(keys, self.current)

    def all_keys(self, person: str) -> set[str]:
        """Return all keys that events of a person may be filed under."""
        with self.lock:
            keys = self.linked_keys(person) | {person}
        if is_claimed(person):  # what is known for sure holds for claims, too
            known = map(claimed, self.all_keys(unclaimed(person)))
            keys.update(key for key in known if self.canonical(key) == person)
        return keys

    def may_know_claimed(self) -> bool:
        """Return whether untrusted callers may have said anything of anybody."""
        return self._any_claimed or (self._people is not None and self._people.has_claimed_people())

    def linked_keys(self, person: str) -> set[str]:
        """Return the other keys that lead to a person."""
        with self.lock:
            cached = {key for key in self._keys.get(person, ()) if self._owned(key, person)}
        stored = self._people.aliases_of(person) if self._people else ()
        return {*cached, *stored}

    def _owned(self, key: str, person: str) -> bool:
        return key in self._links and self._links[key].owner == person

    def _lookup(self, key: str) -> Link:
        with self.lock:
            link = self._links.get(key)
            if link is not None:
                self._links.move_to_end(key)
                return link
            link = self._pinned.get(key)
            if link is None:
                link = self._found(key)
            self._cache(key, link)
            return link

    def _found(self, key: str) -> Link:
        """Return the link of a key that is not in memory."""
        owner, signed_in = self._people.link(key) if self._people else (None, None)
        if not is_claimed(key):
            return Link(owner or key, signed_in or owner or key)
        self._any_claimed = True
        if owner is None:
            known = self._lookup(unclaimed(key))
            surely = claimed(known.owner)
            # The person that is known for sure may have been claimed to be another one's.
            owner = key if surely == key else self.canonical(surely)
            if signed_in is None and is_signed_in(known.current):
                signed_in = claimed(known.current)
        return Link(owner, signed_in or owner)

    # --- learning --------------------------------------------------------------------------

    @contextmanager
    def unchanged(self, keys: Iterable[str]) -> Iterator[None]:
        """Show these keys unchanged inside the block, while the spool is being updated."""
        with self.lock:
            self._pinned = {key: self._lookup(key) for key in keys}
        try:
            yield
        finally:
            self._pinned = {}

    def join(self, keys: Iterable[str], root: str, person: str) -> None:
        """Show keys of `root`, itself among them, as those of a person; tell the followers."""
        with self.lock:
            # First: whoever sees the join, also without the lock, comes after the followers know.
            for joins in self._followers:
                joins.append((root, person))
            for key in keys:
                self._pinned.pop(key, None)
                self._cache(key, Link(person, person))
            if self._any_claimed and not is_claimed(root):
                self._claims_follow(keys, root)

    def _claims_follow(self, keys: Iterable[str], root: str) -> None:
        """Show the claimed keys of a root as those of the person that the root has joined."""
        mine = claimed(root)
        theirs = [*map(claimed, keys), *self.cached_keys(mine)]
        followed = [key for key in theirs if key in self._links and self._links[key].owner == mine]
        self.reread(theirs if self._people else followed)
        if (owner := self.canonical(mine)) == mine:
            return
        for joins in self._followers:
            joins.append((mine, owner))
        if not self._people:  # nothing else has these links
            for key in followed:
                self._cache(key, Link(owner, owner))

    def reread(self, keys: Iterable[str] | None) -> None:
        """Read these keys (None: all of them) from the spool when next asked for."""
        with self.lock:
            for key in list(self._links if keys is None else keys):
                if key in self._links:
                    self._uncache(key)

    def reread_marked(self, marks: Collection[int]) -> None:
        """Read the keys with these marks, and those that lead to one, from the spool."""
        with self.lock:
            marked = {key for key in self._links if mark_of(key) in marks}
            leading = (keys for key, keys in self._keys.items() if mark_of(key) in marks)
            self.reread(marked.union(*leading))

    def cached_keys(self, person: str) -> set[str]:
        """Return the keys of a person that are in memory, with the person's own."""
        with self.lock:
            return {person, *(k for k in self._keys.get(person, ()) if self._owned(k, person))}

    def sign_in(self, key: str, person: str) -> None:
        """File new events under a key of somebody else for this person from now on."""
        with self.lock:
            self._cache(key, Link(self._lookup(key).owner, person))
            if self._any_claimed and not is_claimed(key):
                if self._people:
                    self.reread([claimed(key)])
                else:
                    self.sign_in(claimed(key), claimed(person))

    def erase(self, people: set[str]) -> None:
        """Drop these keys.

        A key under which somebody else has signed in becomes theirs; one that was somebody else's
        before is so again.
        """
        with self.lock:
            keys = people.union(*(self._keys.get(person, ()) for person in people))
            for key in keys & self._links.keys():
                owner, current = self._uncache(key)
                left = [person for person in (owner, current) if person not in people]
                if left:
                    self._cache(key, Link(left[0], left[-1]))

    # A signal handler may raise anywhere in these: a person may then have a key too many, but
    # none too few.

    def _cache(self, key: str, link: Link) -> None:
        if key in self._links:
            self._uncache(key)
        for person in {*link} - {key}:
            self._keys.setdefault(person, set()).add(key)
        self._links[key] = link
        if len(self._links) > self._limit:
            self._uncache(next(iter(self._links)))

    def _uncache(self, key: str) -> Link:
        link = self._links.pop(key)
        for person in {*link} - {key}:
            keys = self._keys.get(person, set())
            keys.discard(key)
            if not keys:
                self._keys.pop(person, None)
        return link
