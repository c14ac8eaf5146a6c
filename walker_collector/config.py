"""The attrs classes of a flow file, structured by cattrs; errors name the path on disk.

Keys are camelCase on disk and snake_case in Python; both spellings are read.
The shape is walkerOS version 4's: `flows.<name>.destinations.<id>.config`.

A field's metadata holds the other ways to write it: `key` is its name on disk, if not its own in
camelCase; `synonyms` are further names; `short` marks the field that a bare number sets in place of
the object. `credential` marks a field that a simulation fills in when it is absent;
`certificates` one that names a file, which is looked at unless credentials may be absent.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from attrs import Factory, field, frozen

from walker_collector.placeholders import MISSING as MISSING
from walker_collector.placeholders import EnvText as EnvText
from walker_collector.placeholders import Missing as Missing
from walker_collector.placeholders import Unset as Unset
from walker_collector.secret import Placeholder as Placeholder
from walker_collector.secret import Secret as Secret
from walker_collector.validators import (
    LOG_LEVELS,
    at_least,
    between,
    delivers_or_spools,
    identifies,
    log_level,
    moment,
    ms,
    names_destination,
    names_event,
    names_spool,
    positive,
    read_paths,
    reads_path,
)

Consent = Mapping[str, bool]
"""Consent state or requirement: key -> granted."""

PartState = Literal["begun", "done", "rejected"]
"""How far one part of an event's delivery is; begun: it may have happened."""

Section = Literal["data", "globals", "context", "user", "source", "event", "all"]
"""The names for `include`: the sections of an event that walkerOS flattens, or all of them."""


@frozen
class ValueSpec:
    """How a value is found in an event: a path, alternatives, or an object of steps."""


@frozen
class PathSpec(ValueSpec):
    """A dotted path (`data.id`, `nested.*.data.sku`); the empty path is the whole input."""

    path: str = field(validator=reads_path)


@frozen
class AlternativesSpec(ValueSpec):
    """A list of values: the first that is defined wins."""

    items: tuple[ValueSpec, ...]


@frozen(kw_only=True)
class ObjectSpec(ValueSpec):
    """The object form of a value; an empty one resolves to nothing.

    key: the path of the input.
    value: the default if nothing is found.
    map: an object, each key a value of its own.
    loop: a list and the value made of each of its items.
    set: a list of values.
    fn: a callable that makes the value.
    condition: a callable that must hold.
    consent: consent keys, one of which must be granted.
    validate: a callable that the result must pass.
    nullable: null is a value where it stands, in what the value yields too; it goes before `value`
        and later alternatives. The values inside say otherwise by a `nullable` of their own.
    """

    key: str | None = field(default=None, validator=reads_path)
    value: Any = MISSING
    map: dict[str, ValueSpec | None] | None = None
    loop: tuple[ValueSpec, ValueSpec] | None = None
    set: list[ValueSpec | None] | None = None
    fn: Callable[..., Any] | None = None
    condition: Callable[..., Any] | None = None
    consent: Consent | None = None
    validate: Callable[..., Any] | None = None
    nullable: bool | None = None


@frozen(kw_only=True)
class BatchConfig:
    """When a batch is sent; a bare number is `wait`.

    wait: ms without a new event.
    size: number of events.
    age: ms since its first event.
    """

    wait: int | None = field(default=None, validator=ms(0), metadata={"short": True})
    size: int | None = field(default=None, validator=at_least(1))
    age: int | None = field(default=None, validator=ms(0))


@frozen(kw_only=True)
class RuleConfig:
    """One mapping rule: the treatment of the events of one entity and action.

    `settings` is an instance of the plugin's `rule_settings`. `extend` of a flow
    file is already applied: the rule is merged onto the one that the destination ships.

    name: the event's name for the destination.
    data: the data to send, merged over the destination's own data.
    policy: event paths and the values they get before the mapping reads them.
    include: sections of the event that are added to the data.
    remove: paths that are taken out of the data, as the last step.
    ignore: send nothing.
    skip: do what `settings` say, but not the destination's default call.
    condition: a callable that must hold for this rule of a list.
    consent: consent keys, one of which must be granted.
    untrusted: events of senders that are not trusted may cause what the package guards.
    batch: how these events are batched.
    settings: the package's own settings for rules.
    """

    name: str | None = field(default=None, validator=names_event)
    data: ValueSpec | None = None
    policy: dict[str, ValueSpec] | None = field(default=None, validator=read_paths)
    include: list[Section] | None = None
    remove: list[str] | None = field(default=None, validator=read_paths)
    ignore: bool = False
    skip: bool = field(default=False, metadata={"synonyms": ("silent",)})
    condition: Callable[..., Any] | None = None
    consent: Consent | None = None
    untrusted: bool = False
    batch: BatchConfig | None = None
    settings: Any = None


