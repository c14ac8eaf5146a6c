"""From a flow's configuration to destinations ready for delivery."""

import logging
from collections.abc import Callable
from typing import Any

from walker_collector.config import DestinationConfig, FlowConfig
from walker_collector.delivery.dispatch import Destination
from walker_collector.hookspecs import PROJECT, Context
from walker_collector.mapping import compile_mapping
from walker_collector.plugins import Connected, Registry, connect, implements

_BATCH_SIZE = 100
_LINGER = 20


def build_destinations(
    flow: FlowConfig,
    registry: Registry | None = None,
    status_of: Callable[[str], Any] | None = None,
) -> list[Destination]:
    """Make one instance of each enabled destination's plugin, with hooks and mapping compiled.

    A fresh set at every call: a forked child needs connections of its own.
    """
    enabled = {id: entry for id, entry in flow.destinations.items() if not entry.config.disabled}
    extensions = registry.extensions() if registry else {}
    return [
        _destination(connected, status_of) for connected in connect(enabled, extensions).values()
    ]


def _destination(connected: Connected, status_of: Callable[[str], Any] | None) -> Destination:
    config, plugin = connected.config, connected.instance
    context = Context(
        id=connected.id,
        settings=config.settings,
        config=config,
        env=config.env,
        logger=_logger(connected.id, config),
        status=(lambda: status_of(connected.id)) if status_of else None,
    )
    batched = connected.hooks.push_batch is not None
    size = config.batch.size if config.batch and config.batch.size else None
    return Destination(
        id=connected.id,
        config=config,
        context=context,
        hooks=connected.hooks,
        mapper=compile_mapping(config),
        instance=plugin,
        listens=implements(plugin, "consent"),
        batch_size=size or _declared(plugin, "batch_size", _BATCH_SIZE),
        batch_bytes=getattr(plugin, "batch_bytes", None),
        concurrency=config.concurrency or _declared(plugin, "concurrency", 1),
        linger=_declared(plugin, "linger", _LINGER) if batched else 0,
    )


def _declared(plugin: object, attribute: str, default: int) -> int:
    return int(getattr(plugin, attribute, default))


def _logger(id: str, config: DestinationConfig) -> logging.Logger:
    logger = logging.getLogger(f"{PROJECT}.destinations.{id}")
    level = (config.logger or {}).get("level")
    if isinstance(level, str):
        logger.setLevel(level.upper())
    elif isinstance(level, int):
        # walkerOS: 0 error, 1 warn, 2 info, 3 debug
        logger.setLevel([logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG][level % 4])
    return logger
