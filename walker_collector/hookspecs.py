"""The six hooks of a destination: the contract with plugin authors.

A destination is a class found through the entry-point group `walker_collector.destinations`.
The collector makes one instance of it per configured destination and registers that instance
under the destination's id, so `self` is the place for connections and memory. The class says
what it can be told, as attrs classes:

    from attrs import frozen
    from walker_collector import Secret, Value, hookimpl

    @frozen
    class Settings:
        url: str                      # required: no default
        token: Secret = Secret("")    # never shown
        label: Value | None = None    # a mapping value, compiled: label(event, context)

    class MyDestination:
        settings = Settings
        rule_settings = None          # or an attrs class: what a rule's `settings` may hold
        aliases = ()                  # other names a flow may use as `package`, or a mapping of
                                      # such names to classes with settings of their own

        @hookimpl
        def init(self, context): ...

        @hookimpl
        def push(self, event, data, rule, context): ...

Only `push` or `push_batch` is required. Hook arguments may be left out, never invented:
a hook that asks for an argument that does not exist is refused when it is loaded.
Keys are camelCase in a flow file and snake_case in the class; both spellings are read, and
nothing is coerced. Fields may be of any JSON type, `Literal`, enums, other attrs classes, lists
and dicts of these, `Secret`, `Value`, and callables (in a file: `"module:name"`). attrs
validators that raise ValueError become problems with the field's place; a docstring line
`field: what it is`, with the name as in the class, becomes its description in the JSON Schema.

`walker simulate` needs no credentials: it fills in absent fields of type `Secret`, and those
with `field(metadata={"credential": True})`.

Optional class attributes, beside `settings`, `rule_settings` and `aliases`:

    api_version: int            the `API_VERSION` the plugin was written for (default 1)
    concurrency: int            deliveries under way at once (default 1)
    batch_size: int             events given to one `push_batch` (default 100)
    batch_bytes: int            bytes of events given to one `push_batch` (default unbounded)
    linger: int                 ms that a batch which is not full waits for company (default 20)
    mapping: dict               rules the destination ships; a flow's `extend` builds on them
    message_parts: tuple[str, ...]
                                the parts of a delivery (`context.progress`) that are messages to
                                people: a replay of dead letters can leave them out
    wants_consent(settings) -> bool
                                whether these settings make use of the `consent` hook at all
    simulate(event, data, rule, context) -> list[list]
                                what `push` would call, without doing it and without `init`;
                                `SimulatedCalls` says what of the event does not get there
    simulate_consent(update, state, person, context) -> list[list]
                                likewise for `consent`
    check(settings, rules) -> iterable of (place, message)
                                static; what does not fit together, found when a flow is loaded.
                                `rules` is entity -> action -> RuleConfig, or a list of them; the
                                place is below the destination's config: `settings.appApiKey`
    advise(config) -> iterable of (place, message)
                                static; what works otherwise than it reads, for `walker validate`
                                and the log; `config` is the DestinationConfig

Optional attribute of an extension, beside the same hooks:

    watch(context)              called for each destination when a collector is made, and before
                                its `init`: to read `context.status()` from then on

Within one `API_VERSION` no hook and no argument changes or goes; new ones may come. What is to go
with the next one is marked before by pluggy's `warn_on_impl` or `warn_on_impl_args`: a plugin
that uses it still works, with a DeprecationWarning at its own line when it is loaded.

Hooks of one destination instance are called from worker threads: `push` and `push_batch`
from as many as `concurrency` says, `init` before all of them and `shutdown` after; `erased` from
whoever erases.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

import pluggy
from attrs import define, field, frozen

from walker_collector.config import BatchConfig, Consent, DestinationConfig, PartState

PROJECT: Final = "walker_collector"
API_VERSION: Final = 1
"""Raised when a hook changes so that plugins must change too."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

Event = dict[str, Any]
"""A completed event: plain JSON values under walkerOS's keys (`name`, `data`, `user`, ...)."""


class Progress(Protocol):
    """The state of each part of one event's delivery; kept with the event, also over a crash.

    For destinations that make several calls per event, each with a fate of its own: a retry
    leaves out the parts that are done or rejected, and a part that was begun but never finished
    may have happened. Every record is on disk when the call returns, where there is a spool.
    """

    @property
    def parts(self) -> Mapping[str, PartState]:
        """The state of every part that has one; mostly, and at first always, of none."""

    def state(self, part: str) -> PartState | None:
        """Return "begun", "done", "rejected", or None where the part was never begun."""

    def reason(self, part: str) -> str:
        """Return the reason that a rejected part was given; "" for any other."""

    def begin(self, part: str) -> None:
        """Record that the part is about to be tried; for calls that must not be repeated."""

    def abandon(self, part: str) -> None:
        """Record that the try surely had no effect: the part is as if never begun."""

    def finish(self, part: str) -> None:
        """Record that the part is done."""

    def reject(self, part: str, reason: str) -> None:
        """Record that the part was refused for good: it is not tried again before a replay."""


