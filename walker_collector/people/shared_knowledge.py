"""The knowledge of people in memory, and how it keeps up with that of other processes.

Each change of identities or consent is a row of a log in the spool, with a version of its own. An
update names the version that it is based on, and is refused if another process was faster. Then the
news is learned, and everything is decided again.
"""

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import attrs

from walker_collector.config import Consent
from walker_collector.people.default import CurrentDefault
from walker_collector.people.identity import IdentityGraph
from walker_collector.people.read_ahead import ReadAhead
from walker_collector.people.records import ConsentRecords
from walker_collector.spool import PeopleNews, PeopleUpdate, Spool, StalePeople
from walker_collector.spool.person_keys import claimed

T = TypeVar("T")


class SharedKnowledge:
    """The identities, statements and default that this process has in memory; thread-safe.

    `version` changes with every statement, which shows whether a decision is overtaken. The most
    recent `people_max` people are in memory; with a durable spool the others are read back from
    it, without one they are forgotten.

    A worker asks while it holds its own lock, and a thread that writes to the spool may wait for a
    worker. So the lock of the memory is never held during a write, and changes have a lock of their
    own. A change becomes visible after it is stored, so that nobody acts on one that fails.
    """

    def __init__(
        self, spool: Spool, default: Consent, people_max: int, now: Callable[[], int]
    ) -> None:
        self._recording = threading.RLock()
        self._store = spool if spool.durable else None
        self.is_shared = spool.durable
        """Whether other processes may change it, too."""
        self._ahead = ReadAhead(self._store) if self._store else None
        self._identities = IdentityGraph(self._ahead, people_max)
        self._records = ConsentRecords(self._ahead, people_max, now, self._identities.lock)
        self.canonical = self._identities.canonical
        self.known_person = self._identities.known_person
        self.follow = self._identities.follow
        self._default = CurrentDefault(self._store, default)
        self._known = spool.people_since(0).version if spool.durable else 0
        """The version of the spool's knowledge of people that memory has."""
        self._changes_seen = spool.people_changes if spool.durable else 0
        self.on_news: Callable[[set[str] | None], None] = lambda people: None
        """Called with the people that another process has changed; "" among them: the default;
        None: everybody, and some may have been erased.
        """
        self.on_moved: Callable[[frozenset[int]], None] = lambda erased: None
        """Called with the marks of erased keys, when another process has erased or replayed events,
        which are to be read anew.
        """
        self._unpublished: deque[tuple[set[str] | None, frozenset[int] | None]] = deque()
        """The news that memory has, and nobody else yet: people, and the marks of erased keys, None
        if no entries have moved.
        """
        self.version = 0
        self.erasures = spool.erasures
        """The number of erasures that are over. The spool refuses an event if another one has begun
        since its person was found."""

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
        try:
            with self._recording:
                # First: what changes now is seen the next time.
                seen, erasures = self._store.people_changes, self._store.erasures
                news = self._store.people_since(self._known)
                people = self._show_changes(news)
                if people is None or people or news.moved:
                    self._unpublished.append((people, news.erased if news.moved else None))
                self._known, self._changes_seen = news.version, seen
                self.erasures = erasures
                if people is None or people or news.erased:
                    self.version += 1
            self._tell()
        except BaseException:  # a signal handler may have raised: the next call goes on with it
            self._changes_seen = -1
            raise

    def _tell(self) -> None:
        while self._unpublished:
            first = self._unpublished[0]
            people, marks = first
            if people is None or people:
                self.on_news(people)
            if marks is not None:
                self.on_moved(marks)
            with suppress(ValueError):  # another thread has called them, too
                self._unpublished.remove(first)

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
                    graph.reread([key, claimed(key)])
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

        Last of all: until then, `refresh` shows it like one of another process. There is nothing
        to refresh if it is the only one since the last time.
        """
        if update.based_on is None or self._store is None:
            return
        known, seen = update.based_on + update.changes, self._changes_seen
        if self._known != known and self._store.people_changes == seen + 1:
            seen += 1
        # No call between these two, so no signal handler can run in between and do it twice.
        self._known, self._changes_seen = known, seen

    def _until_current(self, work: Callable[[], T]) -> T:
        """Do something, and again each time that another process was faster."""
        while True:
            try:
                return work()
            except StalePeople:
                self.refresh(surely=True)
