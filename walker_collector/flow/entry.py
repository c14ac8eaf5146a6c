"""Read the keys that every entry of `destinations` and `sources` has: package, config, disabled."""

import re
from collections.abc import Collection, Mapping
from typing import Any, Final, TypeVar

import attrs

from walker_collector.config import MISSING, DestinationConfig, Placeholder
from walker_collector.errors import ConfigError, Problem
from walker_collector.flow.diagnostics import Diagnostics
from walker_collector.flow.references import ReferenceContext, foreign_references, resolve
from walker_collector.flow.shape import Entry
from walker_collector.flow.types import disk_key, structure
from walker_collector.mapping import compile_mapping
from walker_collector.naming import join, kind
from walker_collector.validators import names_destination

E = TypeVar("E", bound=Entry)

_VERSIONED: Final = re.compile(r"(@?[^@]+)@.+")
"""A package with a version, for walkerOS's bundler. Here the installed version is used."""


def keys_of_config(config: type[Any], entry: type[Entry]) -> set[str]:
    """Return the keys that walkerOS reads in `config` only."""
    beside = {disk_key(field) for field in attrs.fields(entry)}
    return {disk_key(field) for field in attrs.fields(config)} - beside


def check_id(id: str, path: str, diagnostics: Diagnostics) -> None:
    """Report an id that is no name."""
    try:
        names_destination(None, None, id)
    except ValueError as error:
        diagnostics.add(path, str(error))


def read_entry(
    raw: Any,
    cls: type[E],
    of_config: Collection[str],
    context: ReferenceContext,
    path: str,
    diagnostics: Diagnostics,
) -> E | None:
    """Return the keys beside `config`; those `of_config` are refused there.

    References in `config` and `env` are resolved later.
    """
    if not isinstance(raw, Mapping):
        diagnostics.read(raw, cls, path)
        return None
    variables = raw.get("variables")
    context = context.with_variables(variables if isinstance(variables, Mapping) else None)
    misplaced = [key for key in raw if key in of_config]
    for key in misplaced:
        diagnostics.add(join(path, key), "stands inside config, as in walkerOS")
    kept = {key: value for key, value in raw.items() if key not in misplaced}
    scalars = {key: kept[key] for key in ("package", "disabled") if key in kept}
    if "disabled" in scalars:
        scalars["disabled"], _ = resolve(scalars["disabled"], attrs.evolve(context, lenient=True))
    return diagnostics.read({**kept, **scalars}, cls, path)


def is_disabled(entry: Entry, context: ReferenceContext) -> bool:
    """Return whether the entry is left out, as it or its config says."""
    if entry.disabled:
        return True
    context = attrs.evolve(context, lenient=True)
    config = resolve(entry.config, context)[0] if isinstance(entry.config, str) else entry.config
    disabled = config.get("disabled") if isinstance(config, Mapping) else None
    return structure(resolve(disabled, context)[0], bool)[0] is True


def package_of(entry: Entry) -> str:
    """Return the package without its version; "" if none is named."""
    versioned = _VERSIONED.fullmatch(entry.package or "")
    return versioned[1] if versioned else entry.package or ""


def merged_config(
    entry: Entry,
    path: str,
    context: ReferenceContext,
    idle: Collection[str],
    diagnostics: Diagnostics,
) -> dict[str, Any]:
    """Return the config with references resolved and the keys that walkerOS allows beside it.

    The `idle` keys of the config are left out.
    """
    beside = {"id": entry.id, "logger": entry.logger, "mock": entry.mock, "env": entry.env}
    given = {key: value for key, value in beside.items() if value not in (None, MISSING)}
    outer = diagnostics.take(resolve(given, context, path))
    inner = diagnostics.take(resolve(entry.config, context, join(path, "config")))
    if not isinstance(inner, Mapping):
        if not isinstance(inner, Placeholder):
            diagnostics.add(join(path, "config"), f"expected an object, got {kind(inner)}")
        inner = {}
    config = {**outer, **{key: value for key, value in inner.items() if key not in idle}}
    diagnostics.warnings += foreign_references(entry.config, join(path, "config"))
    if isinstance(inner.get("env"), Mapping):
        config["env"] = {**outer["env"], **inner["env"]}
    if entry.disabled:
        config["disabled"] = True
    return config


def check_mapping(config: DestinationConfig, path: str, diagnostics: Diagnostics) -> None:
    """Report the problems that the mapping's compiler finds."""
    try:
        compile_mapping(config)
    except ConfigError as error:
        diagnostics.problems += [
            Problem(f"{path}.{item.path}", item.message) for item in error.problems
        ]