Rules = dict[str, dict[str, RuleConfig | list[RuleConfig]]]
"""entity -> action -> a rule, or a list of them: the first with a true condition applies."""


@frozen(kw_only=True)
class TransformerConfig:
    """A step that changes events: as a destination's policy and rules do, without data.

    A rule's `name` renames the event, and `ignore` drops it.

    policy: event paths and the values they get.
    mapping: rules by entity and action.
    """

    policy: dict[str, ValueSpec] | None = field(default=None, validator=read_paths)
    mapping: Rules | None = None


@frozen(kw_only=True)
class BreakerConfig:
    """When to stop trying; a bare number is `threshold`.

    threshold: failures in a row.
    cooldown: ms until one event is tried again.
    """

    threshold: int = field(default=5, validator=at_least(1), metadata={"short": True})
    cooldown: int = field(default=30_000, validator=ms(0))


@frozen(kw_only=True)
class RetryConfig:
    """How a failed delivery is tried again: exponential backoff with full jitter.

    attempts: how many at most.
    age: ms since the event was accepted, after which it is not tried any more.
    base: ms of the first wait, at most.
    cap: ms of any wait, at most.
    """

    attempts: int = field(default=20, validator=at_least(1))
    age: int = field(default=7 * 24 * 3_600_000, validator=ms(0))
    base: int = field(default=500, validator=ms(1))
    cap: int = field(default=300_000, validator=ms(1))


@frozen(kw_only=True)
class LoggerConfig:
    """How much a destination logs.

    level: `error`, `warn`, `info` or `debug`, in any case; or walkerOS's number, 0 to 3.
    """

    level: str | int | None = field(default=None, validator=log_level)

    @property
    def level_name(self) -> str | None:
        """The level as `logging` names it; None: that of the collector."""
        level = LOG_LEVELS[self.level] if isinstance(self.level, int) else self.level
        return level and level.upper()


def _or_none(value: int | None) -> int | None:
    return value or None


@frozen(kw_only=True)
class DestinationConfig:
    """The standard wrapper around a destination's own settings.

    `settings` is an instance of the plugin's `settings` class.

    id: of the destination, in results, figures, log and spool; else the key it stands under.
    consent: consent keys, one of which must be granted before an event is delivered.
    consent_mode: `all` asks for every key of `consent`.
    settings: the package's own settings.
    data: the data to send for every event.
    include: sections of the event that are added to the data.
    policy: event paths and the values they get before the mapping reads them.
    mapping: rules by entity and action; `*` stands for any.
    unmatched: the treatment of events without a rule in `mapping`: `send` them unchanged (the log
        names each once), `ignore` them, or make a dead letter of them as an `error`.
    before: transformers that events pass before policy and mapping; in a file, their names.
    env: objects that code hands to the destination.
    queue: keep events until consent is granted; without it they are dropped.
    queue_max: how many events wait for consent at most.
    queue_age: ms an event waits for consent at most.
    dlq_max: how many dead letters are kept at most.
    require: destinations that must be ready before.
    disabled: leave the destination out.
    batch: how events are batched.
    breaker: when to stop trying, and for how long.
    retry: how a failed delivery is tried again.
    concurrency: deliveries under way at once.
    rate_limit: deliveries per second at most.
    timeout: ms a delivery may take; 0 is the same as none given.
    mock: the result of a pretended delivery; nothing is sent.
    logger: `level` of the destination's log.
    """

    id: str | None = field(default=None, validator=names_destination)
    consent: Consent | None = None
    consent_mode: Literal["any", "all"] = "any"
    settings: Any = None
    data: ValueSpec | None = None
    include: list[Section] | None = None
    policy: dict[str, ValueSpec] | None = field(default=None, validator=read_paths)
    mapping: Rules | None = None
    unmatched: Literal["send", "ignore", "error"] = "send"
    before: tuple[TransformerConfig, ...] = Factory(tuple)
    env: dict[str, Any] = Factory(dict)
    queue: bool = True
    queue_max: int = field(default=10_000, validator=at_least(0))
    queue_age: int = field(default=30 * 24 * 3_600_000, validator=ms(0))
    dlq_max: int = field(default=10_000, validator=at_least(0))
    require: list[str] = Factory(list)
    disabled: bool = False
    batch: BatchConfig | None = None
    breaker: BreakerConfig = BreakerConfig()
    retry: RetryConfig = RetryConfig()
    concurrency: int | None = field(default=None, validator=between(1, 10_000))
    rate_limit: float | None = field(default=None, validator=positive)
    timeout: int | None = field(default=None, converter=_or_none, validator=ms(0))
    mock: Any = MISSING
    logger: LoggerConfig | None = None


