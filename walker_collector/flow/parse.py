"""Parse a flow from a JSON file, a TOML file, or a mapping in code."""

import json
import tomllib
from collections import Counter
from collections.abc import Mapping
from datetime import date, time
from math import isfinite
from pathlib import Path
from typing import Any, Final, NoReturn

from walker_collector.errors import ConfigError, Problem
from walker_collector.naming import join, kind

_DEPTH: Final = 60
"""Levels that a flow may be nested; the deepest known one has 20."""


def parse_flow(source: str | Path | Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """Return the plain values of a flow and the name of their source.

    Raises `ConfigError` for a file that cannot be read or parsed, with line and column.
    """
    if isinstance(source, Mapping):
        _check_values(source, "flow")
        return source, "flow"
    path = Path(source)
    name = str(path)
    text = _read_text(path)
    raw = _parse_toml(text, name) if path.suffix == ".toml" else _parse_json(text, name)
    if not isinstance(raw, Mapping):
        raise ConfigError(f"expected an object at the top, got {kind(raw)}", name)
    _check_values(raw, name)
    return raw, name


def _check_values(raw: Mapping[str, Any], name: str) -> None:
    """Refuse deep nesting and text that is not Unicode: no later step could handle them."""
    problems: list[Problem] = []
    left: list[tuple[Any, str, int]] = [(raw, "", 0)]
    while left:
        value, path, depth = left.pop()
        if isinstance(value, str):
            if not _is_unicode(value):
                problems.append(Problem(path, "not valid Unicode: it has a lone surrogate"))
            continue
        if not isinstance(value, Mapping | list | tuple):
            continue
        if depth > _DEPTH:
            raise ConfigError([Problem(path, f"nested more than {_DEPTH} levels deep")], name)
        if isinstance(value, Mapping):
            for key, item in value.items():
                if isinstance(key, str) and _is_unicode(key):
                    left.append((item, join(path, key), depth + 1))
                else:
                    problems.append(Problem(path, f"the key {ascii(key)[:80]} is not valid text"))
        else:
            left += [(item, join(path, index), depth + 1) for index, item in enumerate(value)]
    if problems:
        raise ConfigError(problems, name)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


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
    """Return the object, or refuse a duplicate key: the first one would silently be lost."""
    result = dict(pairs)
    if len(result) != len(pairs):
        counts = Counter(key for key, _ in pairs)
        twice = next(key for key, count in counts.items() if count > 1)
        raise ValueError(f"key {json.dumps(twice)} is there twice in one object")
    return result


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _parse_toml(text: str, name: str) -> Any:
    try:
        raw = tomllib.loads(text)
    except ValueError as error:  # an integer of thousands of digits is no TOMLDecodeError
        raise ConfigError(f"not valid TOML: {error}", name) from None
    except RecursionError:
        raise ConfigError("not valid TOML: nested too deeply", name) from None
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
