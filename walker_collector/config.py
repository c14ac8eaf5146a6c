"""The attrs classes of a flow file, structured by cattrs; errors name the path on disk.

Keys are camelCase on disk and snake_case in Python; both spellings are read.
The shape is walkerOS version 4's: `flows.<name>.destinations.<id>.config`.

A field's metadata holds the other ways to write it: `key` is its name on disk, if not its own in
camelCase; `synonyms` are further names; `short` marks the field that a bare number sets in place of
the object. `credential` marks a field that a simulation fills in when it is absent;
`certificates`, `file` and `present` mark paths that are looked at unless credentials may be absent;
`example` is a right value, for messages.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from attrs import Factory, field, frozen
from attrs.validators import optional

from walker_collector.extension_config import ExtensionEntry
from walker_collector.placeholders import MISSING as MISSING
from walker_collector.placeholders import EnvText as EnvText
from walker_collector.placeholders import Missing as Missing
from walker_collector.placeholders import Unset as Unset
from walker_collector.secret import Placeholder as Placeholder
from walker_collector.secret import Secret as Secret
from walker_collector.spool_settings import (
    names_database,
    names_schema,
    names_spool,
    spool_example,
    without_login,
)
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

    key: the path of the input in the event.
    value: the default, used if nothing is found.
    map: the value is an object, each key a value of its own.
    loop: the value is a list: of each item of the first value, the second is made.
    set: the value is a list of values.
    fn: this callable makes the value.
    condition: this callable must hold, else there is no value.
    consent: one of these consent keys must be granted, else there is no value.
    validate: the result must pass this callable, else there is no value.
    nullable: null is a value where it stands, in what the value yields too; it goes before `value`
        and later alternatives. The values inside say otherwise by a `nullable` of their own.
    """

    key: str | None = field(default=None, validator=reads_path)
    value: Any = MISSING
    map: dict[str, ValueSpec | None] | None = None
    loop: tuple[ValueSpec, ValueSpec] | None = field(
        default=None, metadata={"example": '["nested", {"map": {"sku": "data.sku"}}]'}
    )
    set: list[ValueSpec | None] | None = None
    fn: Callable[..., Any] | None = None
    condition: Callable[..., Any] | None = None
    consent: Consent | None = None
    validate: Callable[..., Any] | None = None
    nullable: bool | None = None


@frozen(kw_only=True)
class BatchConfig:
    """When a batch is sent; a bare number is `wait`.

    wait: a batch is sent when no event has come for so many ms.
    size: a batch has at most so many events.
    age: a batch is sent when its first event is so many ms old.
    """

    wait: int | None = field(default=None, validator=ms(0), metadata={"short": True})
    size: int | None = field(default=None, validator=at_least(1))
    age: int | None = field(default=None, validator=ms(0))


@frozen(kw_only=True)
class RuleConfig:
    """One mapping rule: the treatment of the events of one entity and action.

    `settings` is an instance of the plugin's `rule_settings`. `extend` of a flow
    file is already applied: the rule is merged onto the one that the destination ships.

    name: the event has this name for the destination.
    data: the data to send, merged over the destination's own data.
    policy: these paths of the event get values before the mapping reads them.
    include: these sections of the event are added to the data.
    remove: these paths are taken out of the data, as the last step.
    ignore: nothing is sent of these events.
    skip: do what `settings` say, but not the destination's default call.
    condition: this callable must hold, else the next rule of a list is tried.
    consent: one of these consent keys must be granted.
    untrusted: events of senders that are not trusted may cause what the package guards.
    batch: these events are batched in this way.
    settings: the package has settings of its own for rules.
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

    policy: these paths of the event get values.
    mapping: the rules are found by entity and action.
    """

    policy: dict[str, ValueSpec] | None = field(default=None, validator=read_paths)
    mapping: Rules | None = None


