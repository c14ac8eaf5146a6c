"""The collector: the facade that an application uses.

The parts that do the work are imported when a collector is made: a program, or a command of it,
that makes none starts quickly.
"""

import random
from _thread import get_ident
from collections.abc import Callable, Collection, Iterable, Mapping
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Never, Self, Unpack

from walker_collector.async_calls import AsyncCalls
from walker_collector.config import Consent, FlowConfig
from walker_collector.delivery.status import DestinationStatus
from walker_collector.errors import ConfigError, EventError, WalkerError
from walker_collector.events import Defaults, EventParts, EventUser, new_id, plain_object
from walker_collector.intake.in_flight import InFlight, inside, looking, reentrant
from walker_collector.intake.reading import check_events, check_statement, raw_event, readable
from walker_collector.intake.unknown_keys import UnknownKeys
from walker_collector.interrupts import uninterrupted
from walker_collector.lifecycle import Lifecycle, check_timeout, check_wait
from walker_collector.moments import now_ms
from walker_collector.naming import hint
from walker_collector.results import PushResult, Status, answered
from walker_collector.text import counted, get_logger, storable
from walker_collector.usage import MISSING, answering_wrong_calls

if TYPE_CHECKING:
    from walker_collector.hookspecs import Received
    from walker_collector.plugins import Registry
    from walker_collector.runtime import Runtime
    from walker_collector.spool import DeadLetter

logger = get_logger("walker_collector")


