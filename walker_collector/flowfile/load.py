"""The steps from a file to a flow: read, choose the flow, resolve, structure.

Each step collects all it finds. Places in problems are below the flow chosen, whatever the
file's shape: `destinations.crm.config.settings.siteId`.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from walker_collector.config import CollectorConfig, DestinationEntry, FlowConfig
from walker_collector.errors import ConfigError
from walker_collector.flowfile.destination import ReadDestination, read_destination
from walker_collector.flowfile.findings import Findings
from walker_collector.flowfile.references import Surroundings, resolve
from walker_collector.flowfile.shape import IDLE_COLLECTOR_KEYS, VERSION, Flow, FlowFile, ShortFlow
from walker_collector.flowfile.source import read_source
from walker_collector.naming import hint, join
from walker_collector.plugins import Registry, unusable
from walker_collector.structuring import structure, structure_or_raise

_COLLECTOR_EVENTS: Final = frozenset(
    {"config", "consent", "custom", "globals", "ready", "run", "session", "user"}
)
"""What `require` names in walkerOS: the collector events a destination waits for."""

_NOT_RUN: Final = {
    "sources": "events come in through push or `walker run`",
    "transformers": "use policy, data and mapping, or an extension",
    "stores": "nothing reads them",
}


def load_flow(
    source: str | Path | Mapping[str, Any],
    *,
    flow: str | None = None,
    environ: Mapping[str, str] = os.environ,
    registry: Registry | None = None,
    credentials: bool = True,
) -> FlowConfig:
    """Read a flow: a path to JSON or TOML, or a mapping; `flow` names one of several.

    With `credentials=False`, for simulations, what is not set in the environment and every
    absent secret is stood in for. Raises `ConfigError` listing every problem with its place.
    """
    raw, name = read_source(source)
    found = Findings()
    shape, flow_name, shared = _choose(raw, flow, name, found)
    around = Surroundings(environ, lenient=not credentials)
    around = around.with_variables(shared).with_variables(shape.variables)
    _check_platform(shape, found)
    collector = _read_collector(shape.collector, around, found)
    registry = Registry().discover() if registry is None else registry
    destinations = _read_destinations(shape, around, registry, found)
    if not any(not entry.config.disabled for entry in destinations.values()):
        found.warnings.append(
            "destinations: there are none in use; events are accepted and go nowhere"
        )
    found.raise_for(name)
    return FlowConfig(
        collector=collector,
        destinations=destinations,
        name=flow_name,
        source=name,
        warnings=tuple(found.warnings),
    )


def _choose(
    raw: Mapping[str, Any], flow: str | None, source: str, found: Findings
) -> tuple[Flow, str, Mapping[str, Any]]:
    """Return the flow, its name, and the variables of its file."""
    _check_version(raw.get("version", VERSION), source)
    if "flows" not in raw:
        if flow not in (None, "default"):
            raise ConfigError(f"the file is one flow, named default; there is no {flow}", source)
        return found.read(raw, ShortFlow), "default", {}
    file = structure_or_raise(raw, FlowFile, source=source)
    name = flow or _only_flow(file, source)
    if name not in file.flows:
        raise ConfigError(f"there is no flow {name}{hint(name, file.flows, 'flows')}", source)
    return found.read(file.flows[name], Flow), name, file.variables


def _check_version(version: Any, source: str) -> None:
    if version != VERSION:
        raise ConfigError(
            f"version {version!r} is not supported: this reads walkerOS version {VERSION}"
            f' ("version": {VERSION}); migrate the file with walkerOS first',
            source,
        )


def _only_flow(file: FlowFile, source: str) -> str:
    if "default" in file.flows:
        return "default"
    if len(file.flows) != 1:
        names = ", ".join(sorted(file.flows)) or "none"
        raise ConfigError(f"name the flow to run; the file has: {names}", source)
    return next(iter(file.flows))


def _check_platform(shape: Flow, found: Findings) -> None:
    if shape.config.platform == "web":
        message = 'a web flow runs in browsers; this runs flows with "platform": "server"'
        found.add("config.platform", message)
    for key, instead in _NOT_RUN.items():
        if getattr(shape, key):
            found.warnings.append(f"{key}: not run here; {instead}")


def _read_collector(
    raw: Mapping[str, Any], around: Surroundings, found: Findings
) -> CollectorConfig:
    plain = {key: value for key, value in raw.items() if key not in IDLE_COLLECTOR_KEYS}
    resolved = found.take(resolve(plain, around, "collector"))
    static = resolved.pop("globalsStatic", None)
    if isinstance(static, Mapping):
        resolved["globals"] = {**static, **resolved.get("globals", {})}
    collector = found.take(structure(resolved, CollectorConfig, "collector"))
    return collector or CollectorConfig()


def _read_destinations(
    shape: Flow, around: Surroundings, registry: Registry, found: Findings
) -> dict[str, DestinationEntry]:
    for extension in registry.unusable_extensions():
        found.add(f"extension {extension.name}", unusable(extension))
    read = {
        id: read_destination(id, entry, around, registry, found)
        for id, entry in shape.destinations.items()
    }
    return _settle_requirements(read, found)


def _settle_requirements(
    destinations: Mapping[str, ReadDestination], found: Findings
) -> dict[str, DestinationEntry]:
    """Check what destinations wait for; drop walkerOS's collector events with a warning."""
    settled = {}
    for id, destination in destinations.items():
        path = join("destinations", id, "config", "require")
        kept = [name for name in destination.require if name not in _COLLECTOR_EVENTS]
        for name in set(destination.require) - set(kept):
            found.warnings.append(
                f"{path}: {name} is a collector event, which is not awaited here; to hold events"
                " until consent is given, use consent"
            )
        for name in kept:
            _check_requirement(id, name, path, destinations, found)
        if entry := destination.entry:
            settled[id] = attrs.evolve(entry, config=attrs.evolve(entry.config, require=kept))
    return settled


def _check_requirement(
    id: str,
    name: str,
    path: str,
    destinations: Mapping[str, ReadDestination],
    found: Findings,
) -> None:
    if name not in destinations:
        found.add(path, f"there is no destination {name}{hint(name, destinations, 'there are')}")
        return
    required = destinations[name].entry
    if required and required.config.disabled:
        found.add(path, f"destination {name} is disabled: it is never ready")
    if id in _awaited(name, destinations):
        found.add(path, f"{id} and {name} wait for each other")


def _awaited(id: str, destinations: Mapping[str, ReadDestination]) -> set[str]:
    """Return a destination and all that it waits for, directly or through others."""
    awaited: set[str] = set()
    left = [id]
    while left:
        name = left.pop()
        if name not in awaited and name in destinations:
            awaited.add(name)
            left += destinations[name].require
    return awaited
