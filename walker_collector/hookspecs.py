"""The hooks of destinations and sources: the contract with plugin authors.

A destination is a class found through the entry-point group `walker_collector.destinations`.
The collector makes one instance of it per configured destination and registers that instance
under the destination's id, so `self` is the place for connections and memory. The class declares
its settings as attrs classes:

    from attrs import frozen
    from walker_collector import Secret, Value, hookimpl

    @frozen
    class Settings:
        url: str                      # required: no default
        token: Secret = Secret("")    # never shown
        label: Value | None = None    # a mapping value, compiled: label(event, context)

    class MyDestination:
        settings = Settings
        rule_settings = None          # or an attrs class, for a rule's `settings`
        aliases = ()                  # other names a flow may use as `package`, or a mapping of
                                      # such names to classes with settings of their own

        @hookimpl
        def init(self, context): ...

        @hookimpl
        def push(self, event, data, rule, context): ...

Only `push` or `push_batch` is required. A hook may leave out arguments that it does not need;
one with an argument that does not exist is refused when it is loaded.
Keys are camelCase in a flow file and snake_case in the class; both spellings are read, and
nothing is coerced. Fields may be of any JSON type, `Literal`, enums, other attrs classes, lists
and dicts of these, `Secret`, `Value`, and callables (in a file: `"module:name"`). attrs
validators that raise ValueError become problems with the field's place. A docstring line
`field: description`, with the name as in the class, goes into the JSON Schema.

`walker simulate` needs no credentials: it fills in absent fields of type `Secret`, and those
with `field(metadata={"credential": True})`.

Optional class attributes, beside `settings`, `rule_settings` and `aliases`:

    api_version: int            the `API_VERSION` the plugin was written for (default 1)
    concurrency: int            deliveries in flight at once (default 1)
    batch_size: int             events in one `push_batch` (default 100)
    batch_bytes: int            bytes of events in one `push_batch` (default unlimited)
    linger: int                 ms that a batch waits for more events, if not full (default 20)
    mapping: dict               rules that come with the destination; a flow's `extend` can use them
    message_parts: tuple[str, ...]
                                the parts of a delivery (`context.progress`) that are messages to
                                people: a replay of dead letters can leave them out
    reads: tuple[str, ...]      the paths in events that the plugin reads itself, beside what its
                                values (`Value`) and the mapping read: ("timestamp", "user.id").
                                Its events then have the parts that hold these paths and those of
                                its values, whole, and `name`, `id` and `consent`; the other parts
                                may be absent, as they are not even decoded. Where a function in
                                the settings may look at events, or an extension without `reads`,
                                they are whole. Without `reads` they always are
    guarded: frozenset[str]     rule settings, as a flow file writes them, whose effects nobody may
                                cause but senders that are trusted: a deletion, a message. The
                                plugin refuses their events (Rejected) where `context.trusted` and
                                `rule.untrusted` are both False; `walker validate` names the rules
                                that anybody can reach
    relays: bool                the destination sends events on to other collectors, which decide on
                                them: it gets events as they were received, with the consent that
                                they came with and with `context.received`, and among them the
                                statements of consent (`walker consent`, without data and rule). No
                                event is held for it: its flow can require no `consent` there
    wants_consent(settings) -> bool
                                whether the `consent` hook is needed with these settings
    simulate(event, data, rule, context) -> list[list]
                                the calls that `push` would make, without `init` and without making
                                them; a `SimulatedCalls` adds warnings
    simulate_consent(update, state, person, context) -> list[list]
                                the same for `consent`
    estimate(batch, settings) -> dict[str, tuple[int, float]]
                                the requests that some simulated events take, for `walker run
                                --dry-run`: by the name of each limit, such as "Track API", their
                                number and how many of them are made per second at most. `batch`
                                has the `planned` of each event of one `push_batch`
    check_settings(settings, rules) -> iterable of (place, message)
                                static; settings and rules that do not fit together, found when a
                                flow is loaded. `rules` is entity -> action -> RuleConfig, or a list
                                of them; the place is below the destination's config:
                                `settings.appApiKey`
    advise(config) -> iterable of (place, message)
                                static; warnings about configuration with an unexpected effect, for
                                `walker validate` and the log; `config` is the DestinationConfig

Optional attributes of an extension, beside the same hooks and `transform`:

    settings: type              an attrs class. The extension is at work in the flows that name it
                                (`collector.extensions`), made as `MyExtension(settings)`; one
                                without `settings`, made without arguments, in all flows that name
                                no extensions
    reads: tuple[str, ...]      the paths that its `push` and `push_batch` read in events; without
                                it, or with `transform`, all events are decoded as a whole
    watch(context)              called for each destination when a collector is made, and before
                                its `init`; `context.status()` can be read from then on

Within one `API_VERSION` no hook or argument changes or is removed; new ones may be added. Those
that the next version removes are marked first, by pluggy's `warn_on_impl` or `warn_on_impl_args`:
a plugin that uses them still works, with a DeprecationWarning at its own line when it is loaded.

Hooks of one destination instance are called on worker threads: `push` and `push_batch` on up to
`concurrency` of them, `init` before and `shutdown` after all of these; `erased` on the thread that
erases. With `timeout`, each call of a hook but `init` and `shutdown` has a thread of its own.

A source is a class of the entry-point group `walker_collector.sources`, with `settings` and
`aliases` as above, and one hook, `run`: it hands on events until it is told to stop. Optional:

    is_open(settings) -> bool   static; whether anybody may send events to it, without a key; if it
                                is absent, nobody may
    listen(settings) -> socket  static; opens the socket that the source listens on. It comes as
                                `context.listener`, and the workers of a server share it
    every_worker: bool          whether it runs in each of the workers of a server, which share its
                                input by themselves (default False); without it, nor `listen`, a
                                source runs in the first worker only
    wants_spool: bool           whether a flow with it, but without a spool, gets a warning (default
                                False)
    corrects_times: bool        whether an event at an impossible time (`collector.oldest`,
                                `maxAhead`) gets the time of its receipt (default True), or is
                                refused, as those of files are

A hook of a destination may call its collector, but cannot wait for a delivery or an erasure: `push`
with `wait` and `forget` raise ReentrantCall, `flush` and `close` return False at once.
"""

