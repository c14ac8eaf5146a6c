"""Memory of the attributes sent for each person, so that unchanged ones are not sent again.

Each destination has a memory of its own, as another may send other attributes. But deleting,
suppressing or merging a person affects the whole workspace: it clears them in every destination of
that workspace in this process. Changes by other processes are unknown; entries expire for that.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from threading import Lock
from typing import Final, Protocol
from weakref import WeakSet, WeakValueDictionary

from walker_dest_customerio.identity import key_of

_REMEMBERED_CLEARS: Final = 10_000
"""More than happen while a batch is in flight."""


Sent = tuple[int, float, Sequence[str]]
"""Attributes that were sent: fingerprint, until when they count, further keys of the person."""


class IdentifyMemory(Protocol):
    """Fingerprint of the attributes last sent, per person."""

    def get(self, person: str, timestamp: float) -> int | None:
        """Return the fingerprint of the attributes that Customer.io certainly has, or None.

        `timestamp` (unix s) is that of the next identify.
        """

    def put(self, person: str, fingerprint: int, keys: Sequence[str], until: float) -> None:
        """Remember the attributes sent for a person, known by these further keys.

        For identifies later than `until` (unix s) they do not count: Customer.io may have ignored
        them in favour of a change made since.
        """

    def discard(self, person: str) -> None:
        """Drop a person: their attributes at Customer.io are uncertain."""

    def discard_people(self, keys: Sequence[str]) -> None:
        """Drop the people with these keys, in every destination of the workspace."""


class WorkspaceCaches:
    """The identify caches of one workspace, and a log of cleared people."""

    def __init__(self) -> None:
        self._caches: WeakSet[IdentifyCache] = WeakSet()
        self._lock = Lock()
        self._count = 0
        self._cleared: OrderedDict[str, int] = OrderedDict()
        self._oldest = 0

    def join(self, cache: "IdentifyCache") -> None:
        """Add a cache, to be cleared with the others."""
        with self._lock:
            self._caches.add(cache)

    def mark(self) -> int:
        """Return the current position of the log, for `cleared_since`."""
        return self._count

    def cleared_since(self, keys: Iterable[str], mark: int) -> bool:
        """Return whether anybody with these keys was, or may have been, cleared since the mark."""
        if mark == self._count:
            return False
        with self._lock:
            return mark < self._oldest or any(self._cleared.get(key, 0) > mark for key in keys)

    def clear(self, keys: Sequence[str]) -> None:
        """Clear the people with these keys, in each cache."""
        with self._lock:
            self._count += 1
            for key in keys:
                self._cleared[key] = self._count
                self._cleared.move_to_end(key)
            while len(self._cleared) > _REMEMBERED_CLEARS:
                _, self._oldest = self._cleared.popitem(last=False)
            caches = list(self._caches)
        for cache in caches:
            cache.drop(keys)


_workspaces: WeakValueDictionary[tuple[str, str, bool], WorkspaceCaches] = WeakValueDictionary()
_finding: Final = Lock()


def workspace_of(site_id: str, host: str, *, simulated: bool = False) -> WorkspaceCaches:
    """Return this process's record of a workspace; a simulation has one of its own."""
    key = (site_id, host, simulated)
    with _finding:
        found = _workspaces.get(key)
        if found is None:
            found = _workspaces[key] = WorkspaceCaches()
        return found