@frozen(eq=False)
class Context:
    """What a destination is told once: its id, its settings, its surroundings.

    `warn(message, *args)` logs what may happen to many events: a message at most once in ten
    seconds, with the number of the others. `status()` returns the destination's figures
    (`DestinationStatus`: waiting, held, dead, ...); `forget(user)` erases a person from the
    collector, once what is under way to them is done.
    The last two are not there in a simulation.
    """

    id: str
    settings: Any
    config: DestinationConfig
    env: Mapping[str, Any] = field(repr=False, factory=dict)
    logger: logging.Logger = field(repr=False, factory=lambda: logging.getLogger(PROJECT))
    status: Callable[[], Any] | None = field(repr=False, default=None)
    forget: Callable[[Mapping[str, Any]], None] | None = field(repr=False, default=None)
    warn: Callable[..., None] = field(repr=False)

    @warn.default
    def _warn(self) -> Callable[..., None]:
        return self.logger.warning

    def may_proceed(self, item: "Item") -> bool:
        """Tell whether an event of a batch may still be sent.

        A destination that makes calls of its own for the events of a batch asks before each: no
        after a withdrawal or an erasure of its person. It then names the event among the failures,
        as NotAttempted.
        """
        proceed = item.context.proceed
        return proceed is None or proceed()


@define(eq=False)
class PushContext:
    """What a destination is told with one event; the scope of its mapping values.

    person: whose event it is, the same text for all events of theirs in a batch, whichever of
        their identifiers each one names; "" where it is nobody's. Only good for comparing: behind
        an event that is to be tried again, later ones of the same person wait.
    """

    destination: Context
    event: Event = field(repr=False)
    consent: Consent = field(repr=False)
    attempt: int = 1
    progress: Progress | None = field(default=None, repr=False)
    proceed: Callable[[], bool] | None = field(default=None, repr=False)
    person: str = field(default="", repr=False)

    @property
    def id(self) -> str:
        return self.destination.id

    @property
    def settings(self) -> Any:
        return self.destination.settings

    @property
    def config(self) -> DestinationConfig:
        return self.destination.config

    @property
    def env(self) -> Mapping[str, Any]:
        return self.destination.env

    @property
    def logger(self) -> logging.Logger:
        return self.destination.logger


@frozen(eq=False)
class Rule:
    """The mapping rule that matched: its key (`order complete`, `order *`), name and settings."""

    key: str
    name: str | None = None
    skip: bool = False
    settings: Any = None
    batch: BatchConfig | None = None


@define(eq=False)
class Item:
    """One event of a batch, with exactly what `push` would be given."""

    event: Event
    data: Any
    rule: Rule | None
    context: PushContext


class SimulatedCalls(list[list[Any]]):
    """The calls that `simulate` returns, with what is to be said about them.

    warnings: what of the event is left out or changed, though the rest is delivered.
    refused: what the service will surely refuse, and why; the calls are those that remain.
    """

    def __init__(
        self,
        calls: Iterable[list[Any]] = (),
        *,
        warnings: Sequence[str] = (),
        refused: str | None = None,
    ) -> None:
        super().__init__(calls)
        self.warnings = tuple(warnings)
        self.refused = refused


@frozen
class Person:
    """The identifiers under which a person is known; at least one is set."""

    id: str | None = None
    device: str | None = None
    session: str | None = None


@hookspec
def init(context: Context) -> None:
    """Called once before the first push: connect, check credentials, raise to refuse.

    `DestinationDown` and `RetryLater` keep the destination's events and try again later; any other
    exception does the same and is logged as a bug.
    """


@hookspec(firstresult=True)
def push(event: Event, data: Any, rule: Rule | None, context: PushContext) -> Any:
    """Deliver one event.

    `event` is the event after policies and renaming; `data` is what the mapping made of it
    (MISSING where it made nothing); `rule` is the rule that matched, or None.
    Return = delivered. Raise `NothingToSend` (the event asks nothing of this destination),
    `Rejected` (never retry: dead letter), `RetryLater` (transient), `DestinationDown` (stop this
    destination, keep its events). Anything else is taken for a
    bug: retried a few times, then a dead letter.
    """


@hookspec(firstresult=True)
def push_batch(batch: Sequence[Item], context: Context) -> Mapping[int, Exception] | None:
    """Deliver several events; optional, used instead of `push` where it exists.

    Events of one person stand in their order. Return the failures: index in the batch ->
    `NothingToSend`, `NotAttempted`, `Rejected`, `RetryLater`, `DestinationDown` or another
    exception; what is not named was delivered. Raising `RetryLater` or `DestinationDown` fails
    the whole batch; after `Rejected` or any other exception each event is tried again alone, in a
    batch of one. Either way, what had arrived before may arrive twice.
    """


@hookspec
def consent(update: Consent, state: Consent, person: Person | None, context: PushContext) -> None:
    """A person's consent changed, or the process default (`person` is None).

    `update` is what was said, `state` what holds now for that person. `context.event` is the
    change as it was queued; its `timestamp` (ms) says when it was made.
    """


@hookspec
def erased(person: Person | None, context: Context) -> None:
    """A person was erased from the collector, and their events are gone.

    Drop what is remembered of them in memory: that they were seen, what was told of them. Called
    once for each erasure. `person` has the id they are known by, one device and one session; where
    memory goes by another name, drop all of it. None means everybody. Comes from the thread that
    erases, at the same time as other hooks, and maybe before `init`.
    """


@hookspec
def shutdown(context: Context) -> None:
    """Called once after the last push: flush and release. Must not take more than seconds."""
