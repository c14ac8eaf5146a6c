"""A destination ready for use, made from a flow's configuration."""

import logging
import time
from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

import attrs
from attrs import frozen

from walker_collector.config import CollectorConfig, DestinationConfig, FlowConfig
from walker_collector.delivery.log_limiter import LogLimiter
from walker_collector.error_details import definition_of, failure_of
from walker_collector.errors import PluginError
from walker_collector.hooks import Hooks, connect, implements
from walker_collector.hookspecs import PROJECT, Context
from walker_collector.mapping import (
    CompiledMapping,
    Ignoring,
    Mapper,
    compile_ignoring,
    compile_rules,
)
from walker_collector.people.gate import Gate, compile_gate
from walker_collector.plugins import Registry, extensions_at_work
from walker_collector.text import brief, get_logger, storable
from walker_collector.tracebacks import HINT, is_wanted

if TYPE_CHECKING:
    from walker_collector.mapping.partial_decode import PartialRules

_BATCH_SIZE: Final = 100
"""Events in one `push_batch`, unless the plugin or the flow sets another size."""
_DECLARED_MAX: Final = 1_000_000_000
_LINGER: Final = 20
"""Wait (ms) of a batch for more events, unless the plugin sets another."""


class Share:
    """The part of a destination's people that this process delivers to, 0 to 1."""

    def __init__(self) -> None:
        self.value = 1.0

    def __call__(self) -> float:
        return self.value


@frozen(eq=False)
class Destination:
    """A destination ready for use: configuration, hooks, compiled mapping.

    `admits` checks the consent that the destination as a whole requires; if it does,
    `requires_consent` is true. `ignoring` says which events its rules ignore in any case (None: no
    event). `partial` decodes only the parts that are read (None: every event is decoded whole).
    `listens`: changes of consent are delivered to it. `relays`: so are statements of consent, and
    all events as they were received.
    """

    id: str
    config: DestinationConfig
    context: Context
    log: LogLimiter = attrs.field(repr=False)
    hooks: Hooks
    mapper: Mapper
    ignoring: Ignoring | None = None
    partial: "PartialRules | None" = attrs.field(default=None, repr=False)
    instance: Any = attrs.field(default=None, repr=False)
    listens: bool = False
    relays: bool = False
    batch_size: int = 1
    batch_bytes: int | None = None
    concurrency: int = 1
    linger: int = 0
    share: Share = attrs.field(factory=Share, repr=False)
    admits: Gate = attrs.field(init=False)
    requires_consent: bool = attrs.field(init=False)

    @admits.default
    def _gate(self) -> Gate:
        return compile_gate(self.config.consent, self.config.consent_mode)

    @requires_consent.default
    def _requires_consent(self) -> bool:
        return bool(self.config.consent)

    @property
    def status_without_consent(self) -> Literal["held", "dropped"]:
        """The status of a denied event that no rule ignores."""
        return "held" if self.config.queue else "dropped"

    def status_when_denied(self, name: str, body: bytes) -> Literal["ignored", "held", "dropped"]:
        """Return the status of an event, given its name and JSON, if its consent is denied."""
        if self.ignoring is not None and self.ignoring.by_conditions(name, body):
            return "ignored"
        return self.status_without_consent

    def log_bug(self, where: str, error: BaseException, of: str = "") -> None:
        """Log an unexpected exception of a hook or the mapping; `of` is the id of the event.

        The exception's text may quote an event: the log gets type and place only, and the
        traceback where that is wanted.
        """
        event = f" (event {of})" if of else ""
        more = "" if is_wanted(self.context.logger) else HINT
        failure = self.failure_of(where, error)
        self.log.error(
            "destination %s: %s raised %s%s%s",
            self.id,
            where,
            failure,
            event,
            more,
            error=error,
            event=of,
            topic=f"{where} raised {failure}",
        )

    def failure_of(self, where: str, error: BaseException) -> str:
        """Return type and place of an exception of a hook; one only returned has the hook's."""
        hook = getattr(type(self.instance), where, None)
        return failure_of(error, self.module, definition_of(hook))

    @property
    def module(self) -> str:
        """The module of the plugin's class."""
        return type(self.instance).__module__


class Host(Protocol):
    """The services of a collector for its destinations."""

    def status_of(self, destination: str) -> Any: ...

    def forget_soon(self, user: Mapping[str, Any]) -> None: ...


