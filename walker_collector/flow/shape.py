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

    platform: `server`; a flow for browsers is refused.
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
    config: how it is set up, in the wrapper that all destinations share.
    env: objects that code hands to the destination; `config` may have it as well.
    variables: for `$var` within this destination; they go before the flow's.
    disabled: leave the destination out.
    id: as in `config`.
    logger: as in `config`.
    mock: as in `config`.
    before: as in `config`.
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
    config: how it is set up, and what happens to its events, in the wrapper that all sources share.
    env: objects for code; not used here.
    variables: for `$var` within this source; they go before the flow's.
    disabled: leave the source out.
    id: as in `config`.
    logger: as in `config`.
    before: as in `config`.
    next: as in `config`.
    """

    primary: Any = None


@frozen(kw_only=True)
class Flow:
    """One flow: the collector, and its destinations by their ids.

    config: options of the flow itself.
    collector: the starting state, where events wait, and bounds.
    packages: for walkerOS's bundler; not used here.
    destinations: the packages that get the events, each under an id of your choice.
    variables: for `$var.name`; they go before those of the file.
    transformers: steps that change events, named by a destination's `before`.
    sources: the packages that bring events in, which `walker serve` starts.
    stores: not run here; a warning says so.
    """

    config: FlowOptions = Factory(FlowOptions)
    collector: Any = Factory(dict)
    destinations: dict[str, Any] = Factory(dict)
    variables: dict[str, Any] = Factory(dict)
    sources: dict[str, Any] = Factory(dict)
    transformers: dict[str, Any] = Factory(dict)
    stores: dict[str, Any] = Factory(dict)
    packages: Any = None
    contract: Any = None


@frozen(kw_only=True)
class FlowFile:
    """A file of named flows.

    flows: by name; the one called `default` is run where none is named.
    version: of walkerOS's format.
    variables: for `$var.name` in all flows.
    schema: where an editor finds this schema.
    """

    flows: dict[str, Any]
    version: int = VERSION
    variables: dict[str, Any] = Factory(dict)
    schema: str | None = field(default=None, metadata={"key": "$schema"})
    include: Any = None
    contract: Any = None


@frozen(kw_only=True)
class ShortFlow(Flow):
    """A file that is one flow: short for `flows.default`.

    version: of walkerOS's format.
    schema: where an editor finds this schema.
    """

    version: int = VERSION
    schema: str | None = field(default=None, metadata={"key": "$schema"})
    include: Any = None
