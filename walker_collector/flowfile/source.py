"""Where a flow comes from: a JSON file, a TOML file, or a mapping in code."""

import json
import tomllib
from collections.abc import Mapping
from datetime import date, time
from math import isfinite
from pathlib import Path
from typing import Any, NoReturn

from walker_collector.errors import ConfigError, Problem
from walker_collector.naming import join, kind


def read_source(source: str | Path | Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """Return the plain values of a flow and the name of where they came from.

    Raises `ConfigError` for a file that cannot be read or parsed, with line and column.
    """
    if isinstance(source, Mapping):
        return source, "flow"
    path = Path(source)
    name = str(path)
    text = _read_text(path)
    raw = _parse_toml(text, name) if path.suffix == ".toml" else _parse_json(text, name)
    if not isinstance(raw, Mapping):
        raise ConfigError(f"expected an object at the top, got {kind(raw)}", name)
    return raw, name


def _read_text(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"not UTF-8 text (byte {error.start})", str(path)) from None
    except OSError as error:
        raise ConfigError(f"cannot read the file: {error.strerror}", str(path)) from None


def _parse_json(text: str, name: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_distinct, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ConfigError(f"not valid JSON: {error.msg} ({where})", name) from None
    except ValueError as error:
        raise ConfigError(f"not valid JSON: {error}", name) from None
    except RecursionError:
        raise ConfigError("not valid JSON: nested too deeply", name) from None


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a key that is there twice: the first one would silently have no effect."""
    result = dict(pairs)
    if len(result) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f'key "{twice}" is there twice in one object')
    return result


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _parse_toml(text: str, name: str) -> Any:
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"not valid TOML: {error}", name) from None
    problems: list[Problem] = []
    plain = _plain(raw, "", problems)
    if problems:
        raise ConfigError(problems, name)
    return plain


def _plain(value: Any, path: str, problems: list[Problem]) -> Any:
    """Return TOML values as JSON has them: dates as text; infinities are refused."""
    if isinstance(value, dict):
        return {key: _plain(item, join(path, key), problems) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, join(path, index), problems) for index, item in enumerate(value)]
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, float) and not isfinite(value):
        problems.append(Problem(path, "not a finite number"))
    return value
