"""Structures that the parts of an event are decoded into, as far as they are read.

Where several destinations read the same parts whole, one structure has what all of their rules
read. The first of them that gets an event decodes it for the others as well: its values are
scalars, so nobody can change them, and each decodes the parts that it gets whole for itself.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec
from attrs import define, field, frozen

from walker_collector.config import Consent
from walker_collector.events import CONSENT_AT, KEYS, UNTRUSTED
from walker_collector.hookspecs import Event
from walker_collector.mapping.codegen import Items, Shape
from walker_collector.mapping.reads import Parts

_SCALAR: Final = str | int | float | bool | None
_SCALAR_PARTS: Final = frozenset(("name", "id", "trigger", "entity", "action", "timestamp"))
"""Parts that are scalars in every event."""
_KEPT_MAX: Final = 1_000
"""Decoded events that are kept for other destinations; beyond it all are dropped."""

Decode = Callable[[bytes], Any]


@define(eq=False)
class SharedReads:
    """The decoded events of one name, each until the other destinations have read it.

    Thread-safe: at worst, an event is decoded once more, or kept until all are dropped.
    """

    _decode: Decode
    _others: int
    _kept: dict[int, tuple[Any, int]] = field(factory=dict)

    def read(self, seq: int, body: bytes) -> Any:
        """Return the structure of an event, given its number and JSON; raises as `decode` does."""
        found = self._kept.pop(seq, None)
        read, left = (self._decode(body), self._others) if found is None else found
        if left:
            if len(self._kept) >= _KEPT_MAX:  # somebody lags behind, or does not get all events
                self._kept.clear()
            self._kept[seq] = read, left - 1
        return read

    def leave(self) -> None:
        """Keep nothing any longer for one of the destinations."""
        self._others = max(0, self._others - 1)
        self._kept.clear()

    def forget(self) -> None:
        """Drop what is kept."""
        self._kept.clear()


@frozen(eq=False)
class Decoding:
    """The way to decode the events of one name: with `parts` whole, and other values by `shape`.

    scalars: no event fits that has another value than a scalar where the shape has a value.
    raw: the whole parts that are JSON still, as others share the structure.
    shared: keeps structures for other destinations; None: they do not share it.
    """

    parts: Parts
    shape: Shape
    scalars: bool
    decode: Decode
    raw: Parts = frozenset()
    shared: SharedReads | None = None


def decoding(parts: Parts, shape: Shape, *, scalars: bool, readers: int = 1) -> Decoding:
    """Return the way to decode events. Raises ValueError for keys that no structure has.

    `readers`: the number of destinations that share it.
    """
    raw = parts - _SCALAR_PARTS - {"consent"} if readers > 1 else Parts()
    kind = _structure_of_event(shape, parts, _SCALAR if scalars else Any, raw)
    decode = msgspec.json.Decoder(kind).decode
    shared = SharedReads(decode, readers - 1) if readers > 1 else None
    return Decoding(parts, shape, scalars, decode, raw, shared)


def _structure(shape: Shape, value: Any) -> type[msgspec.Struct]:
    """Return the structure of an object, and give its shape an empty one.

    `value` is the type of its values, which are no objects or lists with a shape.
    """
    fields = _fields(shape, value)
    rename = {shape.attribute(key): key for key in shape.below}
    # Nothing in it refers to it: the garbage collector need not look.
    made = msgspec.defstruct("Part", fields, rename=rename, gc=False)
    shape.empty = made()
    return made


def _fields(shape: Shape, value: Any) -> list[Any]:
    types = {key: _type(below, value) for key, below in shape.below.items()}
    return [(shape.attribute(key), type_, None) for key, type_ in types.items()]


def _type(below: Shape | Items | None, value: Any) -> Any:
    if isinstance(below, Shape):
        return _structure(below, value) | None
    if isinstance(below, Items):
        return list[_structure(below.shape, value) | None] | None  # type: ignore[misc]  # made here
    return value


def _structure_of_event(shape: Shape, parts: Parts, value: Any, raw: Parts) -> type[msgspec.Struct]:
    """Return the structure of an event: the parts that every event has must be there."""
    whole = _attributes(parts)
    fields: list[Any] = []
    for attribute, key in whole.items():
        type_ = msgspec.Raw if key in raw else _SCALAR if key in _SCALAR_PARTS else Any
        fields.append((attribute, type_) if key in KEYS else (attribute, type_, msgspec.UNSET))
    fields += _fields(shape, value)
    fields += [("consent", Any, None), ("since", Any, None), ("untrusted", Any, False)]
    rename = {**whole, **{shape.attribute(key): key for key in shape.below}}
    rename |= {"since": CONSENT_AT, "untrusted": UNTRUSTED}
    return msgspec.defstruct("Event", fields, rename=rename, gc=False, kw_only=True)


def _attributes(parts: Parts) -> dict[str, str]:
    """Return the attributes of whole parts, and their keys; consent has its own."""
    rest = sorted(parts - {"name", "consent"})
    return {"name": "name", **{f"part{at}": key for at, key in enumerate(rest)}}


def event_maker(name: str, way: Decoding) -> Callable[[Any, Consent], Event]:
    """Return the function that makes the event for the destination, under the name of its rule."""
    whole = {attribute: key for attribute, key in _attributes(way.parts).items() if key != "name"}
    found = {
        key: f"decode(read.{attribute})" if key in way.raw else f"read.{attribute}"
        for attribute, key in whole.items()
    }
    pairs = [f"{key!a}: {value}" for key, value in found.items() if key in KEYS]
    made = ", ".join(['"name": NAME', *pairs, '"consent": consent'])
    lines = ["def generated(read, consent):", f"    event = {{{made}}}"]
    for attribute, key in whole.items():
        if key not in KEYS:
            lines.append(f"    if read.{attribute} is not UNSET:")
            lines.append(f"        event[{key!a}] = {found[key]}")
    lines.append("    return event")
    names = {"NAME": name, "UNSET": msgspec.UNSET, "decode": msgspec.json.decode}
    return executed("\n".join(lines), names, "event")


def executed(source: str, names: dict[str, Any], where: str) -> Callable[..., Any]:
    """Return the function `generated` of a source."""
    # `!a`: a file name may hold neither a null character nor a lone surrogate.
    exec(compile(source, f"<partial mapping {where!a}>", "exec"), names)
    made: Callable[..., Any] = names["generated"]
    return made
