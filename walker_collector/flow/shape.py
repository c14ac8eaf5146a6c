"""The outer shape of a flow file: walkerOS version 4, and its shorthand of one flow.

Only the outer keys are read here. The inside of destinations and of the collector is read later,
after references are resolved.
"""

from typing import Any, Final, Literal

from attrs import Factory, field, frozen

from walker_collector.config import MISSING

VERSION: Final = 4

IDLE_CONFIG_KEYS: Final = frozenset({"init", "loadScript", "setup"})
"""Keys of walkerOS's destination config that change nothing here."""

IDLE_SOURCE_KEYS: Final = frozenset({*IDLE_CONFIG_KEYS, "async", "env", "mock", "primary"})
"""Keys of walkerOS's source config that change nothing here."""

IDLE_COLLECTOR_KEYS: Final = frozenset(
    {
        "run",
        "sessionStatic",
        "logger",
        "hooks",
        "custom",
        "tagging",
        "observe",
        "before",
        "next",
    }
)
"""Keys of walkerOS's collector that change nothing, or are refused by `unsupported.py`."""


@frozen(kw_only=True)
class FlowOptions:
    """A flow's own options; only `platform` matters here.

    platform: `server` is run here; a flow for browsers is refused.
    url, settings, bundle, observe: a key of walkerOS that has no effect here.
    """

    platform: Literal["server", "web"] | None = None
    url: Any = None
    settings: Any = None
    bundle: Any = None
    observe: Any = None


@frozen(kw_only=True)
class Entry:
    """One destination of a flow: which package, with which configuration.

    package: the name of an installed destination, or another name it goes by.
    config: the destination is set up here, in the wrapper that all destinations share.
    env: code hands these objects to the destination; `config` may have them as well.
    variables: the values of `$var.name` within this destination; they go before the flow's.
    disabled: true leaves the destination out.
    id: the same as in `config`.
    logger: the same as in `config`.
    mock: the same as in `config`.
    before: the same as in `config`.
    import_, examples, chain_mocks, code: a key of walkerOS that has no effect here.
    """

    package: str | None = None
    config: Any = Factory(dict)
    env: dict[str, Any] = Factory(dict)
    variables: dict[str, Any] = Factory(dict)
    disabled: bool = False
    id: str | None = None
    logger: dict[str, Any] | None = None
    mock: Any = MISSING
    import_: Any = None
    examples: Any = None
    chain_mocks: Any = None
    code: Any = None
    before: Any = None
    next: Any = None
    cache: Any = None
    state: Any = None


@frozen(kw_only=True)
class Source(Entry):
    """One source of a flow: which package brings events in, with which configuration.

    package: the name of an installed source, or another name it goes by.
    config: the source and the treatment of its events, in the wrapper that all sources share.
    env: objects for code are not used here.
    variables: the values of `$var.name` within this source; they go before the flow's.
    disabled: true leaves the source out.
    id: the same as in `config`.
    logger: the same as in `config`.
    before: the same as in `config`.
    next: the same as in `config`.
    primary: a key of walkerOS that has no effect here.
    """

    primary: Any = None


@frozen(kw_only=True)
class Flow:
    """One flow: the collector, and its destinations by their ids.

    config: the options of the flow itself.
    collector: the starting state, the place where events wait, and bounds.
    packages: this is for walkerOS's bundler, and not used here.
    contract: a key of walkerOS that has no effect here.
    destinations: the packages that get the events, each under an id of your choice.
    variables: the values of `$var.name`; they go before those of the file.
    transformers: the steps that change events, named by `before` of a destination, or by `before`
        or `next` of a source.
    sources: the packages that bring events in, which `walker serve` starts.
    stores: stores are not run here; a warning says so.
    """

    config: FlowOptions = Factory(FlowOptions)
    collector: Any = Factory(dict)
    destinations: dict[str, Any] = field(
        factory=dict, metadata={"example": '{"out": {"package": "console"}}'}
    )
    variables: dict[str, Any] = Factory(dict)
    sources: dict[str, Any] = Factory(dict)
    transformers: dict[str, Any] = Factory(dict)
    stores: dict[str, Any] = Factory(dict)
    packages: Any = None
    contract: Any = None


@frozen(kw_only=True)
class FlowFile:
    """A file of named flows.

    flows: the flows by their names; the one called `default` is run where none is named.
    version: the version of walkerOS's format.
    variables: the values of `$var.name` in all flows.
    include, contract: a key of walkerOS that has no effect here.
    schema: an editor finds this schema there.
    """

    flows: dict[str, Any] = field(metadata={"example": '{"default": {"destinations": {...}}}'})
    version: int = VERSION
    variables: dict[str, Any] = Factory(dict)
    schema: str | None = field(default=None, metadata={"key": "$schema"})
    include: Any = None
    contract: Any = None


@frozen(kw_only=True)
class ShortFlow(Flow):
    """A file that is one flow: short for `flows.default`.

    version: the version of walkerOS's format.
    include: a key of walkerOS that has no effect here.
    schema: an editor finds this schema there.
    """

    version: int = VERSION
    schema: str | None = field(default=None, metadata={"key": "$schema"})
    include: Any = None
