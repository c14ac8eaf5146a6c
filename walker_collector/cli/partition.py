"""Lines of events spread over processes: all lines that concern a person go to one of them.

Identifiers that any line names together belong to one group of people, also if a later line does
so: nothing of a person ever has to move from a process to another. A group may be larger than a
person, as when two people use one device; it is never smaller.
"""

import heapq
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import cycle
from typing import Any, Final

import orjson

from walker_collector.errors import EventError
from walker_collector.people.identity import KINDS, identifiers
from walker_collector.sources.file.lines import Lines

EVERY: Final = 255
"""The place of a line that every process has to read."""
MOST: Final = EVERY - 1
"""Processes, at most."""
_NOBODY: Final = -1
_EVERYBODY: Final = -2
_CACHED: Final = 100_000
"""Users, as JSON, in the cache of their groups."""


def partition(lines: Iterable[Lines], user: Mapping[str, Any], count: int) -> bytes:
    """Return the process (0 to `count` - 1, or EVERY) of each line that is not blank.

    `user`: what every event is completed with. The groups of people with the most lines are spread
    first, so that each process has about the same number of lines.
    """
    groups = _Groups(user)
    found = array("q")
    for some in lines:
        found.extend(map(groups.of_line, (text for _, text in some.numbered())))
    return groups.spread(found, count)


class _Groups:
    """Groups of people, by number; groups with a common member are joined."""

    def __init__(self, user: Mapping[str, Any]) -> None:
        self._user = {kind: user[kind] for kind in KINDS if kind in user}
        self._joined: list[int] = []
        """Of each group one that it has joined, or itself."""
        self._by_key: dict[str, int] = {}
        self._by_text: dict[bytes, int] = {}
        """Groups by the JSON of a user, as it stands in a line."""

    def of_line(self, text: bytes) -> int:
        """Return the group that a line concerns.

        Reading all of a line takes several times as long as its user, which is the object after
        the one "user" of the line. Where that stands deeper, the event itself has no user.
        """
        # From the right: CPython looks for bytes three times as fast in that direction.
        at = -1 if self._user else text.rfind(b'"user"')
        is_usual = at >= 0 > text.rfind(b'"user"', 0, at) and b"\\" not in text
        if is_usual and text.rfind(b'"walker ') < 0:
            end = text.find(b"}", at) + 1
            found = self._by_text.get(text[at:end])
            if found is not None:
                return found
            if user := _object(b"{" + text[at:end] + b"}"):
                if len(self._by_text) >= _CACHED:
                    self._by_text.clear()
                found = self._by_text[text[at:end]] = self._of_event(user)
                return found
        return self._of_event(_object(text))

    def _of_event(self, event: Mapping[str, Any]) -> int:
        name, user = event.get("name"), event.get("user")
        if name in ("walker user", "walker globals"):
            if name == "walker user" and isinstance(data := event.get("data"), Mapping):
                self._user |= {kind: data[kind] for kind in KINDS if kind in data}
                self._by_text.clear()
            return _EVERYBODY
        if name == "walker consent":
            return self._of_user(user, {}) if isinstance(user, Mapping) else _EVERYBODY
        return self._of_user(user if isinstance(user, Mapping) else {})

    def _of_user(self, user: Mapping[str, Any], default: Mapping[str, Any] | None = None) -> int:
        given = {kind: user[kind] for kind in KINDS if user.get(kind) is not None}
        try:
            keys = identifiers({**(self._user if default is None else default), **given})
        except EventError:  # the event will be refused
            return _NOBODY
        if not keys:
            return _NOBODY
        groups = [self._root(self._by_key[key]) for key in keys if key in self._by_key]
        first = min(groups) if groups else self._new()
        for key in keys:
            self._by_key.setdefault(key, first)
        for group in groups:
            self._joined[group] = first
        return first

    def _new(self) -> int:
        self._joined.append(len(self._joined))
        return len(self._joined) - 1

    def _root(self, group: int) -> int:
        joined = self._joined
        while joined[group] != group:
            joined[group] = group = joined[joined[group]]
        return group

    def spread(self, lines: "array[int]", count: int) -> bytes:
        """Return the process of each line, given the group of each."""
        counts = Counter(lines)
        sizes = Counter[int]()
        for group in counts.keys() - {_NOBODY, _EVERYBODY}:
            sizes[self._root(group)] += counts[group]
        loads, places = [(0, process) for process in range(count)], dict[int, int]()
        for root, size in sizes.most_common():
            load, places[root] = loads[0]
            heapq.heapreplace(loads, (load + size, places[root]))
        found = {group: places[self._root(group)] for group in counts if group >= 0}
        found[_EVERYBODY] = EVERY
        if _NOBODY not in counts:
            return bytes(map(found.__getitem__, lines))
        turns = cycle(range(count))  # lines of nobody have no order
        return bytes(next(turns) if group == _NOBODY else found[group] for group in lines)


def _object(text: bytes) -> Mapping[str, Any]:
    """Return the JSON object of a text; empty for anything else, which is refused later."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}