import inspect
import logging
import socket
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from operator import attrgetter
from typing import Any, Final, Protocol, cast

import pluggy
from attrs import define, field, frozen
from msgspec import Struct

from walker_collector.config import (
    BatchConfig,
    Consent,
    DestinationConfig,
    PartState,
    SourceConfig,
)
from walker_collector.errors import EventError
from walker_collector.events import UnreadEvent
from walker_collector.figures import Figures
from walker_collector.offsets import Position, PositionStore
from walker_collector.text import get_logger

PROJECT: Final = "walker_collector"
API_VERSION: Final = 1
"""The version of the hooks; it goes up with a change that plugins must follow."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

Event = dict[str, Any]
"""A completed event: plain JSON values under walkerOS's keys (`name`, `data`, `user`, ...)."""


class Progress(Protocol):
    """The state of each part of one event's delivery, kept with the event across crashes.

    For destinations that make several calls per event, each with its own result: a retry leaves
    out the parts that are done or rejected, and a part that was begun but never finished may have
    happened. With a spool, every record is on disk when the call returns.
    """

    @property
    def parts(self) -> Mapping[str, PartState]:
        """The states of the parts that have one; mostly empty, and always at first."""

    def state(self, part: str) -> PartState | None:
        """Return "begun", "done", "rejected", or None if the part was never begun."""

    def reason(self, part: str) -> str:
        """Return the reason of a rejected part; "" for any other."""

    def begin(self, part: str) -> None:
        """Record that the part is about to be tried; for calls that must not be repeated."""

    def abandon(self, part: str) -> None:
        """Record that the attempt surely had no effect: the part counts as never begun."""

    def finish(self, part: str) -> None:
        """Record that the part is done."""

    def reject(self, part: str, reason: str) -> None:
        """Record that the part was refused for good: it is not tried again before a replay."""