@frozen(kw_only=True)
class BreakerConfig:
    """When to stop trying; a bare number is `threshold`.

    threshold: the breaker opens after so many failures in a row.
    cooldown: after so many ms one event is tried again.
    """

    threshold: int = field(default=5, validator=at_least(1), metadata={"short": True})
    cooldown: int = field(default=30_000, validator=ms(0))


@frozen(kw_only=True)
class RetryConfig:
    """How a failed delivery is tried again: exponential backoff with full jitter.

    attempts: an event is tried so many times at most.
    age: an event that was accepted so many ms ago is not tried any more.
    base: the first wait takes at most so many ms.
    cap: no wait takes more than so many ms.
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

    id: its id in results, figures, log and spool; else the key it stands under.
    consent: one of these consent keys must be granted before an event is delivered.
    consent_mode: `any` asks for one key of `consent`, `all` for every key.
    settings: the package has settings of its own.
    data: this data is sent for every event.
    include: these sections of the event are added to the data.
    policy: these paths of the event get values before the mapping reads them.
    mapping: the rules are found by entity and action; `*` stands for any.
    unmatched: an event without a rule in `mapping` is sent unchanged (`send`; the log names each
        once), ignored (`ignore`), or becomes a dead letter (`error`).
    before: events pass these transformers before policy and mapping; in a file, their names.
    env: code hands these objects to the destination.
    queue: events are kept until consent is granted; with false they are dropped.
    queue_max: at most so many events wait for consent.
    queue_age: an event waits for consent at most so many ms.
    dlq_max: at most so many dead letters are kept.
    require: these destinations must be ready before.
    disabled: true leaves the destination out.
    batch: events are batched in this way.
    breaker: deliveries stop after failures, and are tried again, in this way.
    retry: a failed delivery is tried again in this way.
    concurrency: at most so many deliveries are under way at once.
    rate_limit: at most so many deliveries are made per second.
    timeout: a delivery may take so many ms; 0 is the same as none given.
    mock: nothing is sent; this is the result of the pretended delivery.
    logger: `level` is that of the destination's log.
    """

    id: str | None = field(default=None, validator=names_destination)
    consent: Consent | None = None
    consent_mode: Literal["any", "all"] = "any"
    settings: Any = None
    data: ValueSpec | None = None
    include: list[Section] | None = field(default=None, metadata={"example": '["user"]'})
    policy: dict[str, ValueSpec] | None = field(default=None, validator=read_paths)
    mapping: Rules | None = field(default=None, metadata={"example": '{"order": {"*": {...}}}'})
    unmatched: Literal["send", "ignore", "error"] = "send"
    before: tuple[TransformerConfig, ...] = Factory(tuple)
    env: dict[str, Any] = Factory(dict)
    queue: bool = True
    queue_max: int = field(default=10_000, validator=at_least(0))
    queue_age: int = field(default=30 * 24 * 3_600_000, validator=ms(0))
    dlq_max: int = field(default=10_000, validator=at_least(0))
    require: list[str] = Factory(list)
    disabled: bool = False
    batch: BatchConfig | None = field(default=None, metadata={"example": '{"size": 100}'})
    breaker: BreakerConfig = BreakerConfig()
    retry: RetryConfig = field(default=RetryConfig(), metadata={"example": '{"attempts": 3}'})
    concurrency: int | None = field(default=None, validator=between(1, 10_000))
    rate_limit: float | None = field(default=None, validator=positive)
    timeout: int | None = field(
        default=None, converter=_or_none, validator=ms(0), metadata={"example": "5000 for 5 s"}
    )
    mock: Any = MISSING
    logger: LoggerConfig | None = field(default=None, metadata={"example": '{"level": "debug"}'})


@frozen(kw_only=True)
class DestinationEntry:
    """One entry of `destinations`: which package, its class, with which configuration."""

    package: str
    plugin: type
    config: DestinationConfig = Factory(DestinationConfig)


