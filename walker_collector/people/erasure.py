"""The erasure of people: from memory, identities, consent and spool, at once."""

import threading
import time
from collections.abc import Iterable, Iterator, ValuesView
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, Final, Protocol

from walker_collector.errors import SpoolError
from walker_collector.hookspecs import Person
from walker_collector.people.consent import ConsentStore
from walker_collector.people.identity import KINDS
from walker_collector.spool import Erased, Spool
from walker_collector.text import get_logger

logger = get_logger("walker_collector")

_CALL_POLL: Final = 0.005
"""Seconds between looks at the calls of other processes."""
IN_FLIGHT_WAIT: Final = 30.0
"""How long (s) an erasure waits for deliveries in flight."""


class Erasing(Protocol):
    """The erasures of one destination."""

    def erasing(self, people: set[str]) -> AbstractContextManager[None]: ...

    def erase(self, people: set[str], deadline: float) -> set[int]: ...

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

    def finish(self) -> None:
        """Finish the erasures that an earlier process has left pending."""
        if self._spool.durable and (pending := self._spool.pending_erasures()):
            self.erase(pending, notify=False)  # destinations remember nobody yet

    def erase(self, people: set[str], *, notify: bool = True) -> int:
        """Erase these keys, and all others of the same people.

        Waits for deliveries in flight to them. Returns the number of events removed.
        """
        deadline = time.monotonic() + IN_FLIGHT_WAIT
        with self._alone(), ExitStack() as erasing:
            # Twice: first the long wait, in which an event may name the people with further keys.
            # Then no more are learned, as events could come with a new one for ever.
            gone = self._stop(self._consents.all_keys(people), deadline, erasing)
            keys = erasing.enter_context(self._consents.erasing(people))
            gone |= self._stop(keys, deadline, erasing)
            gone |= self._remove(keys)
            if notify:  # while no delivery to them begins
                person = _as_person(keys)
                for worker in self._workers.values():
                    worker.tell_erased(person)
        return len(gone)

    def _stop(self, keys: set[str], deadline: float, erasing: ExitStack) -> set[int]:
        """Stop the deliveries to these keys, until `erasing` is closed; remove them from memory."""
        for erasures in self._all():
            erasing.enter_context(erasures.erasing(keys))
        if self._spool.durable:  # from now on no process claims a call for them
            self._spool.schedule_erasure(keys)
        gone = set[int]().union(*[erasures.erase(keys, deadline) for erasures in self._all()])
        self._wait_for_calls(keys, deadline)
        return gone

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._lock:
            self.thread = threading.get_ident()
            try:
                yield
            finally:
                self.thread = 0

    def _wait_for_calls(self, people: set[str], deadline: float) -> None:
        """Wait for calls with events of these people in any process."""
        if not self._spool.durable:
            return
        calls = self._spool.calls_of(people)
        while calls and time.monotonic() < deadline:
            time.sleep(_CALL_POLL)
            calls &= self._spool.calls_of(people)

    def begin(self, people: set[str]) -> None:
        """Erase these keys on a thread of its own.

        With a durable spool it happens even if the process ends before.
        """
        if self._spool.durable:
            self._spool.schedule_erasure(people)
        thread = threading.Thread(target=self._erase_aside, args=(people,), name="walker-forget")
        self._threads.add(thread)
        thread.start()

    def wait(self, deadline: float) -> None:
        """Wait for the pending erasures, until the monotonic `deadline` (s)."""
        for thread in list(self._threads):
            thread.join(max(0.1, deadline - time.monotonic()))

    def _erase_aside(self, people: set[str]) -> None:
        try:
            self.erase(people)
        except SpoolError as error:  # its keys are kept, unless it is closed and in memory
            logger.warning("erasure put off until the next start: %s", error)
        finally:
            self._threads.discard(threading.current_thread())

    def _all(self) -> Iterable[Erasing]:
        return [worker.pending.erasures for worker in self._workers.values()]

    def _remove(self, keys: set[str]) -> set[int]:
        """Remove everything of these keys in one step; return the numbers of the events."""
        with ExitStack() as in_step:
            for erasures in self._all():
                in_step.enter_context(erasures.in_step())
            removed = self._consents.erase(keys)
            found = (erasures.on_erased(keys, removed) for erasures in self._all())
            return removed.seqs.union(*found)


def _as_person(keys: Iterable[str]) -> Person:
    """Return the person with these keys, by one of each kind."""
    named: dict[str, str] = {}
    for key in sorted(keys):
        kind, _, name = key.partition(":")
        named.setdefault(kind, name)
    return Person(**{kind: named.get(kind) for kind in KINDS})