@frozen(eq=False)
class Context:
    """The context of a destination, passed to `init`: its id, settings and services.

    `warn(message, *args)` logs a warning that may be about many events: the same message at most
    once in ten seconds, with the number of the others. `status()` returns the destination's
    figures (`DestinationStatus`: waiting, held, dead, ...); `forget(user)` erases a person from
    the collector, after their deliveries in flight. A simulation has neither of these two.

    `share()` returns the part of the destination's people that this process delivers to, from 0 to
    1. It changes while processes come and go. What the service limits is to be divided by it: of a
    limit of calls per second, this process may use `share()` times as many.
    """

    id: str
    settings: Any
    config: DestinationConfig
    env: Mapping[str, Any] = field(repr=False, factory=dict)
    logger: logging.Logger = field(repr=False, factory=lambda: get_logger(PROJECT))
    status: Callable[[], Any] | None = field(repr=False, default=None)
    forget: Callable[[Mapping[str, Any]], None] | None = field(repr=False, default=None)
    share: Callable[[], float] = field(repr=False, default=lambda: 1.0)
    warn: Callable[..., None] = field(repr=False)

    @warn.default
    def _warn(self) -> Callable[..., None]:
        return self.logger.warning

    def may_proceed(self, item: "Item") -> bool:
        """Return whether an event of a batch may still be sent.

        A destination that makes one call per event of a batch asks before each. After a
        withdrawal, an erasure, or the end of a collector that was closed since, the answer is
        False; the event then belongs among the failures, as NotAttempted.
        """
        proceed = item.context.proceed
        return proceed is None or proceed()

    def may_all_proceed(self, items: Sequence["Item"]) -> bool:
        """Return whether all of these events may still be sent, with one question for a batch.

        For a destination that makes one call for many events. After False it asks
        `may_proceed` about each: some of them may still be sent.
        """
        proceed = items[0].context.proceed if items else None
        ask_all = getattr(proceed, "of_all", None)  # the collector's own
        if ask_all is None:
            return all(map(self.may_proceed, items))
        found: bool = ask_all(items)
        return found


class PushContext(Struct, eq=False, gc=False):  # one is made per event
    """The context of one event, passed to `push`; also the scope of the mapping values.

    person: a text that stands for the event's person, equal for all of their events in a batch,
        whichever identifiers these have; "" without a person. It is good for comparisons only:
        later events of a person must wait behind one that will be retried.
    trusted: False for an event from a sender without a trusted key, to a source that has keys. What
        the plugin guards (`guarded`) such an event may not cause, unless its rule has `untrusted`.
    received: at a destination that relays (`relays`), the event as it was received, with the trust
        in its sender; at any other one None.
    """

    destination: Context
    event: Event
    consent: Consent
    attempt: int = 1
    progress: Progress | None = None
    proceed: Callable[[], bool] | None = None
    person: str = ""
    trusted: bool = True
    received: "Received | None" = None

    # Read in C, as they are read several times for each event.
    id = cast(str, property(attrgetter("destination.id")))
    settings = cast(Any, property(attrgetter("destination.settings")))
    config = cast(DestinationConfig, property(attrgetter("destination.config")))
    env = cast(Mapping[str, Any], property(attrgetter("destination.env")))
    logger = cast(logging.Logger, property(attrgetter("destination.logger")))

    def __repr__(self) -> str:
        return f"PushContext(destination={self.destination!r}, attempt={self.attempt})"


@define(eq=False)  # not frozen, as one is made per event
class Received:
    """An event or command from a source, and the trust in its sender.

    trusted: the sender may say everything that the process may. Otherwise what it says of people is
        a claim: grants, and identifiers named together, count for events of such senders only,
        withdrawals for all; of commands it may send a consent of its own session or device.
    limited: the sender was asked for a key, and has none that is trusted: its events cause nothing
        that plugins guard (`PushContext.trusted`).
    learn: the event's consent is everything that its person grants; it is remembered for them.
    stated_at: the moment when its consent was stated (µs since 1970), if another collector has
        received it before; None: at the time of the event, and never later than now.
    decided: gets the result once every destination has delivered the event, will never do so
        (ignored, failed, ...), or holds it; in a thread that delivers. Of an event that is refused
        it gets none. Cancel it when nobody waits any longer.
    position: the position after the event in its input, which is stored with it: see `Positions`.
    refused: called with the EventError of an event with a position that is refused, before that
        position is stored; it may raise, which ends the call of `accept`, or wait.
    """

    event: Mapping[str, Any] | UnreadEvent = field(repr=False)
    trusted: bool = True
    limited: bool = False
    learn: bool = False
    decided: Future[Any] | None = field(default=None, repr=False)
    position: Position | None = field(default=None, repr=False)
    refused: Callable[[EventError], object] | None = field(default=None, repr=False)
    stated_at: int | None = None