class IdentifyCache:
    """The memory of one destination: the fingerprints of the `limit` people seen last.

    After `age` seconds of the monotonic `clock` an identify counts as forgotten. Safe to use from
    several threads.
    """

    def __init__(
        self,
        limit: int,
        age: float,
        workspace: WorkspaceCaches,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.workspace = workspace
        self._limit = limit
        self._age = age
        self._clock = clock
        self._entries: OrderedDict[str, tuple[int, float, float, tuple[int, ...]]] = OrderedDict()
        self._people: dict[int, str | set[str]] = {}  # by the hash of a key: half the size
        self._lock = Lock()
        workspace.join(self)

    def get(self, person: str, timestamp: float) -> int | None:
        # The lock would take twice as long as the rest. Each call is atomic by itself; a person
        # dropped between them reads as unknown, which is right.
        try:
            self._entries.move_to_end(person)
        except KeyError:
            return None
        entry = self._entries.get(person)
        if entry is None or timestamp > entry[1] or self._clock() - entry[2] >= self._age:
            return None
        return entry[0]

    def put(
        self,
        person: str,
        fingerprint: int,
        keys: Sequence[str],
        until: float,
        since: int | None = None,
    ) -> None:
        """Remember the attributes sent for a person by a request started at the mark `since`.

        A person cleared since then is not remembered: the order of the two at Customer.io is
        unknown, and remembering would suppress an identify that a new profile needs.
        """
        self.put_all({person: (fingerprint, until, keys)}, since)

    def put_all(self, sent: Mapping[str, Sent], since: int | None = None) -> None:
        """Remember the attributes sent for several people, by their customer ids; see `put`."""
        with self._lock:
            now, mark = self._clock(), self.workspace.mark()
            is_old = since is not None and since != mark
            for person, (fingerprint, until, keys) in sent.items():
                if is_old and self.workspace.cleared_since((key_of(person), *keys), since or 0):
                    continue
                hashes = tuple([hash(key) for key in keys])
                known = self._entries.get(person)
                if known is not None and known[3] == hashes:  # under the same keys, as mostly
                    self._entries[person] = (fingerprint, until, now, hashes)
                    self._entries.move_to_end(person)
                else:
                    self._remember_new(person, (fingerprint, until, keys), now)

    def _remember_new(self, person: str, sent: Sent, now: float) -> None:
        fingerprint, until, keys = sent
        named = dict.fromkeys((key_of(person), *keys))
        others = tuple([hash(key) for key in named if _name_in(key) != person])
        self._drop(person)
        self._entries[person] = (fingerprint, until, now, others)
        for key in others:
            self._index(key, person)
        if len(self._entries) > self._limit:
            self._drop(next(iter(self._entries)))

    def discard(self, person: str) -> None:
        with self._lock:
            self._drop(person)

    def discard_people(self, keys: Sequence[str]) -> None:
        self.workspace.clear(keys)

    def drop(self, keys: Iterable[str]) -> None:
        """Forget the people with these keys, here."""
        with self._lock:
            for person in list(self._known_by(keys)):
                self._drop(person)

    def known_by(self, keys: Iterable[str]) -> list[str]:
        """Return the remembered people with these keys."""
        with self._lock:
            return list(self._known_by(keys))

    def clear(self) -> None:
        """Forget everybody, here."""
        with self._lock:
            self._entries.clear()
            self._people.clear()

    def _known_by(self, keys: Iterable[str]) -> Iterator[str]:
        for key in keys:
            if (name := _name_in(key)) in self._entries:
                yield name
            found = self._people.get(hash(key), ())
            yield from (found,) if isinstance(found, str) else tuple(found)

    def _index(self, key: int, person: str) -> None:
        known = self._people.get(key)
        if known is None or known == person:
            self._people[key] = person
        elif isinstance(known, str):
            self._people[key] = {known, person}
        else:
            known.add(person)

    def _drop(self, person: str) -> None:
        entry = self._entries.pop(person, None)
        for key in entry[3] if entry else ():
            known = self._people.get(key)
            if isinstance(known, set) and len(known) > 1:
                known.discard(person)
            else:
                self._people.pop(key, None)


def _name_in(key: str) -> str:
    """Return the customer id of a key; wrong only for an email in another case."""
    kind, _, name = key.partition(":")
    return f"cio_{name}" if kind == "cio_id" else name


class Overlay:
    """Changes to a cache by a batch that is planned but not delivered yet.

    Planning reads and writes the overlay, so an event does not repeat the identify of an earlier
    one in the batch, and a failed delivery leaves no trace. Actual deliveries are written through
    `delivered`, which ignores people cleared since the batch was planned.
    """

    def __init__(self, cache: IdentifyCache) -> None:
        self._cache = cache
        self._mark = cache.workspace.mark()
        self._delivered: IdentifyMemory | None = None
        self._changes: dict[str, Sent | None] = {}
        self._drops = False
        """Whether a person was dropped; other caches may know them, too."""

    def keep(self) -> bool:
        """Remember all changes at once, as everything was delivered; False if anybody is dropped.

        The fast twin of notes through `delivered`.
        """
        if not self._drops:
            sent = {person: change for person, change in self._changes.items() if change}
            self._cache.put_all(sent, self._mark)
        return not self._drops

    @property
    def delivered(self) -> IdentifyMemory:
        """The cache, as the deliveries of the batch may change it."""
        if self._delivered is None:
            self._delivered = _Since(self._cache, self._mark)
        return self._delivered

    def get(self, person: str, timestamp: float) -> int | None:
        if person not in self._changes:
            return self._cache.get(person, timestamp)
        change = self._changes[person]
        return None if change is None or timestamp > change[1] else change[0]

    def put(self, person: str, fingerprint: int, keys: Sequence[str], until: float) -> None:
        self._changes[person] = (fingerprint, until, keys)

    def discard(self, person: str) -> None:
        self._drops = True
        self._changes[person] = None

    def discard_people(self, keys: Sequence[str]) -> None:
        self._drops = True
        gone = set(keys)
        own = [
            person
            for person, change in self._changes.items()
            if change is not None and not gone.isdisjoint((key_of(person), *change[2]))
        ]
        self._changes.update(dict.fromkeys((*own, *self._cache.known_by(keys))))


class _Since:
    """A cache, as deliveries that began at a mark may change it."""

    def __init__(self, cache: IdentifyCache, mark: int) -> None:
        self._cache = cache
        self._mark = mark
        self.get = cache.get
        self.discard = cache.discard
        self.discard_people = cache.discard_people

    def put(self, person: str, fingerprint: int, keys: Sequence[str], until: float) -> None:
        self._cache.put(person, fingerprint, keys, until, self._mark)
