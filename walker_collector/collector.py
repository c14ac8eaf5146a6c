"""The collector: what an application holds in its hands."""

import itertools
import logging
import os
import random
import threading
import time
from _thread import get_ident
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from walker_collector import process
from walker_collector.closing import Closing
from walker_collector.config import Consent, FlowConfig
from walker_collector.consent import Ledger
from walker_collector.delivery import (
    DestinationStatus,
    DestinationWorker,
)
from walker_collector.delivery.destination import announce, build_destinations
from walker_collector.door import Door, inside, looking, reentrant
from walker_collector.errors import EventError, SpoolFull, WalkerError
from walker_collector.events import (
    Bounds,
    Defaults,
    complete,
    encode,
    hint_at_part,
    merge,
    plain_object,
)
from walker_collector.flowfile import load_flow
from walker_collector.hookspecs import Person
from walker_collector.identity import KINDS
from walker_collector.interrupts import uninterrupted, within_logging
from walker_collector.moments import now_ms
from walker_collector.naming import hint
from walker_collector.plugins import Registry
from walker_collector.results import PushResult, Status, Waiter, answered
from walker_collector.spool import (
    DeadLetter,
    PeopleUpdate,
    Record,
    Run,
    Spool,
    State,
)
from walker_collector.spool.memory import MemorySpool
from walker_collector.statements import (
    address,
    blamed,
    consent_change,
    is_command,
    plain_person,
    plain_statement,
    raw_event,
    readable,
    until_it_raises,
)

T = TypeVar("T")

_GROUP: Final = 500
_UNKNOWN_SHOWN: Final = 20
"""Keys of events that no event has, and that are told one by one."""
_FORGET_WAIT: Final = 30.0
_FOREVER: Final = 86_400.0 * 365
"""Seconds; locks take no times without end."""

_STATES: Final = {"accepted": State.WAITING, "held": State.HELD}

logger = logging.getLogger("walker_collector")


_ids: Final[list[str]] = []
"""Ready for use: to ask the system for each would hand the interpreter to a busy worker."""


def _new_id() -> str:
    while True:
        try:
            return _ids.pop()
        except IndexError:
            digits = os.urandom(8 * 256).hex()
            _ids.extend(digits[at : at + 16] for at in range(0, len(digits), 16))