class Positions:
    """The positions of a source in its inputs, such as the partitions of a topic.

    An input that can be read again from any place, by whichever process is told to, is read once in
    this way:

    1. Take its position over, under the name of a new run, and read from there on.
    2. Give each event the position after it (`Received.position`). Both are stored together, or
       neither: nothing is lost or read twice when the process ends, at whatever moment. After an
       event that could not be stored (SpoolFull, SpoolError), `accept` stores none of the later
       ones that have a position; hand them on again, from that one on. An event that is refused
       (EventError) is passed over: its position is stored with the next.
    3. Where another process has taken the input over, all writes of this run raise PositionLost:
       drop what is left of the input.
    """

    def __init__(self, store: Callable[[], PositionStore]) -> None:
        self._store = store

    def of(self, input: str) -> Position | None:
        """Return the position in an input; None: nobody has read it."""
        return self._store().position_of(input)

    def take_over(self, before: Position | None, position: Position) -> None:
        """Begin a run at a position, in place of `before`, which `of` has returned.

        Raises PositionLost if another run has gone on or begun since.
        """
        self._store().take_over_position(before, position)

    def keep(self, positions: Sequence[Position]) -> None:
        """Store positions without events, after input that holds none; raises PositionLost."""
        self._store().keep_positions(positions)


@frozen(eq=False)
class SourceContext:
    """The context of a source, passed to `run`: its id, settings, and the way in for its events.

    accept: takes events, plain JSON objects or `Received`, and returns for each its PushResult, or
        the error: EventError for an event that is refused (NotTrusted: a command that its sender
        may not send), SpoolFull where there is no room (try it again later, or tell the sender to),
        CollectorClosed. It returns when the events are stored, waits for room
        (`collector.queueWait`), and may be called from several threads. Events of one call are
        stored together, so groups are cheaper. Commands (`walker consent`) count.
    stop: an event that is set when the source has to stop: it takes nothing new, finishes what it
        has begun, and returns. `stop.wait(seconds)` waits for it.
    status: returns the collector's figures (`Status`); `unready` has the reason why events should
        rather be sent elsewhere, such as no room.
    ready: called with an address or place once the source takes events; shown to the user.
    grace: seconds that the source may take to end.
    max_bytes: size of an event as JSON, at most; longer ones are refused.
    listener: the socket of the source's `listen`; it is closed when `run` has returned.
    figures: the counters of this process; `accept` has counted the events.
    inspector: an ASGI application that shows what the collector does, for a source that serves it;
        None: it is not wanted.
    positions: the positions of the source in its inputs, stored with its events; None: the spool is
        in memory, and keeps nothing beyond the process.
    """

    id: str
    settings: Any
    config: SourceConfig
    accept: Callable[[Iterable[Mapping[str, Any] | Received]], Sequence[Any]] = field(repr=False)
    stop: threading.Event = field(repr=False, factory=threading.Event)
    status: Callable[[], Any] | None = field(repr=False, default=None)
    ready: Callable[[str], None] = field(repr=False, default=lambda place: None)
    grace: float = 10.0
    max_bytes: int = 1_000_000
    logger: logging.Logger = field(repr=False, factory=lambda: get_logger(PROJECT))
    listener: socket.socket | None = field(repr=False, default=None)
    figures: Figures = field(repr=False, factory=Figures)
    inspector: Any = field(repr=False, default=None)
    positions: Positions | None = field(repr=False, default=None)


@frozen(eq=False)
class Rule:
    """The mapping rule that matched: its key (`order complete`, `order *`), name and settings.

    untrusted: whether events of senders that are not trusted may cause what the plugin guards.
    """

    key: str
    name: str | None = None
    skip: bool = False
    settings: Any = None
    batch: BatchConfig | None = None
    untrusted: bool = False


class Item(Struct, eq=False, gc=False):
    """One event of a batch, with the arguments that `push` would get."""

    event: Event
    data: Any
    rule: Rule | None
    context: PushContext


class SimulatedCalls(list[list[Any]]):
    """The calls that `simulate` returns, with warnings about them.

    warnings: parts of the event that are left out or changed, though the rest is delivered.
    refused: the reason why the service will surely refuse some calls; the others remain.
    planned: whatever the plugin's `estimate` needs to count the requests for these calls.
    """

    def __init__(
        self,
        calls: Iterable[list[Any]] = (),
        *,
        warnings: Sequence[str] = (),
        refused: str | None = None,
        planned: Any = None,
    ) -> None:
        super().__init__(calls)
        self.warnings = tuple(warnings)
        self.refused = refused
        self.planned = planned


@frozen
class Person:
    """The identifiers under which a person is known; at least one is set."""

    id: str | None = None
    device: str | None = None
    session: str | None = None


@hookspec
def init(context: Context) -> None:
    """Connect and check credentials: called once before the first push; raise to refuse.

    After `DestinationDown` and `RetryLater` the events are kept, and `init` is called again later;
    any other exception does the same, and is logged as a bug.
    """