@frozen(kw_only=True)
class DestinationEntry:
    """One entry of `destinations`: which package, its class, with which configuration."""

    package: str
    plugin: type
    config: DestinationConfig = Factory(DestinationConfig)


@frozen(kw_only=True)
class SourceConfig:
    """The standard wrapper around a source's own settings: what happens to its events.

    They pass the transformers of `before`, policy and rules, the consent, and the transformers of
    `next`, in this order. A rule's `name` renames an event, and `ignore` drops it; rules make no
    data here.

    id: of the source, in the log; else the key it stands under.
    settings: the package's own settings.
    consent: consent keys, one of which must be granted; other events are dropped.
    policy: event paths and the values they get before the rules.
    mapping: rules by entity and action; `*` stands for any.
    before: transformers that events pass first; in a file, their names.
    next: transformers that events pass last; in a file, their names.
    disabled: leave the source out.
    logger: `level` of the source's log.
    """

    id: str | None = field(default=None, validator=names_destination)
    settings: Any = None
    consent: Consent | None = None
    policy: dict[str, ValueSpec] | None = field(default=None, validator=read_paths)
    mapping: Rules | None = None
    before: tuple[TransformerConfig, ...] = Factory(tuple)
    next: tuple[TransformerConfig, ...] = Factory(tuple)
    disabled: bool = False
    logger: LoggerConfig | None = None


@frozen(kw_only=True)
class SourceEntry:
    """One entry of `sources`: which package, its class, with which configuration."""

    package: str
    plugin: type
    config: SourceConfig = Factory(SourceConfig)


@frozen(kw_only=True)
class SpoolConfig:
    """Where accepted events wait: a SQLite file, bounded by events and bytes.

    path: of the file.
    sync: `normal` survives a crash of the process, `full` a loss of power as well.
    max_events: how many may wait.
    max_bytes: how large the file may grow.
    """

    path: str = field(validator=names_spool)
    sync: Literal["normal", "full"] = "normal"
    max_events: int = field(default=10_000_000, validator=at_least(1))
    max_bytes: int = field(default=10_000_000_000, validator=at_least(1))


@frozen(kw_only=True)
class CollectorConfig:
    """Settings of the collector itself: starting state, spool, bounds of an event.

    consent: consent granted at the start.
    user: defaults for the user of every event.
    globals: defaults for the globals of every event.
    spool: where accepted events wait; without it, in memory.
    shards: parts of the people, each delivered by one process at a time; fixed with the spool.
    deliver: false leaves deliveries to other processes that use the spool, which it needs.
    queue_max: how many events wait in memory.
    queue_wait: ms a push waits for room.
    max_depth: levels of nesting of an event.
    max_bytes: size of an event as JSON.
    people_max: how many people's consent is remembered.
    close_timeout: ms that closing waits for deliveries.
    oldest: the earliest time of an event: an ISO date, or ms since 1970; null takes any.
    max_ahead: ms that the time of an event may be ahead of now.
    recent: ms for which the ids of events are remembered, so that one that is sent again is
        delivered once; 0: none are. Unless it is given, only ids from sources are, for a day.
    name: of this collector, in `source.release` of its events; else their platform, or `default`.
    release: of the flow, in `source.release`; else the version of this package.
    """

    consent: Consent = Factory(dict)
    user: dict[str, Any] = field(factory=dict, validator=identifies)
    globals: dict[str, Any] = Factory(dict)
    spool: SpoolConfig | None = None
    shards: int = field(default=1, validator=between(1, 1024))
    deliver: bool = field(default=True, validator=delivers_or_spools)
    queue_max: int = field(default=100_000, validator=at_least(1))
    queue_wait: int = field(default=5_000, validator=ms(0))
    max_depth: int = field(default=32, validator=between(1, 100))
    max_bytes: int = field(default=1_000_000, validator=between(1, 100_000_000))
    people_max: int = field(default=100_000, validator=at_least(1))
    close_timeout: int = field(default=10_000, validator=ms(0))
    oldest: int | str | None = field(default="1990-01-01", validator=moment)
    max_ahead: int = field(default=86_400_000, validator=ms(0))
    recent: int | None = field(default=None, validator=ms(0))
    name: str | None = None
    release: str | None = None


@frozen(kw_only=True)
class FlowConfig:
    """One flow: the collector, its destinations and sources by id.

    `sources` has those that can be run: installed, not disabled, with all of their secrets.
    `warnings` lists the parts of the file that have no effect here, a line each.
    """

    collector: CollectorConfig = Factory(CollectorConfig)
    destinations: dict[str, DestinationEntry] = Factory(dict)
    sources: dict[str, SourceEntry] = Factory(dict)
    name: str = "default"
    source: str = field(default="flow")
    warnings: tuple[str, ...] = ()
