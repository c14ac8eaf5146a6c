"""Load a flow: parse the file, choose a flow in it, resolve references, build the classes.

Every step collects its problems instead of stopping at the first. Places in them start below the
chosen flow, also in a file of several flows: `destinations.crm.config.settings.siteId`.
"""

import os
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final

import attrs

from walker_collector.config import (
    CollectorConfig,
    DestinationEntry,
    FlowConfig,
    Placeholder,
    SourceEntry,
)
from walker_collector.errors import ConfigError, Problem
from walker_collector.flow.destination_entry import read_destination
from walker_collector.flow.diagnostics import Diagnostics
from walker_collector.flow.extension_entry import check_destinations, read_extensions
from walker_collector.flow.loading import Loading
from walker_collector.flow.lossy_edges import warn_of_lossy_edge, warn_of_lossy_worker
from walker_collector.flow.misplaced import FLOW_PLACES
from walker_collector.flow.open_rules import warn_of_open_rules
from walker_collector.flow.parse import ParsedFlow, only_flow, parse_flow
from walker_collector.flow.positions import LineOf
from walker_collector.flow.references import ReferenceContext, resolve
from walker_collector.flow.required_files import require_files
from walker_collector.flow.requirements import settle_requirements
from walker_collector.flow.shape import IDLE_COLLECTOR_KEYS, VERSION, Flow, FlowFile, ShortFlow
from walker_collector.flow.source_entry import read_source
from walker_collector.flow.transformers import Transformers
from walker_collector.flow.types import (
    allow_functions,
    structure,
    structure_or_raise,
    without_imports,
)
from walker_collector.flow.types.unknown import keys_elsewhere
from walker_collector.flow.unsupported import check_collector, check_steps
from walker_collector.naming import bounded_hints, hint, kind
from walker_collector.plugins import Registry
from walker_collector.text import brief, visible
from walker_collector.validators import check_file

_WARNING_MAX: Final = 2_000
_DESTINATIONS_MAX: Final = 1_000
"""Destinations of a flow. Each has threads of its own; the largest known flow has 40."""
_ROOM: Final = CollectorConfig().queue_max
"""Least number of events that may wait in memory, unless the flow sets `queueWait`.

In walkerOS, `collector.queueMax` refuses no event: it limits the earlier events that a destination
gets when it is added later. A flow written for walkerOS must not start to refuse events here, so
a smaller number counts only beside `queueWait`, which walkerOS does not have.
"""


def load_flow(
    source: str | Path | Mapping[str, Any] | ParsedFlow,
    *,
    flow: str | None = None,
    environ: Mapping[str, str] = os.environ,
    registry: Registry | None = None,
    credentials: bool = True,
    imports: bool = True,
    functions: Iterable[str] | None = None,
    serve: bool = False,
    events_given: bool = False,
    files: bool = False,
) -> FlowConfig:
    """Read a flow: a path to JSON or TOML, or a mapping; `flow` names one of several.

    With `credentials=False`, for simulations, placeholders replace unset environment variables and
    absent secrets. With `imports=False`, for commands that map no event, the callables that the
    flow names are not imported: importing runs their code. `functions` lists the modules whose
    callables a flow may name, with their submodules; None allows any. With `serve`, the packages
    and secrets of the sources must be there, too. With `events_given`, for commands whose users
    give the events, no warning says that sources are not started. With `files`, the files and
    folders that plugins do not make must be there. Raises `ConfigError` listing every problem with
    its place.
    """
    importing = nullcontext() if imports else without_imports()
    with bounded_hints(), keys_elsewhere(FLOW_PLACES), importing, allow_functions(functions):
        try:
            parsed = parse_flow(source)
            with parsed.located(flow):
                found = _load(parsed, flow, environ, registry, credentials, serve, events_given)
                if files:
                    require_files(found)
                return found
        except RecursionError:  # from a plugin's class, say, which nests its settings
            raise ConfigError("nested too deeply", str(source)[:200]) from None


def _load(
    parsed: ParsedFlow,
    flow: str | None,
    environ: Mapping[str, str],
    registry: Registry | None,
    credentials: bool,
    serve: bool,
    events_given: bool,
) -> FlowConfig:
    name = parsed.name
    diagnostics = Diagnostics()
    shape, flow_name, shared = _choose(parsed.raw, flow, name, diagnostics)
    context = ReferenceContext(environ, lenient=not credentials)
    context = context.with_variables(shared).with_variables(shape.variables)
    _check_platform(shape, diagnostics)
    check_steps(shape, diagnostics, tell_of_sources=not (serve or events_given))
    registry = Registry().discover() if registry is None else registry
    transformers = Transformers(shape.transformers, context, diagnostics)
    loading = Loading(context, registry, transformers, diagnostics)
    collector = _read_collector(shape.collector, loading)
    destinations = _read_destinations(shape, collector, loading)
    sources = _read_sources(shape, loading, serve=serve)
    if not any(not entry.config.disabled for entry in destinations.values()):
        diagnostics.warnings.append(
            "destinations: the flow uses none; its events are accepted and go nowhere"
        )
    diagnostics.raise_for(name)
    diagnostics.warnings += warn_of_open_rules(sources, destinations)
    diagnostics.warnings += warn_of_lossy_edge(sources, destinations, collector)
    diagnostics.warnings += warn_of_lossy_worker(sources, collector)
    return FlowConfig(
        collector=collector,
        destinations=destinations,
        sources=sources,
        name=flow_name,
        source=name,
        warnings=_with_lines(diagnostics.warnings, parsed.line_finder(flow)),
    )


