"""From a flow's configuration to destinations ready for delivery."""

import logging
import time
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Protocol

from walker_collector.config import DestinationConfig, FlowConfig
from walker_collector.delivery.dispatch import Destination
from walker_collector.delivery.throttle import Throttle
from walker_collector.hookspecs import PROJECT, Context
from walker_collector.mapping import compile_ignored, compile_mapping
from walker_collector.plugins import Connected, Registry, connect, implements
from walker_collector.validators import LOG_LEVELS

_BATCH_SIZE = 100
_LINGER = 20


class Host(Protocol):
    """What a collector does for its destinations."""

    def status_of(self, destination: str) -> Any: ...

    def forget_soon(self, user: Mapping[str, Any]) -> None: ...


def build_destinations(
    flow: FlowConfig, registry: Registry | None = None, host: Host | None = None
) -> list[Destination]:
    """Make one instance of each enabled destination's plugin, with hooks and mapping compiled.

    A fresh set at every call: a forked child needs connections of its own. Without a host (in a
    simulation) a context has neither `status` nor `forget`.
    """
    enabled = {id: entry for id, entry in flow.destinations.items() if not entry.config.disabled}
    extensions = registry.extensions() if registry else {}
    return [_destination(item, host) for item in connect(enabled, extensions).values()]


def announce(destinations: Iterable[Destination], registry: Registry | None) -> None:
    """Tell the extensions that ask for it of each destination, before anything is delivered."""
    for extension in (registry.extensions() if registry else {}).values():
        watch = getattr(extension, "watch", None)
        if watch is not None:
            for destination in destinations:
                watch(destination.context)


def _destination(connected: Connected, host: Host | None) -> Destination:
    config, plugin = connected.config, connected.instance
    logger = _logger(connected.id, config)
    context = Context(
        id=connected.id,
        settings=config.settings,
        config=config,
        env=config.env,
        logger=logger,
        status=partial(host.status_of, connected.id) if host else None,
        forget=host.forget_soon if host else None,
        warn=Throttle(logger, time.monotonic).warning,
    )
    batched = connected.hooks.push_batch is not None
    size = config.batch.size if config.batch and config.batch.size else None
    return Destination(
        id=connected.id,
        config=config,
        context=context,
        hooks=connected.hooks,
        mapper=compile_mapping(config),
        ignores=compile_ignored(config),
        instance=plugin,
        listens=_listens(plugin, config.settings),
        batch_size=size or _declared(plugin, "batch_size", _BATCH_SIZE),
        batch_bytes=getattr(plugin, "batch_bytes", None),
        concurrency=config.concurrency or _declared(plugin, "concurrency", 1),
        linger=_declared(plugin, "linger", _LINGER) if batched else 0,
    )


def _listens(plugin: object, settings: Any) -> bool:
    """Whether the destination is to be told of changes of consent."""
    wants = getattr(plugin, "wants_consent", None)
    return implements(plugin, "consent") and (wants is None or bool(wants(settings)))


def _declared(plugin: object, attribute: str, default: int) -> int:
    return int(getattr(plugin, attribute, default))


def _logger(id: str, config: DestinationConfig) -> logging.Logger:
    logger = logging.getLogger(f"{PROJECT}.destinations.{id}")
    level = config.logger.level if config.logger else None
    if isinstance(level, int):
        level = LOG_LEVELS[level]
    if level is not None:
        logger.setLevel(level.upper())
    return logger
