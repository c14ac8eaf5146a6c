"""The erasure of people: from memory, identities, consent and spool, at once.

An erasure is noted in a durable spool first, so that no process begins a call for its people. If
its process is killed before the end, another one that uses the spool finishes it.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator, ValuesView
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from typing import Any, Final, Protocol

from attrs import evolve, frozen

from walker_collector.errors import SpoolError
from walker_collector.hookspecs import Person
from walker_collector.people.calls import IN_FLIGHT_WAIT, wait_for_calls
from walker_collector.people.consent import ConsentStore
from walker_collector.people.identity import KINDS
from walker_collector.people.posted import rows_of_people
from walker_collector.spool import DurableSpool, Erased, Spool
from walker_collector.spool.person_keys import unclaimed
from walker_collector.text import counted, get_logger

logger = get_logger("walker_collector")

_SCRUB_WAIT: Final = 10.0
"""How long (s) an erasure waits for others to stop reading the log."""
_SCRUB_POLL: Final = 0.01
_LOOK: Final = 0.5
"""Seconds between looks at erasures under way: whether their processes live."""


@frozen
class ErasedEvents:
    """The number of events that an erasure has removed, and of calls with any that go on."""

    count: int
    under_way: int


class Erasing(Protocol):
    """The erasures of one destination."""

    def erasing(self, people: set[str]) -> AbstractContextManager[None]: ...

    def erase(self, people: set[str], deadline: float) -> set[int]: ...

    def in_flight(self, people: set[str]) -> int: ...

    def in_step(self) -> AbstractContextManager[None]: ...

    def on_erased(self, people: set[str], removed: Erased) -> set[int]: ...


class Workers(Protocol):
    """All workers of a flow."""

    def values(self) -> "ValuesView[Any]": ...


class Erasure:
    """Erases people, one erasure at a time."""

    def __init__(self, workers: Workers, consents: ConsentStore, spool: Spool) -> None:
        self._workers = workers
        self._consents = consents
        self._spool = spool
        self._lock = threading.Lock()
        self.thread = 0
        """The identifier of the thread that erases; 0: none."""
        self._threads: set[threading.Thread] = set()
        self._left = _LeftErasures(spool, self._adopt)
        self.look = self._left.look

    def finish(self) -> None:
        """Finish the erasures that ended processes have left pending."""
        self._adopt(notify=False)  # destinations remember nobody yet
        self._left.look()

    def stop(self) -> None:
        """Finish no more erasures of others."""
        self._left.stop()

    def erase(self, people: set[str]) -> ErasedEvents:
        """Erase these keys, and all others of the same people.

        Waits for calls under way. Raises SpoolError if the spool cannot erase: then nothing has
        changed, but for events that may have left the outbox; or if a copy of what was erased may
        be left in its log.
        """
        with self._named() as name:
            try:
                removed, under_way = self._erase(people, name)
            except BaseException:
                self._take_back(name)
                raise
        self._scrub(removed)
        return ErasedEvents(len(removed.seqs) + removed.posted, under_way)

    def _take_back(self, name: str) -> None:
        """Take an erasure back that has failed.

        If that fails as well, the erasure stays pending, and is tried again.
        """
        if self._spool.durable:
            with suppress(SpoolError):
                self._spool.cancel_erasure(name)

    @contextmanager
    def _named(self) -> Iterator[str]:
        """Yield the name of a new erasure, which ends with the block."""
        if not self._spool.durable:
            yield ""
            return
        name = self._spool.begin_erasure()
        try:
            yield name
        finally:
            self._spool.end_erasure(name)

    def _erase(self, people: set[str], name: str, *, notify: bool = True) -> tuple[Erased, int]:
        """Erase as `erase` does; return the erased events, and the number of calls under way."""
        deadline = time.monotonic() + IN_FLIGHT_WAIT
        with self._alone(), ExitStack() as erasing:
            # Twice: first the long wait, in which an event may name the people with further keys.
            # Then no more are learned, as events could come with a new one for ever.
            people = people | self._posted(people)[1]
            gone, _ = self._stop(self._consents.all_keys(people), name, deadline, erasing)
            keys = erasing.enter_context(self._consents.erasing(people))
            found, under_way = self._stop(keys, name, deadline, erasing)
            posted = self._remove_posted(keys)
            removed = evolve(self._remove(keys, gone | found), posted=posted)
            if notify:  # while no delivery to them begins
                person = _as_person(keys)
                for worker in self._workers.values():
                    worker.tell_erased(person)
        return removed, under_way

    def _posted(self, people: set[str]) -> tuple[list[int], set[str]]:
        """Return the rows of the outbox with events of people, and the keys that these add."""
        outbox = self._spool.outbox if self._spool.durable else None
        if outbox is None:
            return [], set()
        return rows_of_people(outbox.rows(), self._consents.all_keys(people), self._consents)

    def _remove_posted(self, keys: set[str]) -> int:
        """Remove the events of these keys from the outbox; return their number.

        Called before the rest is erased: who has such a row in hand is overtaken by that.
        """
        numbers, _ = self._posted(keys)
        if numbers and self._spool.durable and self._spool.outbox:
            self._spool.outbox.remove(numbers)
        return len(numbers)

    def _stop(
        self, keys: set[str], name: str, deadline: float, erasing: ExitStack
    ) -> tuple[set[int], int]:
        """Stop the deliveries to these keys, until `erasing` is closed; remove them from memory.

        Returns the numbers of the events, and the number of calls that are under way still.
        """
        for erasures in self._all():
            erasing.enter_context(erasures.erasing(keys))
        if self._spool.durable:  # from now on no process claims a call for them
            self._spool.schedule_erasure(keys, name)
        gone = set[int]().union(*[erasures.erase(keys, deadline) for erasures in self._all()])
        if self._spool.durable:
            return gone, wait_for_calls(self._spool, keys, deadline)
        return gone, sum(erasures.in_flight(keys) for erasures in self._all())

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._lock:
            self.thread = threading.get_ident()
            try:
                yield
            finally:
                self.thread = 0

    def _scrub(self, removed: Erased) -> None:
        """Leave no copy of the erased events in the log of the spool."""
        if not removed.scrubbed and self._spool.durable:
            until_scrubbed(self._spool, f"{counted(len(removed.seqs), 'event')} erased")

    def _all(self) -> Iterable[Erasing]:
        return [worker.pending.erasures for worker in self._workers.values()]

    def _remove(self, keys: set[str], gone: set[int]) -> Erased:
        """Remove everything of these keys in one step; return it, with the events gone before."""
        with ExitStack() as in_step:
            for erasures in self._all():
                in_step.enter_context(erasures.in_step())
            removed = self._consents.erase(keys)
            found = [erasures.on_erased(keys, removed) for erasures in self._all()]
        removed.seqs.update(gone, *found)
        return removed

    # --- on threads of their own -----------------------------------------------------------

    def begin(self, people: set[str]) -> None:
        """Erase these keys on a thread of its own.

        With a durable spool it happens even if the process ends before.
        """
        name = ""
        if self._spool.durable:
            name = self._spool.begin_erasure()
            self._spool.schedule_erasure(people, name)
        thread = threading.Thread(
            target=self._erase_aside, args=(people, name), name="walker-forget"
        )
        self._threads.add(thread)
        thread.start()

    def wait(self, deadline: float) -> None:
        """Wait for the pending erasures, until the monotonic `deadline` (s)."""
        for thread in list(self._threads):
            thread.join(max(0.1, deadline - time.monotonic()))

    def _erase_aside(self, people: set[str], name: str) -> None:
        try:
            removed, _ = self._erase(people, name)
            self._scrub(removed)
        except SpoolError as error:  # its keys are kept, unless it is closed and in memory
            logger.warning("erasure put off: %s", error)
        finally:
            self._threads.discard(threading.current_thread())
            if self._spool.durable:
                self._spool.end_erasure(name)

    def _adopt(self, *, notify: bool = True) -> None:
        """Finish the erasures of processes that have ended. Raises SpoolError."""
        if not self._spool.durable or not self._spool.pending_erasures():
            return
        with self._named() as name:
            if people := self._spool.adopt_erasures(name):
                self._scrub(self._erase(people, name, notify=notify)[0])
                logger.warning("an erasure was finished that another process had begun")


class _LeftErasures:
    """Looks after the erasures in a spool: those of processes that end have to be finished.

    `adopt` finishes those that have ended.
    """

    def __init__(self, spool: Spool, adopt: Callable[[], None]) -> None:
        self._spool = spool
        self._adopt = adopt
        self._seen = -1
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self._over = threading.Event()

    def look(self) -> None:
        """Look after the erasures in the spool on a thread, while there are any."""
        spool = self._spool
        if not spool.durable or spool.people_changes == self._seen:
            return
        with self._starting:
            self._seen = spool.people_changes  # first: an erasure that begins now is seen later
            if self._thread is None and not self._over.is_set() and spool.pending_erasures():
                self._thread = threading.Thread(
                    target=self._run, name="walker-erasures", daemon=True
                )
                self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(_LOOK):
            try:
                self._adopt()
                with self._starting:
                    if not self._is_needed():
                        self._thread = None
                        return
            except SpoolError as error:
                logger.debug("a pending erasure could not be finished: %s", error)

    def _is_needed(self) -> bool:
        return self._spool.durable and bool(self._spool.pending_erasures())

    def stop(self) -> None:
        """Look no more; wait for the erasure under way."""
        self._over.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(IN_FLIGHT_WAIT + _SCRUB_WAIT)


def until_scrubbed(spool: DurableSpool, done: str) -> None:
    """Empty the log of a spool once nobody reads it. Raises SpoolError, which says what is done."""
    deadline = time.monotonic() + _SCRUB_WAIT
    while not spool.scrub():
        if time.monotonic() >= deadline:
            raise SpoolError(
                f"{done}, but a copy may be left in the spool's log, which another program has "
                "been reading for too long; close that program, and erase again"
            )
        time.sleep(_SCRUB_POLL)


def _as_person(keys: Iterable[str]) -> Person:
    """Return the person with these keys, by one of each kind."""
    named: dict[str, str] = {}
    for key in sorted(keys):  # those that are known for sure come first
        kind, _, name = unclaimed(key).partition(":")
        named.setdefault(kind, name)
    return Person(**{kind: named.get(kind) for kind in KINDS})
