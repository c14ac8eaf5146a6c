"""Read one entry of `sources`: find its plugin, build its settings and the steps of its events."""

from collections.abc import Mapping
from typing import Any, Final

import attrs

from walker_collector.config import DestinationConfig, SourceConfig, SourceEntry, TransformerConfig
from walker_collector.errors import PluginError
from walker_collector.flow.diagnostics import Diagnostics
from walker_collector.flow.entry import (
    check_id,
    check_mapping,
    is_disabled,
    keys_of_config,
    merged_config,
    package_of,
    read_entry,
)
from walker_collector.flow.loading import Loading
from walker_collector.flow.misplaced import places_of_source
from walker_collector.flow.plugin_settings import read_settings
from walker_collector.flow.references import ReferenceContext
from walker_collector.flow.rule_tree import check_keys
from walker_collector.flow.shape import IDLE_SOURCE_KEYS, Source
from walker_collector.flow.transformers import Transformers
from walker_collector.flow.types import structure
from walker_collector.flow.types.unknown import keys_elsewhere
from walker_collector.flow.unsupported import refuse_unsupported_of_source
from walker_collector.naming import join

_OF_CONFIG: Final = keys_of_config(SourceConfig, Source)
_CHAINS: Final = ("before", "next")
_STEPS: Final = ("consent", "policy", "mapping")
WITHOUT_EFFECT: Final = {
    "data": "makes nothing in a source, as in walkerOS; write it as data of the destinations",
    "include": "adds nothing in a source, as in walkerOS; write it as include of the destinations",
    "ingest": "is not read here; a setting of the source says what is kept of the request",
}
"""Keys that walkerOS reads without an effect on the events, and their advice."""


def read_source(
    id: str,
    raw: Any,
    loading: Loading,
    *,
    serve: bool,
) -> SourceEntry | None:
    """Read one source; report its problems to the diagnostics of `loading`.

    None for a source that is disabled, has problems, or lacks its package or a secret. The last two
    are problems only if the flow is to be served.
    """
    if serve:
        return _read(id, raw, loading, serve=True)
    trial, transformers = Diagnostics(), loading.transformers
    again = Transformers(transformers.raw, transformers.context, trial)
    entry = _read(
        id, raw, attrs.evolve(loading, transformers=again, diagnostics=trial), serve=False
    )
    if trial.problems:  # with placeholders for what is unset, which must not pass for a key: None
        lenient = attrs.evolve(loading.context, lenient=True)
        _read(id, raw, attrs.evolve(loading, context=lenient), serve=False)
        return None
    loading.diagnostics.warnings += trial.warnings
    return entry


def _read(
    id: str,
    raw: Any,
    loading: Loading,
    *,
    serve: bool,
) -> SourceEntry | None:
    context, diagnostics = loading.context, loading.diagnostics
    path = join("sources", id)
    before = len(diagnostics.problems)
    check_id(id, path, diagnostics)
    entry = read_entry(raw, Source, _OF_CONFIG, context, path, diagnostics)
    if entry is None or is_disabled(entry, context):
        return None
    context = context.with_variables(entry.variables)
    config = merged_config(entry, path, context, IDLE_SOURCE_KEYS, diagnostics)
    refuse_unsupported_of_source(path, attrs.asdict(entry, recurse=False), config, diagnostics)
    first, last = (_chain(key, entry, config, path, loading.transformers) for key in _CHAINS)
    plugin = _find_plugin(entry, path, loading, serve=serve)
    with keys_elsewhere(places_of_source(plugin)):
        read = _read_config(plugin, config, path, context, diagnostics)
    if plugin is None or read is None or len(diagnostics.problems) > before:
        return None
    read = attrs.evolve(read, before=first, next=last)
    return SourceEntry(package=package_of(entry), plugin=plugin, config=read)


def _chain(
    key: str,
    entry: Source,
    config: Mapping[str, Any],
    path: str,
    transformers: Transformers,
) -> tuple[TransformerConfig, ...]:
    """Return the transformers of a chain; that beside `config` wins, as in walkerOS."""
    if beside := getattr(entry, key):
        return transformers.chain(beside, join(path, key))
    if config.get(key):
        return transformers.chain(config[key], join(path, "config", key))
    return ()


def _find_plugin(entry: Source, path: str, loading: Loading, *, serve: bool) -> type | None:
    try:
        if package := package_of(entry):
            return loading.registry.find_source(package)
        message = "required: which plugin brings events in, such as http"
    except PluginError as error:
        message = str(error)
    if serve:
        loading.diagnostics.add(join(path, "package"), message)
    return None


def _read_config(
    plugin: type | None,
    raw: Mapping[str, Any],
    path: str,
    context: ReferenceContext,
    diagnostics: Diagnostics,
) -> SourceConfig | None:
    path = join(path, "config")
    for key, advice in WITHOUT_EFFECT.items():
        if raw.get(key):
            diagnostics.warnings.append(f"{join(path, key)}: {advice}")
    left = {*WITHOUT_EFFECT, *_CHAINS, "settings", "env", "mock"}
    left |= {key for key in _STEPS if raw.get(key) in ("", [])}  # as no value, in walkerOS
    config = {key: value for key, value in raw.items() if key not in left}
    diagnostics.problems += check_keys(config.get("mapping"), join(path, "mapping"))
    if plugin is not None:
        place = join(path, "settings")
        config["settings"], wrong = read_settings(
            plugin, raw.get("settings"), place, context.lenient, diagnostics
        )
        diagnostics.problems += wrong
    read = diagnostics.take(structure(config, SourceConfig, path))
    if read is not None:
        check_mapping(
            DestinationConfig(policy=read.policy, mapping=read.mapping), path, diagnostics
        )
    return read