class Collector:
    """Accepts events and delivers them to every destination of a flow.

    Thread-safe. Use it as a context manager, or call `close`; what is left open is closed when
    the interpreter exits. After a fork the child has workers (and a spool) of its own, and what
    the parent had accepted stays the parent's.

        with Collector.from_file("flow.json") as collector:
            collector.push("order complete", data={"total": 55}, user={"id": "u1"})
    """

    def __init__(
        self,
        flow: FlowConfig,
        registry: Registry | None = None,
        *,
        now: Callable[[], int] = now_ms,
        new_id: Callable[[], str] = _new_id,
        random_: Callable[[], float] = random.random,
    ) -> None:
        self.flow = flow
        self._registry = registry
        self._now = now
        self._new_id = new_id
        self._random = random_
        self._defaults = Defaults.of(flow.collector, new_id, on_unknown=self._note_unknown)
        self._unknown: set[Any] = set()
        self._bounds = Bounds(flow.collector.max_depth, flow.collector.max_bytes)
        self._door = Door()
        self._closings: dict[str, Closing] = {}
        """The one there is, if any: only a single operation of a mapping happens once, whoever
        interrupts it.
        """
        self._forked = False
        self._rebuilding = threading.Lock()
        self._open(self._open_spool())
        process.enter(self)
        for warning in flow.warnings:
            logger.warning("%s: %s", flow.source, warning)

    @classmethod
    def from_file(cls, path: str | Path, *, flow: str | None = None) -> Self:
        """Load a flow file (JSON or TOML) and start; raises ConfigError listing every problem."""
        registry = Registry().discover()
        return cls(load_flow(path, flow=flow, registry=registry), registry)

    @classmethod
    def from_config(
        cls,
        config: Mapping[str, Any],
        *,
        flow: str | None = None,
        registry: Registry | None = None,
    ) -> Self:
        """Start from a flow in memory, of the shape a flow file has; raises ConfigError."""
        registry = registry or Registry().discover()
        return cls(load_flow(config, flow=flow, registry=registry), registry)

    def _open_spool(self) -> Spool:
        config = self.flow.collector.spool
        if config is None:
            return MemorySpool()
        # Imported here: a collector in memory needs neither SQLite nor file locks.
        from walker_collector.spool.slots import open_own

        return open_own(config)

    def _open(self, spool: Spool) -> None:
        try:
            self._build(spool)
        except BaseException:
            spool.close()
            raise

    def _build(self, spool: Spool) -> None:
        self._spool = spool
        self._began = self._now()
        self._defaults.trace = os.urandom(16).hex()
        self._defaults.count = itertools.count(1).__next__
        self._accepted = 0
        self._erasures: set[threading.Thread] = set()
        self._erasing = threading.Lock()
        self._ledger = Ledger(
            self._spool, self.flow.collector.consent, self.flow.collector.people_max, self._now
        )
        self._workers = {
            destination.id: DestinationWorker(
                destination, self._spool, self._ledger, self._now, self._random
            )
            for destination in build_destinations(self.flow, self._registry, self)
        }
        for worker in self._workers.values():
            worker.require([self._workers[id_] for id_ in worker.destination.config.require])
        self._gates = [
            (worker, worker.destination)
            for worker in self._workers.values()
            if not worker.destination.config.disabled
        ]
        announce([worker.destination for worker in self._workers.values()], self._registry)
        self._report_orphans()
        if owed := self._spool.owed():
            self._erase(owed, tell=False)  # whoever begins remembers nobody
        for worker in self._workers.values():
            worker.start()

    def _report_orphans(self) -> None:
        for destination, counts in self._spool.counts().items():
            waiting = sum(counts.values())
            if destination not in self._workers and waiting:
                logger.warning(
                    "spool: %d event(s) are kept for destination %s, which the flow does not "
                    "have; add it again to deliver them, or drop them with `walker spool drop`",
                    waiting,
                    destination,
                )

    # --- accepting -------------------------------------------------------------------------

    def push(
        self,
        event: str | Mapping[str, Any],
        /,
        *,
        wait: bool = False,
        timeout: float | None = None,
        **parts: Any,
    ) -> PushResult:
        """Accept one event: a name with its parts, or one mapping with all of it.

        Returns as soon as the event is accepted (in the spool, where there is one); with
        `wait=True` when every destination has answered once, or after `timeout` s. Accepted
        means: delivered, held for consent, or found among the dead letters with a reason.
        Raises EventError for an event that is none, SpoolFull when there is no room within
        `collector.queueWait` ms, SpoolError when the spool cannot be written, CollectorClosed,
        and ReentrantCall within another call of the same thread (in a signal handler, say).
        """
        threads, me = self._door.inside, get_ident()
        if me in threads:
            raise reentrant("push")
        try:
            threads[me] = True
            result, waiter = self._push(event, parts, wait)
        finally:
            threads.pop(me, None)
        if waiter is None:
            return result
        waiter.wait(timeout, self.flow.collector.close_timeout / 1000)
        return answered(result, waiter)

    def _push(
        self, event: str | Mapping[str, Any], parts: dict[str, Any], wait: bool
    ) -> tuple[PushResult, Waiter | None]:
        """Accept an event; return what is known of it, and who gathers the answers to it."""
        raw = raw_event(event, parts)
        if is_command(raw):
            return self._command(raw), None
        self._ensure_open()
        version = self._ledger.version
        record, result = self._prepare(raw)
        if not record.states:
            self._accepted += 1
            return result, None
        waiter = Waiter(len(record.states)) if wait else None
        self._accept([record], version, waiter)
        return result, waiter

    @inside
    def push_many(self, events: Iterable[Mapping[str, Any]]) -> list[PushResult | WalkerError]:
        """Accept many events at once; an event that is refused does not stop the others.

        Returns for each its PushResult, or the error that `push` would have raised. Commands
        (`walker consent`, `walker user`, `walker globals`) take effect in their place.
        Where `events` raises half way, its error is the last of the results. Raises EventError for
        what is one event, or none at all.
        """
        if isinstance(events, Mapping | str | bytes) or not isinstance(events, Iterable):
            raise EventError(
                f"push_many: takes a list of events, not {type(events).__name__}; "
                "write push(event) for one, push_many([event]) for a list"
            )
        results: list[PushResult | WalkerError] = []
        group: dict[int, Record] = {}
        version = self._ledger.version
        for event in until_it_raises(events):
            try:
                raw = raw_event(event, {})
                if is_command(raw):
                    self._accept_group(group, version, results)
                    results.append(self._command(raw))
                    version = self._ledger.version
                    continue
                self._ensure_open()
                record, result = self._prepare(raw)
                if record.states:
                    group[len(results)] = record
                else:
                    self._accepted += 1
                results.append(result)
            except WalkerError as error:
                results.append(error)
            if len(group) >= _GROUP:
                self._accept_group(group, version, results)
                version = self._ledger.version
        self._accept_group(group, version, results)
        return results

    def _accept_group(
        self, group: dict[int, Record], version: int, results: list[PushResult | WalkerError]
    ) -> None:
        """Accept events by their place among the results, which learn of an error."""
        if not group:
            return
        try:
            self._accept(list(group.values()), version, None)
        except WalkerError as error:
            for at in group:
                results[at] = error
        group.clear()

    def _accept(self, records: Sequence[Record], version: int, waiter: Waiter | None) -> None:
        """Store events that were decided on since that version of the ledger."""
        self._store(records, waiter)
        self._accepted += len(records)
        self._catch_up(records, version)

    def _complete(self, raw: Mapping[str, Any], now: int) -> tuple[dict[str, Any], bytes]:
        event = complete(raw, now, (now - self._began) // 10 / 100, self._defaults)
        return event, encode(event, self._bounds)

    def _prepare(self, raw: Mapping[str, Any]) -> tuple[Record, PushResult]:
        """Return an event ready to be stored, and the first answer of each destination."""
        now = self._now()
        try:
            event, body = self._complete(raw, now)
        except Exception as error:
            raise blamed(error, lambda: self._complete(raw, now)) from None
        person, news = self._ledger.meet(event["user"])
        if news:
            self._release({person} if news == "said" else set())
        states, statuses = self._gate(event, body, person)
        if len(states) < len(statuses):
            self._count_unstored(event, statuses)
        return Record(person, now, body, states), PushResult(event["id"], statuses)

    def _note_unknown(self, key: Any) -> None:
        """Log a key that is no part of an event, once: it may be one that is misspelt."""
        if key not in self._unknown and len(self._unknown) < _UNKNOWN_SHOWN:
            self._unknown.add(key)
            shown = str(key)[:80]
            logger.warning(
                "%r is no part of an event and is left out%s", shown, hint_at_part(shown)
            )

    def _count_unstored(self, event: Mapping[str, Any], statuses: Mapping[str, str]) -> None:
        """Count the event at the destinations that it is not stored for."""
        for id_, status in statuses.items():
            if status == "ignored":
                self._workers[id_].count_ignored(event["id"], event["name"])
            elif status == "dropped":
                self._workers[id_].count_dropped()

    def _gate(
        self, event: Mapping[str, Any], body: bytes, person: str
    ) -> tuple[dict[str, State], dict[str, str]]:
        """Return the first state and the first answer of each destination: whether the event may
        wait for it, is held or ignored.
        """
        name, own = event["name"], event.get("consent") or {}
        states: dict[str, State] = {}
        statuses: dict[str, str] = {}
        consent: Mapping[str, Any] | None = None
        for worker, destination in self._gates:
            status = "accepted"
            if destination.ignoring is not None and destination.ignoring.by_name(name):
                status = "ignored"
            elif destination.requires_consent:
                if consent is None:
                    consent = self._ledger.decide(own, person)
                if not destination.admits(consent):
                    status = destination.status_when_denied(name, body)
            statuses[worker.id] = status
            if status in _STATES:
                states[worker.id] = _STATES[status]
        return states, statuses

    def _offer(self, runs: Sequence[Run], waiter: Waiter | None = None) -> None:
        for entries, states in runs:
            for id_, state in states.items():
                self._workers[id_].enqueue(entries, state, waiter)

    def _store(self, records: Sequence[Record], waiter: Waiter | None) -> None:
        offer = self._offer if waiter is None else partial(self._offer, waiter=waiter)
        if not self._spool.durable:
            self._wait_for_room(records, self._patience)
        try:
            self._spool.append(records, offer)
        except SpoolFull:
            self._with_patience(lambda: self._spool.append(records, offer))
        for worker, _ in self._gates:
            if worker.needs_maintenance:
                worker.maintain()

    def _with_patience(self, work: Callable[[], T]) -> T:
        """Do something as soon as there is room for it; raises SpoolFull after `queueWait`."""
        deadline = self._patience()
        while True:
            try:
                return work()
            except SpoolFull:
                if time.monotonic() >= deadline:
                    raise
            time.sleep(0.01)
            self._door.check()  # nobody waits for room while the collector closes

    def _patience(self) -> float:
        """Return until when a push may wait for room: monotonic, in s."""
        return time.monotonic() + self.flow.collector.queue_wait / 1000

    def _catch_up(self, records: Iterable[Record], version: int) -> None:
        """Release what was held by a decision that a grant has overtaken meanwhile."""
        if version == self._ledger.version:
            return
        people = {item.person for item in records if State.HELD in item.states.values()}
        if people:
            self._release(people)

    def _wait_for_room(self, records: Sequence[Record], until: Callable[[], float]) -> None:
        """Raise SpoolFull where memory has no room and gets none until the monotonic time."""
        limit = self.flow.collector.queue_max
        for worker, _ in self._gates:
            if worker.waiting + len(records) <= limit:
                continue
            count = sum(item.states.get(worker.id) is State.WAITING for item in records)
            if count and not worker.wait_for_room(count, limit, until(), lambda: self._door.closed):
                self._door.check()
                raise SpoolFull(
                    f"destination {worker.id}: {limit:,} events wait already (collector.queueMax) "
                    f"and none left within {self.flow.collector.queue_wait:,} ms "
                    "(collector.queueWait); the event was not accepted. Configure "
                    "collector.spool to let them wait on disk"
                )

    def _ensure_open(self) -> None:
        self._door.check()
        if self._forked:
            self._reopen()

    # --- state -----------------------------------------------------------------------------

    @inside
    def consent(self, update: Consent, user: Mapping[str, Any] | None = None) -> None:
        """Record a grant or withdrawal: of a person, or without `user` the process default.

        A person is addressed by `id`, `device` or `session`. What a grant allows is released in
        order, before that person's newer events; after a withdrawal nothing that still waits is
        sent to destinations that require it. Raises EventError for an update that is none, and as
        `push` does where it cannot be kept: then nothing has changed.
        """
        self._consent(update, user)

    def _consent(self, update: Any, user: Any) -> None:
        self._ensure_open()
        update, user = readable(lambda: plain_statement(update, user, self._bounds))

        def say() -> None:
            person = self._with_patience(lambda: self._state(update, user))
            self._release(None if person is None else {person})

        uninterrupted(say)  # a statement that is kept releases what it allows

    def _state(self, update: Consent, user: Mapping[str, Any] | None) -> str | None:
        """Record a statement, and queue it for the destinations that listen: both or neither.
        Return the person; None for the process default.
        """
        if user is None:
            self._ledger.set_default(
                update, lambda default: self._keep(None, update, default, {}, "")
            )
            return None
        person, _ = self._ledger.tell(
            update,
            user,
            lambda told, person, state: self._keep(
                told, update, state, address(user, person), person
            ),
        )
        return person

    def user(self, update: Mapping[str, Any]) -> None:
        """Merge into the user that every event of this process is completed with.

        Raises EventError for what is no object, or what JSON cannot hold.
        """
        update = readable(lambda: plain_object("user", update, self._bounds))
        self._defaults.user = merge(self._defaults.user, update)

    def globals(self, update: Mapping[str, Any]) -> None:
        """Merge into the globals that every event of this process is completed with.

        Raises EventError for what is no object, or what JSON cannot hold.
        """
        update = readable(lambda: plain_object("globals", update, self._bounds))
        self._defaults.globals = merge(self._defaults.globals, update)

    def _command(self, raw: Mapping[str, Any]) -> PushResult:
        data = raw.get("data")
        if not isinstance(data, Mapping):
            raise EventError(f"{raw['name']}: data must be an object")
        if raw["name"] == "walker consent":
            self._consent(data, raw.get("user"))
        elif raw["name"] == "walker user":
            self.user(data)
        else:
            self.globals(data)
        return PushResult("")

    def _release(self, people: set[str] | None) -> None:
        """Release what these people's (None: everybody's) consent allows, and that of those whom
        keys have turned out to be; all of it or nothing.
        """
        workers = [worker for worker, _ in self._gates if worker.concerns(people)]
        if workers:
            uninterrupted(lambda: [worker.release(people) for worker in workers])

    def _keep(
        self,
        told: PeopleUpdate | None,
        update: Consent,
        state: Consent,
        user: Mapping[str, Any],
        person: str,
    ) -> None:
        """Store a statement with the notice of it for the destinations that listen, which is in
        order with the person's events. Raises SpoolFull at once: others wait to say something.
        """
        states = {worker.id: State.WAITING for worker, dest in self._gates if dest.listens}
        if states:
            now = self._now()
            change = consent_change(update, state, user, id=self._new_id(), now=now)
            notice = [Record(person, now, encode(change, self._bounds), states)]
            if not self._spool.durable:
                self._wait_for_room(notice, time.monotonic)
            self._spool.append(notice, self._offer, told)
        elif told is not None:
            self._spool.learn(told)

    @inside
    def forget(self, user: Mapping[str, Any]) -> int:
        """Erase a person: every held, waiting and dead event of theirs and what they said of
        consent, from queues, ledger and spool, on disk too. Returns the number of events.

        Waits for what is under way to them. Raises EventError where `user` names nobody.
        """
        self._ensure_open()
        person = readable(lambda: plain_person("forget", user, self._bounds))
        people = self._ledger.known_as(person)
        return uninterrupted(lambda: self._erase(people))

    def forget_soon(self, user: Mapping[str, Any]) -> None:
        """Erase a person as `forget` does, once what is under way to them is done.

        For destinations, which cannot wait for their own delivery to end. With a durable spool
        it happens even if the process ends before.
        """
        people = self._ledger.known_as(user)
        self._spool.owe(people)
        erasure = threading.Thread(target=self._erase_aside, args=(people,), name="walker-forget")
        erasure.start()
        self._erasures.add(erasure)

    def _erase_aside(self, people: set[str]) -> None:
        try:
            self._erase(people)
        finally:
            self._erasures.discard(threading.current_thread())

    def _erase(self, people: set[str], *, tell: bool = True) -> int:
        deadline = time.monotonic() + _FORGET_WAIT
        gone: set[int] = set()
        removed: set[int] | None = None
        with self._erasing, ExitStack() as erasing:
            while removed is None:  # mostly once: other keys may turn out to be theirs meanwhile
                people = self._ledger.all_keys(people)
                for worker in self._workers.values():
                    erasing.enter_context(worker.erasing(people))
                for worker in self._workers.values():
                    gone |= worker.erase(people, deadline)
                removed = self._remove(people)
            if tell:  # while no delivery to them begins
                erased = _as_person(people)
                for worker, _ in self._gates:
                    worker.tell_erased(erased)
        return len(gone | removed)

    def _remove(self, people: set[str]) -> set[int] | None:
        """Remove what is kept of these keys, everywhere at once; return the events. None, with
        nothing done, where there are other keys of theirs by now.
        """
        with ExitStack() as recorded:
            for worker in self._workers.values():
                recorded.enter_context(worker.in_step())
            removed = self._ledger.erase(people)
            if removed is None:
                return None
            found = (worker.on_erased(people, removed) for worker in self._workers.values())
            return removed.seqs.union(*found)

    # --- figures ---------------------------------------------------------------------------

    @looking
    def status(self) -> Status:
        """Return how many events wait, are held, delivered or dead at each destination."""
        self._ensure_own()
        return Status(
            accepted=self._accepted,
            durable=self._spool.durable,
            stored=self._spool.size(),
            destinations={id_: worker.status() for id_, worker in self._workers.items()},
        )

    @looking
    def status_of(self, destination: str) -> DestinationStatus:
        """Return the figures of one destination; raises EventError where there is none such."""
        self._ensure_own()
        worker = self._workers.get(destination)
        if worker is None:
            raise EventError(
                f"status_of: there is no destination {destination}"
                f"{hint(str(destination), self._workers, 'there are')}"
            )
        return worker.status()

    @inside
    def dead(self, destination: str | None = None) -> list[DeadLetter]:
        """Return the dead letters, oldest first."""
        self._ensure_own()
        return self._spool.dead(destination)

    @inside
    def replay(
        self,
        letters: Iterable[DeadLetter],
        without: Collection[str] = (),
        *,
        without_messages: bool = False,
    ) -> int:
        """Deliver dead letters again, under their event ids; returns how many.

        What is done of them is left out, and so are the parts named in `without` and, where asked
        for, all messages to people. Every other part is tried again, also one that was begun and
        may have happened. Raises EventError for a part that none of the letters can have.
        """
        self._ensure_open()
        found = _by_destination(letters)
        workers = {id_: self._workers[id_] for id_ in found if id_ in self._workers}
        _check_parts(without, found, workers.values())
        return uninterrupted(
            lambda: sum(
                worker.replay(
                    found[id_], {*without, *(worker.message_parts if without_messages else ())}
                )
                for id_, worker in workers.items()
            )
        )

    @inside
    def bury(self, letters: Iterable[DeadLetter]) -> int:
        """Remove dead letters for good; returns how many."""
        self._ensure_own()
        by_destination = _by_destination(letters)
        return uninterrupted(lambda: self._bury(by_destination))

    def _bury(self, by_destination: Mapping[str, list[DeadLetter]]) -> int:
        buried = 0
        for id_, found in by_destination.items():
            count = self._spool.bury(found)
            buried += count
            if id_ in self._workers:
                self._workers[id_].count_deleted(count)
        return buried

    # --- end -------------------------------------------------------------------------------

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until every destination has what waits for it; False where `timeout` s did not
        suffice, or something that waits cannot go before then. Held events do not count.

        In a signal handler that has interrupted another call of the collector, False at once.
        """
        threads, me = self._door.inside, get_ident()
        if self._forked:
            return True  # what waits is the parent's
        if me in threads or within_logging():
            return False  # it would wait for what its own thread may hold
        deadline = time.monotonic() + (_FOREVER if timeout is None else min(timeout, _FOREVER))
        try:
            threads[me] = False
            return self._flush(deadline, lambda: me in self._door.leaving)
        finally:
            threads.pop(me, None)

    def _flush(self, deadline: float, given_up: Callable[[], bool]) -> bool:
        # A list, so that every worker is told to hurry, also behind one that can't.
        done = [worker.flush(deadline, given_up) for worker in self._workers.values()]
        return all(done)

    def close(self, timeout: float | None = None) -> bool:
        """Deliver what can be delivered within `timeout` s (default `collector.closeTimeout`),
        then stop. True where nothing is left. What is left stays in a durable spool; in memory
        it is lost, and reported.

        May be called at any time, from any thread and by signal handlers. One closing is all there
        is: whoever calls meanwhile waits for it, and has the same answer. A signal handler that
        has interrupted a call of this collector, or of the logging module, can't wait: it gets
        False at once; the collector closes as soon as that call has ended, and the exit of the
        process waits for it.
        """
        self._door.closed = True
        if self._forked and not self._door.inside:
            process.leave(self)
            return True  # what waits is the parent's
        if timeout is None:
            timeout = self.flow.collector.close_timeout / 1000
        deadline = time.monotonic() + min(timeout, _FOREVER)
        closing = self._closings.setdefault("one", Closing(self._end, deadline))
        waits = not self._cannot_wait()
        closing.begin(here=waits)
        if not waits and not closing.over:
            return False
        return closing.wait()

    def _cannot_wait(self) -> bool:
        """Whether closing would wait for what the calling thread has to do, or may hold."""
        me = get_ident()
        if me in self._door.inside:
            self._door.leaving.add(me)
            for worker in self._workers.values():
                worker.wake_waiting()
            return True
        return within_logging() or any(worker.is_worker(me) for worker in self._workers.values())

    def _end(self, closing: Closing) -> bool:
        """Close, on a thread that no signal handler interrupts; return whether nothing is left."""
        self._door.wait_until_empty(closing.expired)
        try:
            if self._forked:
                return True
            self._flush(closing.deadline, closing.expired)
            return self._stop(closing) == 0
        finally:
            process.leave(self)

    def _stop(self, closing: Closing) -> int:
        try:
            for erasure in list(self._erasures):
                erasure.join(max(0.1, closing.deadline - time.monotonic()))
            for worker in self._workers.values():
                worker.stop(closing.expired)
            return self._report_left()
        finally:
            self._spool.close()

    def _report_left(self) -> int:
        left = 0
        for worker in self._workers.values():
            status = worker.status()
            left += status.waiting + status.unrecorded
            lost = status.waiting + status.held
            if lost and not self._spool.durable:
                logger.error(
                    "destination %s: closed with %d event(s) undelivered and %d held for consent; "
                    "they are lost, since no spool is configured (collector.spool)%s",
                    worker.id,
                    status.waiting,
                    status.held,
                    _because(status.reason),
                )
            elif status.waiting:
                logger.warning(
                    "destination %s: closed with %d event(s) waiting in the spool%s",
                    worker.id,
                    status.waiting,
                    _because(status.reason),
                )
            if status.unrecorded:
                logger.error(
                    "destination %s: closed with %d event(s) done, of which the spool could not be "
                    "told; the next start delivers them again",
                    worker.id,
                    status.unrecorded,
                )
        return left

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # --- fork ------------------------------------------------------------------------------

    def before_fork(self) -> None:
        """Let no thread be inside SQLite, whose locks a child would inherit, held by nobody."""
        if not self._forked and get_ident() not in self._door.inside:
            self._spool.pause()

    def after_fork_in_parent(self) -> None:
        """Let threads in again."""
        if not self._forked:
            self._spool.resume()

    def after_fork_in_child(self) -> None:
        """Leave everything to the parent; the child opens its own when it first needs it."""
        self._forked = True
        self._rebuilding = threading.Lock()
        self._closings = {}
        self._door.after_fork()
        if self._spool.durable:
            self._spool.abandon()

    def _ensure_own(self) -> None:
        """In a forked child, look at what is the child's."""
        if self._forked:
            self._reopen()

    def _reopen(self) -> None:
        with self._rebuilding:
            if not self._forked:
                return
            config = self.flow.collector.spool
            if config is None:
                spool: Spool = MemorySpool()
            else:
                from walker_collector.spool.slots import open_free_slot

                spool = open_free_slot(config)
            self._open(spool)
            self._forked = False


def _as_person(keys: Iterable[str]) -> Person:
    """Return the person of these keys, by one of each kind."""
    named: dict[str, str] = {}
    for key in sorted(keys):
        kind, _, name = key.partition(":")
        named.setdefault(kind, name)
    return Person(**{kind: named.get(kind) for kind in KINDS})


def _because(reason: str) -> str:
    return f": {reason}" if reason else ""


def _by_destination(letters: Iterable[DeadLetter]) -> dict[str, list[DeadLetter]]:
    found: dict[str, list[DeadLetter]] = {}
    for letter in letters:
        found.setdefault(letter.destination, []).append(letter)
    return found


def _check_parts(
    without: Collection[str],
    letters: Mapping[str, list[DeadLetter]],
    workers: Iterable[DestinationWorker],
) -> None:
    """Raise EventError for a part that no letter has and no destination declares."""
    known = {part for found in letters.values() for letter in found for part in letter.parts}
    known |= {part for worker in workers for part in worker.message_parts}
    for part in without:
        if part not in known:
            there_are = hint(part, known, "there are") if known else "; these have no parts"
            raise EventError(f"replay: there is no part {part} to leave out{there_are}")


if hasattr(os, "register_at_fork"):  # a child makes ids of its own
    os.register_at_fork(after_in_child=_ids.clear)
