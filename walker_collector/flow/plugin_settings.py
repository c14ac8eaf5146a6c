"""Read the settings that belong to a plugin."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs

from walker_collector.config import Secret, Unset
from walker_collector.errors import Problem
from walker_collector.flow.diagnostics import Diagnostics
from walker_collector.flow.references import STAND_IN
from walker_collector.flow.types import disk_key, structure
from walker_collector.naming import join, kind
from walker_collector.validators import check_certificates, check_file


def read_settings(
    plugin: Any, raw: Any, path: str, lenient: bool, diagnostics: Diagnostics
) -> tuple[Any, list[Problem]]:
    """Build a destination's settings; with `lenient`, placeholders replace absent secrets.

    An optional setting with an unset environment variable is left out with a warning, as in
    walkerOS.
    """
    cls = getattr(plugin, "settings", None)
    raw = {} if raw is None else raw
    if cls is not None and isinstance(raw, Mapping):
        for key in _unset_options(raw, cls):
            diagnostics.forgive(join(path, key))
            raw = {other: value for other, value in raw.items() if other != key}
        raw = _with_stand_ins(raw, cls) if lenient else raw
    settings, problems = structure_own(raw, cls, path)
    if cls is not None and settings is not None and not lenient:
        problems += _unusable_files(settings, cls, path)
    return settings, problems


_CHECKS: Final = {"certificates": check_certificates, "file": check_file}
"""By a key in the metadata of a field that is a path."""


def _unusable_files(settings: Any, cls: type[Any], path: str) -> Iterator[Problem]:
    for field in attrs.fields(cls):
        file = getattr(settings, field.name)
        for check in (_CHECKS[key] for key in _CHECKS if key in field.metadata):
            try:
                if isinstance(file, str):
                    check(file)
            except ValueError as error:
                yield Problem(join(path, disk_key(field)), str(error))


def structure_own(raw: Any, cls: type | None, path: str) -> tuple[Any, list[Problem]]:
    """Build a plugin's own part of the configuration; a plugin without a class takes none."""
    if cls is not None:
        return structure(raw, cls, path)
    if raw == {}:
        return None, []
    if isinstance(raw, Mapping):
        return None, [Problem(join(path, key), "this package takes no settings") for key in raw]
    return None, [Problem(path, f"expected an object, got {kind(raw)}")]


def _unset_options(raw: Mapping[str, Any], cls: type[Any]) -> list[str]:
    options = {
        name
        for field in attrs.fields(cls)
        if field.default is not attrs.NOTHING
        for name in (field.name, disk_key(field))
    }
    return [key for key, value in raw.items() if isinstance(value, Unset) and key in options]


def _with_stand_ins(raw: Mapping[str, Any], cls: type[Any]) -> dict[str, Any]:
    """Return the settings with a placeholder for every absent credential.

    A credential is a field of type `Secret`, or one with `credential` in its metadata.
    """
    attrs.resolve_types(cls)
    absent = {
        disk_key(field): STAND_IN
        for field in attrs.fields(cls)
        if _is_credential(field) and raw.keys().isdisjoint({field.name, disk_key(field)})
    }
    return {**raw, **absent}


def _is_credential(field: "attrs.Attribute[Any]") -> bool:
    return field.type in (Secret, Secret | None) or "credential" in field.metadata
