"""Python objects of every odd kind, for those who hand in events."""

import enum
import random
import uuid
from collections import ChainMap, Counter, OrderedDict, UserDict, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, make_dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePosixPath
from types import MappingProxyType, SimpleNamespace
from typing import Any, Final, NamedTuple

import attrs


class Broken(Exception):
    """What the objects here raise."""


class Mute(Exception):
    """An exception that cannot be shown."""

    def __str__(self) -> str:
        raise Broken

    __repr__ = __str__


class Raising(Mapping[str, Any]):
    """A mapping of which nothing can be read."""

    def __getitem__(self, key: str) -> Any:
        raise Broken

    def __iter__(self) -> Iterator[str]:
        raise Mute

    def __len__(self) -> int:
        return 3


class Endless(Mapping[str, Any]):
    """A mapping that says it has two keys and yields others."""

    def __getitem__(self, key: str) -> Any:
        return Endless() if key == "a" else key

    def __iter__(self) -> Iterator[str]:
        yield from ("a", "b", "a")

    def __len__(self) -> int:
        return 2


class Changing(UserDict[str, Any]):
    """A mapping that gains a key whenever it is read."""

    def __getitem__(self, key: str) -> Any:
        self.data[f"more{len(self.data)}"] = 1
        return super().__getitem__(key)


class Text(str):
    """Text that raises at every question."""

    def __str__(self) -> str:
        raise Broken

    def __eq__(self, other: object) -> bool:
        raise Broken

    def __hash__(self) -> int:
        return str.__hash__(self)

    def encode(self, *_: Any, **__: Any) -> bytes:
        raise Broken

    def split(self, *_: Any, **__: Any) -> Any:
        raise Broken


class Whole(int):
    """A number that raises at every question."""

    def __str__(self) -> str:
        raise Broken

    def __index__(self) -> int:
        raise Broken

    __int__ = __float__ = __index__  # type: ignore[assignment]  # all raise


class Undecided:
    """An object without truth, length, hash or text."""

    def __bool__(self) -> bool:
        raise Broken

    def __len__(self) -> int:
        raise Broken

    def __repr__(self) -> str:
        raise Broken

    def __eq__(self, other: object) -> bool:
        raise Broken

    __hash__ = None  # type: ignore[assignment]  # it has none

    def __getattr__(self, name: str) -> Any:
        raise Broken


class Lying(list[Any]):
    """A list that has no items for those who ask."""

    def __iter__(self) -> Iterator[Any]:
        raise Broken

    def __len__(self) -> int:
        return 10**9


class Zone(tzinfo):
    def utcoffset(self, when: datetime | None) -> timedelta:
        raise Broken


class Offset(tzinfo):
    def utcoffset(self, when: datetime | None) -> Any:
        return "an hour"


class Colour(enum.Enum):
    RED = "red"
    HUGE = 2**70
    LIST = (1, [2])


class Hidden(enum.Enum):
    ONE = 1

    @property
    def value(self) -> Any:
        raise Broken


class Flag(enum.IntFlag):
    A = 1


class Pair(NamedTuple):
    a: Any
    b: Any


@dataclass
class Data:
    a: Any = 1


@attrs.define
class Attributes:
    a: Any = attrs.field(factory=lambda: Data(Decimal("1e400")))


def _circle() -> dict[str, Any]:
    circle: dict[str, Any] = {}
    circle["circle"] = [circle]
    return circle


def _deep(kind: type, levels: int) -> Any:
    value: Any = kind()
    for _ in range(levels):
        value = [value] if kind is list else {"a": value}
    return value


def _generator() -> Iterator[int]:
    yield 1
    raise Broken


KINDS: Final[tuple[Callable[[], Any], ...]] = (
    object,
    Raising,
    Endless,
    lambda: Changing(a=1),
    lambda: Text("u1"),
    lambda: Whole(5),
    Undecided,
    lambda: Lying([1]),
    _circle,
    lambda: _deep(list, 100),
    lambda: _deep(dict, 100_000),
    _generator,
    lambda: 10**5_000,
    lambda: 2**63,
    lambda: -(2**64),
    lambda: float("nan"),
    lambda: 1e400,
    lambda: Decimal("sNaN"),
    lambda: Decimal("1e999999"),
    lambda: Decimal("1.10"),
    lambda: Fraction(1, 3),
    lambda: complex(1, 2),
    lambda: b"bytes",
    lambda: bytearray(b"x"),
    lambda: memoryview(b"x"),
    lambda: {1, "a", None},
    lambda: frozenset({frozenset({1})}),
    lambda: (1, (2, {"a": (3,)})),
    lambda: deque([1, 2]),
    lambda: range(3),
    lambda: Pair(1, Pair(2, object())),
    lambda: Data(Data(object())),
    Attributes,
    lambda: make_dataclass("Empty", [])(),
    lambda: SimpleNamespace(a=1),
    lambda: MappingProxyType({"a": 1}),
    lambda: OrderedDict(a=OrderedDict(b=1)),
    lambda: defaultdict(dict, a=1),
    lambda: ChainMap({"a": 1}, {"b": 2}),
    lambda: Counter("abc"),
    lambda: UserDict(a=UserDict(b=1)),
    lambda: datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))),
    lambda: datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone(timedelta(hours=-14))),
    lambda: datetime(2024, 1, 1, tzinfo=Zone()),
    lambda: datetime(2024, 1, 1, tzinfo=Offset()),
    lambda: datetime.now(UTC),
    lambda: date.min,
    lambda: time(12, tzinfo=UTC),
    lambda: timedelta(days=1),
    lambda: uuid.UUID(int=1),
    lambda: PurePosixPath("/a"),
    lambda: Colour.RED,
    lambda: Colour.HUGE,
    lambda: Colour.LIST,
    lambda: Hidden.ONE,
    lambda: Flag(3),
    lambda: Colour,
    lambda: len,
    lambda: lambda: 1,
    lambda: ...,
    lambda: NotImplemented,
    lambda: Broken("x"),
    Mute,
    lambda: type("Odd", (dict,), {"items": lambda self: 5})(a=1),
    lambda: "\ud800",
    lambda: "a\udc00b" * 50,
    lambda: "\x00\x1b[31m\r\n",
    lambda: "x" * 20_000,
    lambda: "a@" + "." * 30_000 + "@",
    lambda: {"\ud800": 1},
    lambda: {1: 1, "1": 2, 1.5: 3, "1.5": 4},
    lambda: {None: 1, ("a",): 2},
    lambda: {"k" * 5_000: {"k" * 5_000: 1}},
    lambda: {f"k{n}": n for n in range(3_000)},
    lambda: [[]] * 1_000,
    lambda: "",
    lambda: 0,
    lambda: False,
    lambda: None,
    lambda: [],
    lambda: {},
    lambda: -1,
    lambda: 10**15,
    lambda: "2024-02-30T25:00:00Z",
    lambda: "1700000000000",
)
"""Makers of odd objects."""


def odd(chance: random.Random) -> Any:
    """Return an odd object; sometimes in a container."""
    made = chance.choice(KINDS)()
    return chance.choice((made, made, made, [made], {"a": made}, (made, made), {"a": [made]}))
