"""The collector: what an application holds in its hands."""

import logging
import os
import random
import threading
import time
from _thread import get_ident
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from walker_collector import process
from walker_collector.closing import Closing
from walker_collector.config import Consent, FlowConfig
from walker_collector.delivery import (
    DestinationStatus,
    DestinationWorker,
)
from walker_collector.errors import EventError, WalkerError
from walker_collector.events import (
    Bounds,
    Defaults,
)
from walker_collector.flow import load_flow
from walker_collector.intake.accept import UnknownKeys
from walker_collector.intake.commands import is_command, plain_person
from walker_collector.intake.in_flight import Door, inside, looking, reentrant
from walker_collector.intake.reading import raw_event, readable, until_it_raises
from walker_collector.interrupts import process_is_ending, uninterrupted, within_logging
from walker_collector.moments import now_ms
from walker_collector.naming import hint
from walker_collector.plugins import Registry
from walker_collector.results import PushResult, Status, Waiter, answered
from walker_collector.runtime import Runtime, open_spool
from walker_collector.spool import (
    DeadLetter,
    Spool,
)

T = TypeVar("T")

_GROUP: Final = 500
"""Events of a `push_many` that are stored with one commit."""
_FOREVER: Final = 86_400.0 * 365
"""Seconds; locks take no times without end."""

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
        self._random = random_
        self._defaults = Defaults.of(flow.collector, new_id, on_unknown=UnknownKeys())
        self._bounds = Bounds(flow.collector.max_depth, flow.collector.max_bytes)
        self._door = Door()
        self._closings: dict[str, Closing] = {}
        """The one there is, if any: only a single operation of a mapping happens once, whoever
        interrupts it.
        """
        self._forked = False
        self._rebuilding = threading.Lock()
        self._open(open_spool(flow.collector))
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

    def _open(self, spool: Spool) -> None:
        try:
            self._runtime = runtime = Runtime(
                self.flow,
                spool,
                self._registry,
                self,
                self._defaults,
                self._door,
                self._now,
                self._random,
            )
            self._spool = spool
            self._consents = runtime.consents
            self._workers = runtime.workers
            self._intake = runtime.intake
            runtime.start()
        except BaseException:
            spool.close()
            raise

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
        waiter.wait(timeout, self._close_timeout())
        return answered(result, waiter)

    def _push(
        self, event: str | Mapping[str, Any], parts: dict[str, Any], wait: bool
    ) -> tuple[PushResult, Waiter | None]:
        """Accept an event; return what is known of it, and who gathers the answers to it."""
        raw = raw_event(event, parts)
        if is_command(raw):
            return self._command(raw), None
        self._ensure_open()
        return self._intake.accept(raw, wait=wait)

    def _command(self, raw: Mapping[str, Any]) -> PushResult:
        self._ensure_open()
        return self._runtime.commands.run(raw)

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
        if not self._door.closed:
            self._ensure_own()
        group = self._intake.group()
        for event in until_it_raises(events):
            try:
                self._ensure_open()
                raw = raw_event(event, {})
                if is_command(raw):
                    group.store()
                    group.results.append(self._command(raw))
                else:
                    group.add(raw)
            except WalkerError as error:
                group.results.append(error)
            if len(group) >= _GROUP:
                group.store()
        group.store()
        return group.results

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
        self._ensure_open()
        self._runtime.commands.consent(update, user)

    def user(self, update: Mapping[str, Any]) -> None:
        """Merge into the user that every event of this process is completed with.

        Raises EventError for what is no object, or what JSON cannot hold.
        """
        self._runtime.commands.user(update)

    def globals(self, update: Mapping[str, Any]) -> None:
        """Merge into the globals that every event of this process is completed with.

        Raises EventError for what is no object, or what JSON cannot hold.
        """
        self._runtime.commands.globals(update)

    @inside
    def forget(self, user: Mapping[str, Any]) -> int:
        """Erase a person: every held, waiting and dead event of theirs and what they said of
        consent, from queues, consents and spool, on disk too. Returns the number of events.

        Waits for what is under way to them. Raises EventError where `user` names nobody.
        """
        self._ensure_open()
        person = readable(lambda: plain_person("forget", user, self._bounds))
        people = self._consents.keys_of(person)
        return uninterrupted(lambda: self._runtime.erasure.erase(people))

    def forget_soon(self, user: Mapping[str, Any]) -> None:
        """Erase a person as `forget` does, once what is under way to them is done.

        For destinations, which cannot wait for their own delivery to end. With a durable spool
        it happens even if the process ends before.
        """
        self._runtime.erasure.begin(self._consents.keys_of(user))

    # --- figures ---------------------------------------------------------------------------

    @looking
    def status(self) -> Status:
        """Return how many events wait, are held, delivered or dead at each destination."""
        self._ensure_own()
        return Status(
            accepted=self._intake.accepted,
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
        _check_parts(without, found, self._workers.values())
        return uninterrupted(
            lambda: self._workers.replay(found, without, without_messages=without_messages)
        )

    @inside
    def bury(self, letters: Iterable[DeadLetter]) -> int:
        """Remove dead letters for good; returns how many."""
        self._ensure_own()
        found = _by_destination(letters)
        return uninterrupted(lambda: self._workers.delete_dead(found))

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
        leaving = self._door.leaving
        leaving.discard(me)
        try:
            threads[me] = False
            if self._workers.flush(deadline, lambda: me in leaving or process_is_ending()):
                return True
            # The interpreter waits for this thread: no longer than for a collector that closes.
            deadline = min(deadline, time.monotonic() + self._close_timeout())
            return self._workers.flush(deadline, lambda: me in leaving or not process_is_ending())
        finally:
            threads.pop(me, None)

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
        deadline = time.monotonic() + min(
            self._close_timeout() if timeout is None else timeout, _FOREVER
        )
        closing = self._closings.setdefault("one", Closing(self._end, deadline))
        waits = not self._cannot_wait()
        closing.begin(here=waits)
        if not waits and not closing.over:
            return False
        return closing.wait()

    def _close_timeout(self) -> float:
        """Return how long (s) closing waits for deliveries."""
        return self.flow.collector.close_timeout / 1000

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
            self._workers.flush(closing.deadline, closing.expired)
            return self._stop(closing) == 0
        finally:
            process.leave(self)

    def _stop(self, closing: Closing) -> int:
        try:
            self._runtime.erasure.wait(closing.deadline)
            return self._workers.stop(closing.expired)
        finally:
            self._spool.close()

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
        if self._spool.durable and not self._forked and get_ident() not in self._door.inside:
            self._spool.pause()

    def after_fork_in_parent(self) -> None:
        """Let threads in again."""
        if not self._forked and self._spool.durable:
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
            self._open(open_spool(self.flow.collector, forked=True))
            self._forked = False


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
