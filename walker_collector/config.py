"""The attrs classes of a flow file, structured by cattrs; errors name the path on disk.

Keys are camelCase on disk and snake_case in Python; both spellings are read.
The shape is walkerOS version 4's: `flows.<name>.destinations.<id>.config`.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from attrs import Factory, field, frozen


class Missing:
    """The type of MISSING: no value at all, as distinct from None (JSON null)."""

    def __repr__(self) -> str:
        return "MISSING"

    def __bool__(self) -> bool:
        return False

    def __reduce__(self) -> str:
        return "MISSING"


MISSING: Final = Missing()

Consent = Mapping[str, bool]
"""Consent state or requirement: key -> granted."""

Section = Literal["data", "globals", "context", "user", "source", "event", "all"]
"""What `include` may name: the sections of an event that walkerOS flattens, or all of them."""


class Secret(str):
    """A string that never shows itself: `repr` and `format` are masked."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"

    def __format__(self, spec: str) -> str:
        return "***"

    def reveal(self) -> str:
        """Return the plain string, for the one place that must send it."""
        return str.__str__(self)


class Placeholder(str):
    """Stands for what a simulation does without: a credential, an unset environment variable."""

    __slots__ = ()


@frozen
class ValueSpec:
    """How a value is found in an event: a path, alternatives, or an object of steps."""


@frozen
class PathSpec(ValueSpec):
    """A dotted path (`data.id`, `nested.*.data.sku`); the empty path is the whole input."""

    path: str


@frozen
class AlternativesSpec(ValueSpec):
    """A list of values: the first that is defined wins."""

    items: tuple[ValueSpec, ...]


@frozen(kw_only=True)
class ObjectSpec(ValueSpec):
    """The object form of a value; an empty one resolves to nothing."""

    key: str | None = None
    value: Any = MISSING
    map: dict[str, ValueSpec | None] | None = None
    loop: tuple[ValueSpec, ValueSpec] | None = None
    set: list[ValueSpec | None] | None = None
    fn: Callable[..., Any] | None = None
    condition: Callable[..., Any] | None = None
    consent: Consent | None = None
    validate: Callable[..., Any] | None = None


@frozen(kw_only=True)
class BatchConfig:
    """When a batch is sent: `wait` ms of quiet, `size` events, `age` ms since its first event."""

    wait: int | None = None
    size: int | None = None
    age: int | None = None


@frozen(kw_only=True)
class RuleConfig:
    """One mapping rule: what becomes of the events of one entity and action.

    `settings` is an instance of the plugin's `rule_settings`. `extend` of a flow file is gone
    by now: the rule is already merged onto the one the destination ships.
    """

    name: str | None = None
    data: ValueSpec | None = None
    policy: dict[str, ValueSpec] | None = None
    include: list[Section] | None = None
    remove: list[str] | None = None
    ignore: bool = False
    skip: bool = False
    condition: Callable[..., Any] | None = None
    consent: Consent | None = None
    batch: BatchConfig | None = None
    settings: Any = None


Rules = dict[str, dict[str, RuleConfig | list[RuleConfig]]]
"""entity -> action -> a rule, or a list of them: the first whose condition holds applies."""


@frozen(kw_only=True)
class BreakerConfig:
    """When to stop trying: `threshold` failures in a row, then `cooldown` ms until one probe."""

    threshold: int = 5
    cooldown: int = 30_000


@frozen(kw_only=True)
class RetryConfig:
    """How a failed delivery is tried again: exponential backoff with full jitter (all in ms).

    Bounded by `attempts` and by `age` since the event was accepted, whichever comes first.
    """

    attempts: int = 20
    age: int = 7 * 24 * 3_600_000
    base: int = 500
    cap: int = 300_000


@frozen(kw_only=True)
class DestinationConfig:
    """The standard wrapper around a destination's own settings.

    `settings` is an instance of the plugin's `settings` class.
    """

    id: str | None = None
    consent: Consent | None = None
    consent_mode: Literal["any", "all"] = "any"
    settings: Any = None
    data: ValueSpec | None = None
    include: list[Section] | None = None
    policy: dict[str, ValueSpec] | None = None
    mapping: Rules | None = None
    env: dict[str, Any] = Factory(dict)
    queue: bool = True
    queue_max: int = 10_000
    queue_age: int = 30 * 24 * 3_600_000
    dlq_max: int = 10_000
    require: list[str] = Factory(list)
    disabled: bool = False
    batch: BatchConfig | None = None
    breaker: BreakerConfig = BreakerConfig()
    retry: RetryConfig = RetryConfig()
    concurrency: int | None = None
    rate_limit: float | None = None
    timeout: int | None = None
    mock: Any = MISSING
    logger: dict[str, Any] | None = None


@frozen(kw_only=True)
class DestinationEntry:
    """One entry of `destinations`: which package, its class, with which configuration."""

    package: str
    plugin: type
    config: DestinationConfig = Factory(DestinationConfig)


@frozen(kw_only=True)
class SpoolConfig:
    """Where accepted events wait: a SQLite file, bounded by events and bytes.

    `sync` is "normal" (survives a crash of the process) or "full" (survives a loss of power).
    """

    path: str
    sync: Literal["normal", "full"] = "normal"
    max_events: int = 10_000_000
    max_bytes: int = 10_000_000_000


@frozen(kw_only=True)
class CollectorConfig:
    """What the collector itself is told: starting state, spool, bounds of an event."""

    consent: Consent = Factory(dict)
    user: dict[str, Any] = Factory(dict)
    globals: dict[str, Any] = Factory(dict)
    spool: SpoolConfig | None = None
    queue_max: int = 100_000
    queue_wait: int = 5_000
    max_depth: int = 32
    max_bytes: int = 1_000_000
    people_max: int = 100_000
    close_timeout: int = 10_000


@frozen(kw_only=True)
class FlowConfig:
    """One flow: the collector and its destinations by id.

    `warnings` says, a line each, what of the file is not done here.
    """

    collector: CollectorConfig = Factory(CollectorConfig)
    destinations: dict[str, DestinationEntry] = Factory(dict)
    name: str = "default"
    source: str = field(default="flow")
    warnings: tuple[str, ...] = ()
