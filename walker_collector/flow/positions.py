"""The lines of a flow file at which its places stand, for messages to its author."""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from attrs import define

from walker_collector.naming import join

LineOf = Callable[[str], int | None]
"""Returns the line of a place; None if it is unknown."""

_LARGEST: Final = 1_000_000
"""Characters of a file that is looked through: messages must not wait for a large one."""
_JSON_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,\n]|[^\s{}\[\]:,"]+')
_TOML_KEY: Final = re.compile(
    r"""[ \t]*(?P<table>\[\[?)?[ \t]*(?P<key>(?:[\w.-]|"[^"\n]*"|'[^'\n]*')+)[ \t]*[]=]"""
)
_TOML_PART: Final = re.compile(r"""[\w-]+|"[^"\n]*"|'[^'\n]*'""")


def line_finder(text: str, *, toml: bool = False, flows: Iterable[str] = ()) -> LineOf:
    """Return a function that finds the line of a place, or of the nearest one around it.

    `flows` are names of flows: places are below the one that is run.
    """
    if len(text) > _LARGEST:
        return lambda path: None
    found = dict(_toml_places(text) if toml else _json_places(text))
    above = [join("flows", name) for name in flows]

    def line_of(path: str) -> int | None:
        for start in above:
            if start in found:
                return _nearest(found, f"{start}.{path}" if path else start)
        return _nearest(found, path)

    return line_of


def _nearest(found: dict[str, int], path: str) -> int | None:
    while path and path not in found:
        path = path[: max(path.rfind("."), path.rfind("["), 0)]
    return found.get(path)


@define
class _Frame:
    """An object or a list that is being read. `index` is None in an object."""

    path: str
    index: int | None
    wants_key: bool


def _json_places(text: str) -> Iterator[tuple[str, int]]:
    """Yield the places of a valid JSON text, each with its line."""
    line, path = 1, ""
    frames: list[_Frame] = []
    for match in _JSON_TOKEN.finditer(text):
        token = match[0]
        frame = frames[-1] if frames else None
        if token == "\n":
            line += 1
        elif token in "}]":
            frames.pop()
        elif token == ",":
            if frame and frame.index is not None:
                frame.index += 1
            elif frame:
                frame.wants_key = True
        elif token == ":":
            continue
        elif frame and frame.wants_key:
            path = join(frame.path, json.loads(token))
            frame.wants_key = False
            yield path, line
        else:
            if frame and frame.index is not None:
                path = join(frame.path, frame.index)
                yield path, line
            if token in "{[":
                frames.append(_Frame(path, None if token == "{" else 0, token == "{"))


def _toml_places(text: str) -> Iterator[tuple[str, int]]:
    """Yield the places of tables and keys that begin a line, each with its line."""
    table = ""
    counts: dict[str, int] = {}
    for line, source in enumerate(text.split("\n"), 1):
        match = _TOML_KEY.match(source)
        if match is None:
            continue
        parts = [part.strip("\"'") for part in _TOML_PART.findall(match["key"])]
        if match["table"] is None:
            yield join(table, *parts), line
            continue
        table = join("", *parts)
        if match["table"] == "[[":
            counts[table] = counts.get(table, -1) + 1
            table = join(table, counts[table])
        yield table, line