def build_destinations(
    flow: FlowConfig, registry: Registry | None = None, host: Host | None = None
) -> list[Destination]:
    """Instantiate the plugin of each enabled destination; resolve its hooks, compile its mapping.

    Every call makes new ones, as a forked child needs connections of its own. Without a host (in
    a simulation) the contexts have neither `status` nor `forget`.
    """
    enabled = {id: entry for id, entry in flow.destinations.items() if not entry.config.disabled}
    extensions = extensions_at_work(flow.collector, registry)
    return [
        _destination(id, enabled[id].config, hooks, host)
        for id, hooks in connect(enabled, extensions).items()
    ]


def announce(
    destinations: Iterable[Destination], config: CollectorConfig, registry: Registry | None
) -> None:
    """Call `watch` of the extensions that have it with each destination, before any delivery."""
    for name, entry in extensions_at_work(config, registry).items():
        watch: Any = getattr(entry.plugin, "watch", None)
        for destination in destinations if watch else ():
            if not entry.config.is_for(destination.id):
                continue
            try:
                watch(destination.context)
            except Exception as error:
                raise PluginError(f"extension {name}: watch raised {failure_of(error)}") from error


def _destination(
    id: str, config: DestinationConfig, hooks: Hooks, host: Host | None
) -> Destination:
    plugin = hooks.instance
    logger = _logger(id, config)
    log = LogLimiter(logger, time.monotonic, {"destination": id})
    share = Share()
    context = Context(
        id=id,
        settings=config.settings,
        config=config,
        env=config.env,
        logger=logger,
        status=partial(host.status_of, id) if host else None,
        forget=host.forget_soon if host else None,
        share=share,
        warn=log.warning,
    )
    batched = hooks.push_batch is not None
    has_bytes = getattr(plugin, "batch_bytes", None) is not None
    size = config.batch.size if config.batch and config.batch.size else None
    compiled = compile_rules(config)
    return Destination(
        id=id,
        config=config,
        context=context,
        log=log,
        hooks=hooks,
        mapper=compiled.mapper,
        ignoring=compile_ignoring(config),
        partial=_partial(plugin, config, hooks, compiled),
        instance=plugin,
        listens=_listens(plugin, config.settings),
        relays=getattr(plugin, "relays", False),
        batch_size=size or _declared(plugin, "batch_size", _BATCH_SIZE),
        batch_bytes=_declared(plugin, "batch_bytes", 1) if has_bytes else None,
        concurrency=config.concurrency or _declared(plugin, "concurrency", 1),
        share=share,
        linger=_declared(plugin, "linger", _LINGER, least=0) if batched else 0,
    )


def _partial(
    plugin: object, config: DestinationConfig, hooks: Hooks, compiled: CompiledMapping
) -> "PartialRules | None":
    """Return the rules for decoding in part; None unless all readers of events are known."""
    reads = getattr(plugin, "reads", None)
    more = hooks.extensions_read
    if reads is None or more is None or getattr(plugin, "relays", False):
        return None
    # Here, as msgspec is only for destinations that declare it, and takes a while to import.
    from walker_collector.mapping.partial_decode import compile_partial

    return compile_partial((*reads, *more), config.settings, compiled.simple_steps)


def _listens(plugin: object, settings: Any) -> bool:
    """Return whether changes of consent are delivered to the destination."""
    wants = getattr(plugin, "wants_consent", None)
    if wants is None or not implements(plugin, "consent"):
        return implements(plugin, "consent")
    try:
        return bool(wants(settings))
    except Exception as error:
        name = type(plugin).__qualname__
        raise PluginError(f"{name}.wants_consent raised {failure_of(error)}") from error


def _declared(plugin: object, attribute: str, default: int, least: int = 1) -> int:
    """Return a number that a plugin's class declares. Raises PluginError for anything else."""
    value = getattr(plugin, attribute, default)
    if type(value) is int and least <= value <= _DECLARED_MAX:
        return value
    raise PluginError(
        f"{type(plugin).__qualname__}.{attribute} must be a whole number from {least} to "
        f"{_DECLARED_MAX:,}, not {brief(storable(value), 40)}"
    )


def _logger(id: str, config: DestinationConfig) -> logging.Logger:
    logger = get_logger(f"{PROJECT}.destinations.{id}")
    if config.logger and config.logger.level_name:
        logger.setLevel(config.logger.level_name)
    return logger
