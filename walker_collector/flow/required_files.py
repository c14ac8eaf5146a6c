"""Files and folders that plugins do not make: `walker validate` looks whether they are there.

A flow is loaded without them: a destination whose folder is missing for a while keeps its events.
A field of a plugin's settings says what it needs in its metadata: `{"present": "folder"}`, that of
the file that it names, or `{"present": "file"}`.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from walker_collector.config import FlowConfig
from walker_collector.errors import ConfigError, Problem
from walker_collector.flow.types import disk_key
from walker_collector.naming import join
from walker_collector.validators import no_such_file

_STDIN = "-"


def require_files(flow: FlowConfig) -> None:
    """Raise ConfigError if something is missing that a destination or source in use needs."""
    problems: list[Problem] = []
    for id, destination in flow.destinations.items():
        if not destination.config.disabled:
            path = f"{join('destinations', id)}.config.settings"
            problems += _missing(destination.config.settings, path)
    for id, source in flow.sources.items():
        path = f"{join('sources', id)}.config.settings"
        problems += _missing(source.config.settings, path)
    if problems:
        raise ConfigError(problems, flow.source)


def _missing(settings: Any, path: str) -> Iterator[Problem]:
    for field in attrs.fields(type(settings)) if attrs.has(type(settings)) else ():
        needed, value = field.metadata.get("present"), getattr(settings, field.name)
        if needed is None or not isinstance(value, str) or value == _STDIN:
            continue
        place = join(path, disk_key(field))
        if needed == "file" and not os.path.exists(value):
            yield Problem(place, no_such_file(value))
        if needed == "folder" and not Path(value).parent.is_dir():
            folder = Path(value).parent
            yield Problem(place, f"there is no folder {folder}; create it, or correct the path")
