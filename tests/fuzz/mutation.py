"""Mutation of JSON values and of text, decided by a seed."""

import random
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from typing import Any

from attrs import define

Json = Any
MOST = 10_000
"""Places of one value that are looked at; some go round in circles."""

ODD: Sequence[Json] = (
    None,
    True,
    False,
    0,
    -1,
    1e300,
    -0.0,
    2**53 + 1,
    2**64,
    10**400,
    float("nan"),
    float("-inf"),
    "",
    " ",
    "*",
    "\x00",
    "\x1b[2J\x07",
    "a\nb",
    "\u202e\u2028\ufeff",
    "\ud800",
    "\U0001f600" * 3,
    "x" * 10_000,
    "." * 500,
    "a." * 300,
    "nested.*.data.*.*",
    "__class__.__init__.__globals__",
    "../../etc/passwd",
    "$env.FUZZ_SECRET",
    "$env.MISSING",
    "$env.MISSING:5",
    "$secret.FUZZ_SECRET",
    "$var.one",
    "$var.self",
    "$var.",
    "$env.",
    "$code:(e) => e",
    "%s%n{0}{a.b}",
    "1995-13-99",
    "2024-02-29T23:59:60Z",
    "builtins:len",
    "no_such_module_here:f",
    [],
    {},
    [[]],
    {"": ""},
    [None],
    {"map": None},
    {"loop": [[], []]},
    {"key": 1, "value": {"a": None}},
    {"set": [{"value": []}]},
    {"fn": "builtins:len"},
    [{"condition": "builtins:bool"}, "data"],
)
"""Values that hardly any place expects. Those that name a callable name a harmless one."""


@define
class Place:
    """A place in a JSON value: the list or object that has it, and its index or key there."""

    parent: Any
    key: Any

    @property
    def value(self) -> Json:
        return self.parent[self.key]

    @value.setter
    def value(self, value: Json) -> None:
        self.parent[self.key] = value


def places(value: Json) -> Iterator[Place]:
    """Yield every place below a value."""
    left = [value]
    for parent in left:
        if type(parent) is dict:
            keys: Iterable[Any] = list(parent)
        elif type(parent) is list:
            keys = range(len(parent))
        else:
            continue
        for key in keys:
            yield Place(parent, key)
            if len(left) < MOST:
                left.append(parent[key])


def _has(place: Place) -> bool:
    try:
        place.value  # noqa: B018 - the question is whether it raises
    except LookupError:
        return False
    return True


class Mutator:
    """Changes values at places that a seed decides; `pool` are values whose parts are mixed in."""

    def __init__(self, seed: int, pool: Sequence[Json]) -> None:
        self.chance = random.Random(seed)
        self.parts = [deepcopy(place.value) for value in pool for place in places(value)]
        self.trail: list[str] = []
        """What was done to the last value."""
        self.keys = sorted({str(place.key) for value in pool for place in places(value)})

    def mutate(self, value: Json) -> Json:
        """Return a changed copy, mostly changed in one to three places."""
        changed = deepcopy(value)
        self.trail = []
        for _ in range(self.chance.choice((1, 1, 1, 2, 3, 8))):
            found = list(places(changed))
            if found:
                self._change(self.chance.choice(found))
        return changed

    def odd(self) -> Json:
        """Return a value that hardly any place expects, or a part from elsewhere."""
        chosen = self.chance.choice(ODD) if self.chance.random() < 0.7 else self._part()
        return deepcopy(chosen)

    def _part(self) -> Json:
        return self.chance.choice(self.parts)

    def _change(self, place: Place) -> None:
        steps = (self._replace, self._replace, self._remove, self._rename, self._add, self._wrap)
        step = self.chance.choice((*steps, self._deepen, self._touch))
        was = place.value
        step(place)
        here = place.value if _has(place) else "nothing"
        self.trail.append(f"{step.__name__[1:]} {place.key!r}: {was!r:.80} -> {here!r:.200}")

    def _replace(self, place: Place) -> None:
        place.value = self.odd()

    def _remove(self, place: Place) -> None:
        del place.parent[place.key]

    def _rename(self, place: Place) -> None:
        if isinstance(place.parent, dict):
            value = place.parent.pop(place.key)
            name = self.chance.choice((self.chance.choice(self.keys), self.text(place.key), ""))
            place.parent[name] = value

    def _add(self, place: Place) -> None:
        if isinstance(place.value, dict):
            place.value[self.chance.choice(self.keys)] = self.odd()
        elif isinstance(place.value, list):
            place.value.insert(self.chance.randrange(len(place.value) + 1), self.odd())
        else:
            self._replace(place)

    def _wrap(self, place: Place) -> None:
        name = self.chance.choice(self.keys)
        place.value = self.chance.choice(([place.value], {name: place.value}, [place.value] * 30))

    def _deepen(self, place: Place) -> None:
        for _ in range(self.chance.choice((3, 40, 100))):
            place.value = {"a": place.value} if self.chance.random() < 0.5 else [place.value]

    def _touch(self, place: Place) -> None:
        value = place.value
        if isinstance(value, str):
            place.value = self.text(value)
        elif isinstance(value, bool):
            place.value = not value
        elif isinstance(value, int | float):
            place.value = self.chance.choice((-value, value * 10**6, [value], "5", 0.5))
        else:
            self._replace(place)

    def text(self, text: str) -> str:
        """Return text with one change."""
        at = self.chance.randrange(len(text) + 1)
        piece = self.chance.choice(("\x00", "\x1b[1m", ":", ".", "$", "é", " ", "A", "\r\n", ""))
        return text[:at] + piece + text[at + self.chance.choice((0, 0, 1)) :]

    def damage(self, content: bytes) -> bytes:
        """Return bytes with a few changed, cut out, repeated or put in."""
        made = bytearray(content)
        for _ in range(self.chance.choice((1, 1, 2, 5))):
            at = self.chance.randrange(len(made) + 1)
            end = min(len(made), at + self.chance.choice((0, 1, 1, 3, 20)))
            piece = self.chance.choice(
                (b"", bytes([self.chance.randrange(256)]), b'"', b"{", b"[" * 5, b"]", b",", b"\\u")
            )
            made[at:end] = bytes(made[at:end]) * 2 if self.chance.random() < 0.1 else piece
        return bytes(made)