def _with_lines(warnings: Iterable[str], line_of: LineOf) -> tuple[str, ...]:
    """Return each warning once, with the line of its place, or of the first one of several."""
    shown = (visible(brief(text, _WARNING_MAX)) for text in dict.fromkeys(warnings))
    lines = ((text, line_of(text.partition(":")[0].partition(", ")[0])) for text in shown)
    return tuple(f"{text} (line {line})" if line else text for text, line in lines)


def _choose(
    raw: Mapping[str, Any], flow: str | None, source: str, diagnostics: Diagnostics
) -> tuple[Flow, str, Mapping[str, Any]]:
    """Return the flow, its name, and the variables of its file."""
    _check_version(raw.get("version", VERSION), source)
    if "flows" not in raw:
        if flow not in (None, "default"):
            raise ConfigError(f"the file is one flow, named default; there is no {flow}", source)
        return diagnostics.read(raw, ShortFlow), "default", {}
    file = structure_or_raise(raw, FlowFile, source=source)
    name = flow or _only_flow(file, source)
    if name not in file.flows:
        raise ConfigError(f"there is no flow {name}{hint(name, file.flows, 'flows')}", source)
    return diagnostics.read(file.flows[name], Flow), name, file.variables


def _check_version(version: Any, source: str) -> None:
    if version == str(VERSION):
        raise ConfigError([Problem("version", f"is a number; write {VERSION}")], source)
    if version != VERSION:
        message = (
            f"version {version!r} is not supported: this reads walkerOS version {VERSION}"
            f' ("version": {VERSION}); migrate the file with walkerOS first'
        )
        raise ConfigError([Problem("version", message)], source)


def _only_flow(file: FlowFile, source: str) -> str:
    if not file.flows:
        advice = 'there is none; write {"default": {"destinations": {...}}}'
        raise ConfigError([Problem("flows", advice)], source)
    name = only_flow(file.flows)
    if name is None:
        names = ", ".join(sorted(file.flows))
        raise ConfigError(f"name the flow to run; the file has: {names}", source)
    return name


def _check_platform(shape: Flow, diagnostics: Diagnostics) -> None:
    if shape.config.platform == "web":
        message = 'a web flow runs in browsers; this runs flows with "platform": "server"'
        diagnostics.add("config.platform", message)


def _read_collector(raw: Any, loading: Loading) -> CollectorConfig:
    context, diagnostics = loading.context, loading.diagnostics
    if isinstance(raw, str):
        raw = diagnostics.take(resolve(raw, context, "collector"))
    raw = {} if raw is None else raw
    if not isinstance(raw, Mapping):
        if not isinstance(raw, Placeholder):
            diagnostics.add("collector", f"expected an object, got {kind(raw)}")
        return CollectorConfig()
    check_collector(raw, diagnostics)
    plain = {key: value for key, value in raw.items() if key not in IDLE_COLLECTOR_KEYS}
    resolved = diagnostics.take(resolve(plain, context, "collector"))
    _merge_globals(resolved, diagnostics)
    listed = resolved.pop("extensions", None)
    extensions = read_extensions(listed, loading.registry, context.lenient, diagnostics)
    collector = diagnostics.take(structure(resolved, CollectorConfig, "collector"))
    if collector and (collector.shards or 1) > 1 and collector.spool is None:
        diagnostics.warnings.append(
            "collector.shards: has no effect without a spool, as one process delivers everything"
        )
    if collector and collector.spool and collector.spool.path and not context.lenient:
        _check_spool(collector.spool.path, diagnostics)
    if collector is None:
        return CollectorConfig()
    collector = attrs.evolve(collector, extensions=extensions)
    bounded = not resolved.keys().isdisjoint({"queueWait", "queue_wait"})
    if bounded or collector.queue_max >= _ROOM:
        return collector
    diagnostics.warnings.append(
        f"collector.queueMax: as in walkerOS, it refuses no event before {_ROOM:,} wait; beside"
        " queueWait it bounds how many do"
    )
    return attrs.evolve(collector, queue_max=_ROOM)


def _check_spool(path: str, diagnostics: Diagnostics) -> None:
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        diagnostics.add("collector.spool.path", _no_folder(folder))
        return
    try:
        check_file(path)
    except ValueError as error:
        diagnostics.add("collector.spool.path", str(error))


def _no_folder(folder: str) -> str:
    return f"there is no folder {folder}; create it, or correct the path"


def _merge_globals(collector: dict[str, Any], diagnostics: Diagnostics) -> None:
    """Put walkerOS's `globalsStatic` below `globals`."""
    static = collector.pop("globalsStatic", None)
    if static is None:
        return
    if not isinstance(static, Mapping):
        diagnostics.add("collector.globalsStatic", f"expected an object, got {kind(static)}")
        return
    own = collector.get("globals")
    if own is None or isinstance(own, Mapping):  # else `structure` refuses it
        collector["globals"] = {**static, **(own or {})}


def _read_destinations(
    shape: Flow, collector: CollectorConfig, loading: Loading
) -> dict[str, DestinationEntry]:
    diagnostics = loading.diagnostics
    check_destinations(collector.extensions, shape.destinations, diagnostics)
    if len(shape.destinations) > _DESTINATIONS_MAX:
        diagnostics.add("destinations", f"there are more than {_DESTINATIONS_MAX:,}")
        return {}
    read = {id: read_destination(id, entry, loading) for id, entry in shape.destinations.items()}
    return settle_requirements(read, collector, diagnostics)


def _read_sources(shape: Flow, loading: Loading, *, serve: bool) -> dict[str, SourceEntry]:
    sources: dict[str, SourceEntry] = {}
    for id, entry in shape.sources.items():
        read = read_source(id, entry, loading, serve=serve)
        if read is None:
            continue
        called = read.config.id or id
        if called != id and (called in sources or called in shape.sources):
            loading.diagnostics.add(f"sources.{id}.config.id", f"another one is called {called}")
        sources[called] = read
    return sources