@hookspec(firstresult=True)
def push(event: Event, data: Any, rule: Rule | None, context: PushContext) -> Any:
    """Deliver one event.

    `event` is the event after policies and renaming; `data` is the mapped data, or MISSING; `rule`
    is the rule that matched, or None.
    Return = delivered. Raise `NothingToSend` (the event gives this destination nothing to send),
    `NotAttempted` (`context.proceed()` was False: queued again, no attempt is counted; if it was
    not, this counts as `RetryLater`),
    `Rejected` (never retry: dead letter), `RetryLater` (transient), `PartDown` (a part of the
    destination cannot be used: the event waits, others are delivered), `DestinationDown` (stop this
    destination, keep its events). Any other exception counts as a bug: it is retried a few times,
    then the event is a dead letter.
    """


@hookspec(firstresult=True)
def push_batch(batch: Sequence[Item], context: Context) -> Mapping[int, Exception] | None:
    """Deliver several events; optional, and used instead of `push` if it exists.

    The events of one person are in order. Return the failures: index in the batch ->
    `NothingToSend`, `NotAttempted`, `Rejected`, `RetryLater`, `PartDown`, `DestinationDown` or
    another exception; all other events were delivered. Raising `RetryLater` or `DestinationDown`
    fails the whole batch, and `PartDown` makes each of its events wait; after `Rejected` or any
    other exception each event is tried again alone, in a batch of one. In all cases, events that
    had arrived before may arrive twice. If every event is `NotAttempted`, though `may_proceed` was
    True for all, each counts as `RetryLater`.
    """


@hookspec
def consent(update: Consent, state: Consent, person: Person | None, context: PushContext) -> None:
    """Follow a change of a person's consent, or of the default (`person` is None).

    `update` is the change, `state` the person's consent after it. `context.event` is the change as
    it was queued; its `timestamp` (ms) says when it was made.
    """


@hookspec
def erased(person: Person | None, context: Context) -> None:
    """Drop the memory of an erased person; the collector has removed all of their events.

    Called once for each erasure. `person` has their id, one device and one session; a memory with
    other keys is dropped as a whole. None means everybody. Called at the same time as
    other hooks, and perhaps before `init`; the erasure waits for it, no longer than `timeout`.
    """


@hookspec(firstresult=True)
def check(context: Context) -> Iterable[str] | None:
    """Find problems of address and credentials, for `walker check`; optional.

    Make a harmless request for each set of credentials: one that proves them, and changes nothing.
    Return a sentence for each problem, with the remedy; nothing if all is right. An exception is a
    problem as well: of `DestinationDown`, `RetryLater` and `Rejected` the reason is shown. Raise
    `Untested` where the service answers, and no harmless request would prove the credentials.
    Called on an instance of its own without `init`, so the hook opens what it needs, and closes it.
    """


@hookspec
def shutdown(context: Context) -> None:
    """Flush and release: called once after the last push. It must not take more than seconds."""


@hookspec
def transform(event: Event, context: PushContext) -> None:
    """Change an event, in place, before a destination's policy and mapping: a hook of extensions.

    Called for each destination, with an event of its own, once consent admits it. Raise `Ignored`
    to leave the event out at this destination, or any of the errors of `push`. The extensions are
    asked in their order; a retry asks again, so equal events must have equal answers. It is also
    called by `walker simulate`, for the extensions that the flow names.
    """


@hookspec
def run(context: SourceContext) -> None:
    """Hand on events until told to stop: the hook of a source, on a thread of its own.

    Return after `context.stop` is set, within `context.grace` s; nothing may be acknowledged that
    `context.accept` did not take. Returning earlier means that there are no more events. An
    exception stops the flow: all that was accepted is delivered, and the exit status is 1.
    """


def arguments_of(function: Callable[..., Any]) -> tuple[str, ...]:
    """Return the names of the arguments of a hook or its specification, without `self`."""
    return tuple(name for name in inspect.signature(function).parameters if name != "self")


HOOKS: Final[Mapping[str, tuple[str, ...]]] = {
    name: arguments_of(spec)
    for name, spec in list(globals().items())
    if hasattr(spec, f"{PROJECT}_spec")
}
"""Every hook, with its arguments."""
SOURCE_HOOKS: Final = frozenset({"run"})
"""The hooks of sources; the others are those of destinations."""
EXTENSION_HOOKS: Final = frozenset({"transform"})
"""The hooks that only extensions have; they may have all others, too."""