@answering_wrong_calls
class Collector(AsyncCalls):
    """Accepts events and delivers them to every destination of a flow.

    Thread-safe. Use it as a context manager, or call `close`; a collector left open is closed when
    the interpreter exits. A forked child has workers of its own. With a spool, all processes of a
    machine are one collector; in memory, each has its own events, consent and identities.

        with Collector.from_file("flow.json") as collector:
            collector.push("order complete", data={"total": 55}, user={"id": "u1"})
    """

    def __init__(
        self,
        flow: FlowConfig,
        registry: "Registry | None" = None,
        *,
        now: Callable[[], int] = now_ms,
        new_id: Callable[[], str] = new_id,
        random_: Callable[[], float] = random.random,
    ) -> None:
        if not isinstance(flow, FlowConfig):
            raise _no_flow("Collector: takes a flow that was loaded", flow)
        from walker_collector.intake.origin import origins_of
        from walker_collector.runtime import Runtime, log_warnings, open_spool

        config = flow.collector
        unknown = UnknownKeys()
        defaults = Defaults.of(
            config, new_id, on_unknown=unknown.of_event, on_misnamed=unknown.of_user
        )

        def build() -> "Runtime":
            spool = open_spool(config)
            return Runtime(flow, spool, registry, self, defaults, self._in_flight, now, random_)

        self._import_calls()
        self.flow = flow
        self._new_id = new_id
        self._origins = origins_of(flow)
        self._in_flight = InFlight()
        self._life = Lifecycle(build, self._in_flight, config.close_timeout / 1000)
        self._queue_wait = config.queue_wait / 1000
        self._life.start()
        log_warnings(flow)

    @classmethod
    def from_file(
        cls,
        path: str | Path,
        *,
        flow: str | None = None,
        functions: Iterable[str] | None = None,
    ) -> Self:
        """Load a flow file (JSON or TOML) and start; raises ConfigError listing every problem.

        A flow file is trusted like code, unless `functions` lists the modules whose callables it
        may name (`fn`, `condition`, `validate`), with their submodules: `["myapp.mappings"]`.
        """
        if not isinstance(path, str | PathLike | Mapping):
            raise _no_flow("Collector.from_file: takes a path", path)
        from walker_collector.flow import load_flow
        from walker_collector.plugins import Registry

        registry = Registry().discover()
        return cls(load_flow(path, flow=flow, registry=registry, functions=functions), registry)

    @classmethod
    def from_config(
        cls,
        config: Mapping[str, Any],
        *,
        flow: str | None = None,
        registry: "Registry | None" = None,
    ) -> Self:
        """Start from a flow in memory, in the shape of a flow file; raises ConfigError."""
        if not isinstance(config, str | PathLike | Mapping):
            raise _no_flow("Collector.from_config: takes a mapping", config)
        from walker_collector.flow import load_flow
        from walker_collector.plugins import Registry

        registry = registry or Registry().discover()
        return cls(load_flow(config, flow=flow, registry=registry), registry)

    # --- accepting -------------------------------------------------------------------------

    def push(
        self,
        event: str | Mapping[str, Any],
        /,
        *more: Never,
        wait: bool = False,
        timeout: float | None = None,
        connection: Any = None,
        **parts: Unpack[EventParts],
    ) -> PushResult:
        """Accept one event: a name with its parts, or one mapping with all of it.

        Returns as soon as the event is accepted (in the spool, if there is one); with `wait=True`
        when every destination has answered once, or after `timeout` s. Accepted means: delivered,
        held for consent, or found among the dead letters with a reason.

        `connection`: of the application, to the database of the spool (`collector.spool.url`): a
        psycopg, Django or SQLAlchemy connection. The event is accepted if its transaction commits,
        and only then; the result has its id alone.
        Raises EventError for an invalid event, SpoolFull if there is no room within
        `collector.queueWait` ms, SpoolError if the spool cannot be written, CollectorClosed,
        and ReentrantCall within another call of the same thread (in a signal handler, say), or
        with `wait` within a hook.
        """
        life, threads, me = self._life, self._in_flight.inside, get_ident()
        if me in threads:
            raise reentrant("push")
        if wait:
            check_wait("push", wait, timeout)
            life.check_may_wait("push(wait=True)")
        elif timeout is not None:
            check_timeout("push", timeout)
        try:
            threads[me] = True
            if self._in_flight.closed or life.forked:
                life.runtime_if_open()
            if parts or more or type(event) is not dict:
                event = raw_event(event, parts, more)
            if connection is not None:
                return self._post(connection, event, wait=wait)
            result, waiter = life.runtime.intake.accept(event, wait=wait)
        finally:
            threads.pop(me, None)
        if waiter is None:
            return result
        waiter.wait(timeout, life.close_timeout)
        return answered(result, waiter.answers)

    def _post(self, connection: Any, event: Mapping[str, Any], *, wait: bool) -> PushResult:
        if wait:
            raise EventError(
                "push: nobody can wait for an event before its transaction commits; leave out "
                "wait, or connection"
            )
        runtime = self._life.runtime
        return runtime.post(connection, event, self._new_id)

    @inside
    def push_many(
        self, events: Iterable[Mapping[str, Any] | bytes]
    ) -> list[PushResult | WalkerError]:
        """Accept many events at once; an event that is refused does not stop the others.

        Each is a mapping, or the JSON of one as bytes: that is quicker, as only the parts that
        somebody looks at are read.
        Returns for each its PushResult, or the error that `push` would have raised. Commands
        (`walker consent`, `walker user`, `walker globals`) take effect in their place.
        If `events` raises half way, its error is the last of the results. Where there is no room
        within `collector.queueWait` ms, the rest is tried without waiting. Raises EventError for
        anything but an iterable of events.
        """
        check_events("push_many", events)
        runtime = self._life.runtime if self._in_flight.closed else self._life.own_runtime()
        return runtime.intake.accept_many(events, self._in_flight.check_open)

    @inside
    def push_from(
        self, source: str | None, events: "Iterable[Mapping[str, Any] | Received]"
    ) -> list[PushResult | WalkerError]:
        """Accept events of a source of the flow, as `push_many` does, after the source's steps.

        These are its transformers, policy, rules and consent. An event that they leave out has the
        status "ignored", or for lack of consent "dropped", at every destination. Commands pass
        them. `source` None: one that is not in the flow, without steps.

        An event whose id came in the last day (`collector.recent`) is answered as the first time,
        and not delivered again. One at an impossible time gets the time of its receipt, and keeps
        its own in `custom.timestamp`. Raises EventError for a source that the flow does not have.
        """
        if source not in self._origins:
            shown = storable(source, 80)
            there_are = hint(shown, self.flow.sources, "there are")
            raise EventError(f"push_from: there is no source {shown}{there_are}")
        runtime = self._life.runtime if self._in_flight.closed else self._life.own_runtime()
        return runtime.intake.accept_many(events, self._in_flight.check_open, self._origins[source])

    # --- people ----------------------------------------------------------------------------

    @inside
    def consent(self, update: Consent, user: EventUser | Mapping[str, Any] = MISSING) -> int:
        """Record a grant or withdrawal of a person; without `user`, the default for everybody.

        With a spool the default is one for all processes that use it, and outlives them. A person
        is addressed by `id`, `device` or `session`. Events that a grant admits are released in
        order, before that person's newer events; after a withdrawal no waiting event is sent to
        destinations that require it, by any process that uses the spool. A withdrawal waits up to a
        second for calls under way with the person's events; returns the number of those that are
        left. Raises EventError for an invalid update, and as `push` does if it cannot be stored:
        then nothing has changed.
        """
        check_statement("consent", update, user)
        person = None if user is MISSING else user
        return self._life.runtime_if_open().intake.commands.consent(update, person)

    def user(self, update: Mapping[str, Any]) -> None:
        """Merge into the user that every event of this process is completed with.

        Raises EventError for anything but an object that JSON can hold.
        """
        self._life.runtime.intake.commands.user(update)

    def globals(self, update: Mapping[str, Any]) -> None:
        """Merge into the globals that every event of this process is completed with.

        Raises EventError for anything but an object that JSON can hold.
        """
        self._life.runtime.intake.commands.globals(update)

    @inside
    def forget(self, user: EventUser | Mapping[str, Any]) -> int:
        """Erase a person: their held, waiting and dead events, and their statements of consent.

        They leave queues, memory and spool, on disk too, whichever process has accepted them. Waits
        up to a second for calls under way with these events, and logs the number of those that go
        on; afterwards no process begins one. Returns the number of events. Raises EventError if
        `user` has no identifier, SpoolError if the spool cannot erase, and ReentrantCall within a
        hook, which calls `context.forget`.
        """
        runtime = self._life.runtime_if_open()
        self._life.check_may_wait("forget")
        person = readable(lambda: runtime.intake.commands.person("forget", user))
        erased = uninterrupted(lambda: runtime.erasure.erase(runtime.consents.keys_of(person)))
        if erased.under_way:
            logger.warning(
                "forget: %s with the person's events still under way, which may deliver "
                "them; none of them is tried again",
                counted(erased.under_way, "call"),
            )
        return erased.count

    def forget_soon(self, user: Mapping[str, Any]) -> None:
        """Erase a person as `forget` does, after the deliveries in flight to them have ended.

        For destinations, which cannot wait for their own delivery to end. With a durable spool
        it happens even if the process ends before.
        """
        runtime = self._life.runtime
        person = readable(lambda: plain_object("user", user, runtime.bounds))
        runtime.erasure.begin(runtime.consents.keys_of(person))

    # --- figures ---------------------------------------------------------------------------

    @looking
    def status(self) -> Status:
        """Return the number of events accepted, and the figures of each destination."""
        runtime = self._life.own_runtime()
        spool = runtime.spool
        posted, posted_age = runtime.posted()
        return Status(
            accepted=runtime.intake.accepted,
            repeated=runtime.intake.repeated,
            corrected=runtime.intake.corrected,
            durable=spool.durable,
            stored=spool.size(),
            destinations={id_: worker.status() for id_, worker in runtime.workers.items()},
            full=runtime.sink.is_full,
            closed=self._in_flight.closed,
            trouble=spool.trouble if spool.durable else "",
            posted=posted,
            posted_age=posted_age,
        )

    @looking
    def status_of(self, destination: str) -> DestinationStatus:
        """Return the figures of one destination; raises EventError for an unknown one."""
        workers = self._life.own_runtime().workers
        worker = workers.get(destination) if isinstance(destination, str) else None
        if worker is None:
            shown = storable(destination, 80)
            raise EventError(
                f"status_of: there is no destination {shown}{hint(shown, workers, 'there are')}"
            )
        return worker.status()

    # --- dead letters ----------------------------------------------------------------------

    @inside
    def dead(self, destination: str | None = None, *, own: bool = False) -> "list[DeadLetter]":
        """Return the dead letters, oldest first.

        own: only those of events that this process has accepted, whichever process tried them.
        """
        runtime = self._life.own_runtime()
        letters = runtime.spool.dead(destination)
        return [item for item in letters if runtime.workers.is_own(item)] if own else letters

    @inside
    def replay(
        self,
        letters: "Iterable[DeadLetter]",
        without: Collection[str] = (),
        *,
        without_messages: bool = False,
    ) -> int:
        """Deliver dead letters again, under their event ids; return their count.

        Parts that were delivered are left out, and so are the parts named in `without` and, with
        `without_messages`, all messages to people. Every other part is tried again, also one that
        was begun and may have happened. Raises EventError for a part that no letter can have.
        """
        runtime = self._life.runtime_if_open()
        return runtime.replay(letters, without, without_messages=without_messages)

    @inside
    def bury(self, letters: "Iterable[DeadLetter]") -> int:
        """Delete dead letters for good; return their count."""
        return self._life.own_runtime().delete_dead(letters)

    # --- end -------------------------------------------------------------------------------

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until no events wait at any destination. Held events do not count.

        Of several processes with one spool, each waits for the events that it has accepted,
        whichever of them delivers these. Returns False after `timeout` s, or earlier if a waiting
        event cannot go before then. Within a hook, or in a signal handler that has interrupted
        another call of the collector, False at once.
        """
        return self._life.flush(timeout)

    def close(self, timeout: float | None = None) -> bool:
        """Deliver waiting events for up to `timeout` s (default `collector.closeTimeout`), then
        stop. Returns True if nothing is left. Events that are left stay in a durable spool; in
        memory they are lost, and reported.

        May be called at any time, from any thread and by signal handlers. There is one closing:
        later callers wait for it, and get the same answer. A signal handler that has interrupted a
        call of this collector, or of the logging module, cannot wait: it gets False at once; the
        collector closes as soon as that call has ended, and the exit of the process waits for it.
        """
        return self._life.close(timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _no_flow(takes: str, given: object) -> ConfigError:
    """Return the error of a collector that is made from something else than a flow."""
    if isinstance(given, Mapping):
        right = "Collector.from_config({...}) for a flow in memory"
    elif isinstance(given, str | PathLike):
        right = 'Collector.from_file("flow.json") for a flow file'
    else:
        right = 'Collector.from_file("flow.json") or Collector.from_config({...})'
    return ConfigError(f"{takes}, not {type(given).__name__}; write {right}")