@frozen(kw_only=True)
class SourceConfig:
    """The standard wrapper around a source's own settings: the treatment of its events.

    They pass the transformers of `before`, policy and rules, the consent, and those of `next`, in
    this order. A rule's `name` renames an event, `ignore` drops it; rules make no data here.

    id: the source has this id in the log; else the key it stands under.
    settings: the package has settings of its own.
    consent: one of these consent keys must be granted; other events are dropped.
    policy: these paths of the event get values before the rules.
    mapping: the rules are found by entity and action; `*` stands for any.
    before: events pass these transformers first; in a file, their names.
    next: events pass these transformers last; in a file, their names.
    disabled: true leaves the source out.
    logger: `level` is that of the source's log.
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

    @property
    def has_steps(self) -> bool:
        """Whether its events pass any steps, which look at all their parts."""
        return bool(self.before or self.policy or self.mapping or self.consent or self.next)


@frozen(kw_only=True)
class SourceEntry:
    """One entry of `sources`: which package, its class, with which configuration."""

    package: str
    plugin: type
    config: SourceConfig = Factory(SourceConfig)


@frozen(kw_only=True)
class SpoolConfig:
    """Where accepted events wait: a SQLite file or PostgreSQL, bounded by events and bytes.

    path: a file has this path, for the processes of one machine; its folder must exist.
    url: a PostgreSQL database has this URL, for the processes of all machines.
    schema: tables of the spool are in this schema of the database.
    lease_url: a direct URL of the database, for the session that holds leases; needed beside a
        `url` that leads to a pooler.
    sync: `normal` survives a crash of the process, `full` a loss of power as well.
    max_events: at most so many events may wait.
    max_bytes: the events may have so many bytes.
    """

    path: str = field(default="", validator=names_spool)
    url: Secret | None = field(default=None, validator=names_database)
    schema: str = field(default="walker", validator=names_schema)
    lease_url: Secret | None = field(default=None, validator=names_database)
    sync: Literal["normal", "full"] = "normal"
    max_events: int = field(default=10_000_000, validator=at_least(1))
    max_bytes: int = field(default=10_000_000_000, validator=at_least(1))

    @property
    def place(self) -> str:
        """Its place, for people: the path, or host and database of the URL."""
        return self.path if self.url is None else without_login(self.url.reveal())


@frozen(kw_only=True)
class CollectorConfig:
    """Settings of the collector itself: starting state, spool, bounds of an event.

    consent: this consent is granted at the start.
    user: these are the defaults for the user of every event.
    globals: these are the defaults for the globals of every event.
    spool: accepted events wait in this file or database; without it, in memory.
    shards: so many parts of the people, each delivered by one process; fixed with the spool. A new
        file has 1, a new database 64.
    deliver: false leaves deliveries to other processes that use the spool, which it needs.
    queue_max: at most so many events wait in memory.
    queue_wait: a push waits for room at most so many ms.
    max_depth: an event is nested at most so many levels deep.
    max_bytes: an event has at most so many bytes as JSON.
    people_max: the consent of at most so many people is remembered.
    close_timeout: closing waits for deliveries at most so many ms.
    oldest: the earliest time of an event: an ISO date, or ms since 1970; null takes any.
    max_ahead: the time of an event may be so many ms ahead of now.
    recent: ids of events are remembered for so many ms: one that is sent again is delivered once.
        0: none are. Unless it is given, only ids from sources are, for a day.
    extensions: the extensions at work, in this order; else all that need no settings.
    name: its name in `source.release` of events; else the events' platform, or `default`.
    release: the flow has this release in `source.release`; else the version of this package.
    """

    consent: Consent = Factory(dict)
    user: dict[str, Any] = field(factory=dict, validator=identifies)
    globals: dict[str, Any] = Factory(dict)
    spool: SpoolConfig | None = field(default=None, metadata={"example": spool_example})
    shards: int | None = field(default=None, validator=optional(between(1, 1024)))
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
    extensions: dict[str, ExtensionEntry] | None = None
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
