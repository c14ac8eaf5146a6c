"""Parse a flow from a JSON file, a TOML file, or a mapping in code."""

import json
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, time
from math import isfinite
from pathlib import Path
from typing import Any, Final, NoReturn

from attrs import frozen

from walker_collector.errors import ConfigError, Problem
from walker_collector.flow.positions import LineOf, line_finder
from walker_collector.flow.source_file import read_text
from walker_collector.flow.syntax_advice import json_advice
from walker_collector.naming import join, kind

_DEPTH: Final = 60
"""Levels that a flow may be nested; the deepest known one has 20."""
_MOST: Final = 50_000
"""Values of a flow file. The largest known one has 3,000; each takes time to check."""
_ENDLESS: Final = re.compile(r"[0-9_]{4300}")
"""More digits than Python reads."""
_PART: Final = r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')"""
_LONG_KEY: Final = re.compile(
    rf"(?:^|[\[{{,])[ \t]*+(?:{_PART}[ \t]*+\.[ \t]*+){{{_DEPTH},}}", re.M
)
"""A dotted key of TOML nested too deeply: parsing takes time by the square of its length."""


@frozen
class ParsedFlow:
    """The plain values of a flow file with its text, or of a mapping in code."""

    raw: Mapping[str, Any]
    name: str
    text: str = ""
    is_toml: bool = False

    def flows(self) -> list[str]:
        """Return the names of a file's flows, if it has several, without those for browsers."""
        flows = self.raw.get("flows")
        if not isinstance(flows, Mapping) or len(flows) < 2:
            return []
        return [name for name, flow in flows.items() if not _is_web(flow)]

    @contextmanager
    def located(self, flow: str | None = None) -> Iterator[None]:
        """Add the lines of the file to the problems of a `ConfigError` of its flow `flow`."""
        try:
            yield
        except ConfigError as error:
            error.add_lines(self.line_finder(flow))
            raise

    def line_finder(self, flow: str | None = None) -> LineOf:
        """Return a function that finds the lines of places in the flow `flow` of the file."""
        flows = self.raw.get("flows")
        only = only_flow(flows) if isinstance(flows, Mapping) else None
        names = [name for name in (flow or only, "default") if name]
        return line_finder(self.text, toml=self.is_toml, flows=names)


def only_flow(flows: Mapping[str, Any]) -> str | None:
    """Return the name of the flow that is run if none is named; None: there are several.

    It is `default`, or the only one, those for browsers left out, if there is any other.
    """
    names = [name for name, flow in flows.items() if not _is_web(flow)] or [*flows]
    if "default" in names:
        return "default"
    return names[0] if len(names) == 1 else None


def _is_web(flow: Any) -> bool:
    config = flow.get("config") if isinstance(flow, Mapping) else None
    return isinstance(config, Mapping) and config.get("platform") == "web"


def parse_flow(source: str | Path | Mapping[str, Any] | ParsedFlow) -> ParsedFlow:
    """Return the plain values of a flow and the name of their source.

    Raises `ConfigError` for a file that cannot be read or parsed, with line and column.
    """
    if isinstance(source, ParsedFlow):
        return source
    if isinstance(source, Mapping):
        _check_values(source, "flow")
        return ParsedFlow(source, "flow")
    path = Path(source)
    name = str(path)
    text = read_text(path)
    is_toml = path.suffix == ".toml"
    raw = _parse_toml(text, name) if is_toml else _parse_json(text, name)
    if not isinstance(raw, Mapping):
        raise ConfigError(f"expected an object at the top, got {kind(raw)}", name)
    parsed = ParsedFlow(raw, name, text, is_toml)
    with parsed.located():
        _check_values(raw, name)
    return parsed


def _check_values(raw: Mapping[str, Any], name: str) -> None:
    """Refuse values that no later step could handle.

    These are too many of them, nesting, numbers beyond 64 bits, and text that is not Unicode.
    """
    problems: list[Problem] = []
    count = 0
    left: list[tuple[Any, str, int]] = [(raw, "", 0)]
    while left:
        value, path, depth = left.pop()
        count += 1
        if count > _MOST:
            problems = problems or [Problem("", f"more than {_MOST:,} values; that is no flow")]
            break
        if not isinstance(value, Mapping | list | tuple):
            if message := _scalar_problem(value):
                problems.append(Problem(path, message))
            continue
        if isinstance(value, _WithTwin):
            problems.append(Problem(join(path, value.key), "the key is there twice"))
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


def _scalar_problem(value: Any) -> str | None:
    if isinstance(value, str) and not _is_unicode(value):
        return "not valid Unicode: it has a lone surrogate"
    if isinstance(value, int | float) and not _is_storable(value):
        return _TOO_LARGE
    return None


_TOO_LARGE: Final = "a number beyond 64 bits, or not finite; write it as text"


def _is_storable(number: float) -> bool:
    """Return whether events can have a number; NaN and infinities are in no JSON."""
    return isfinite(number) if isinstance(number, float) else -(2**63) <= number < 2**64


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _parse_json(text: str, name: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_distinct, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        advice = json_advice(text, error.pos, name)
        raise ConfigError(f"not valid JSON: {error.msg} ({where}){advice}", name) from None
    except ValueError as error:
        raise ConfigError(f"not valid JSON: {_reason(error, text)}", name) from None
    except RecursionError:
        raise ConfigError("not valid JSON: nested too deeply", name) from None


def _reason(error: ValueError, text: str) -> str:
    """Return the reason of a parser, with advice or the line of a number too long to be read."""
    if str(error).startswith("Invalid value"):
        return f"{error}; text stands in quotes"
    if found := _ENDLESS.search(text):
        line = text.count("\n", 0, found.start()) + 1
        return f"a number of thousands of digits (line {line})"
    return str(error)


class _WithTwin(dict[str, Any]):
    """An object with a key that its JSON has twice, so that one value is lost."""

    key: str


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object; one with a duplicate key is marked, to be refused with its place."""
    result = dict(pairs)
    if len(result) != len(pairs):
        counts = Counter(key for key, _ in pairs)
        result = _WithTwin(result)
        result.key = next(key for key, count in counts.items() if count > 1)
    return result


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _parse_toml(text: str, name: str) -> Any:
    if long := _LONG_KEY.search(text):
        line = text.count("\n", 0, long.start() + 1) + 1
        raise ConfigError(f"nested more than {_DEPTH} levels deep (line {line})", name)
    try:
        raw = tomllib.loads(text)
    except ValueError as error:  # an integer of thousands of digits is no TOMLDecodeError
        raise ConfigError(f"not valid TOML: {_reason(error, text)}", name) from None
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
