"""Structures that the parts of an event are decoded into, as far as they are read."""

from collections.abc import Callable, Sequence
from typing import Any, Final, Union

import msgspec

from walker_collector.config import Consent
from walker_collector.events import CONSENT_AT, KEYS, UNTRUSTED
from walker_collector.hookspecs import Event
from walker_collector.mapping.codegen import Items, Shape
from walker_collector.mapping.reads import Parts

_SCALAR: Final = str | int | float | bool | None

Decode = Callable[[bytes], Any]


class _NoEvent(msgspec.Struct, tag_field="name", tag="", gc=False):
    """No event. Without it, an only structure would fit none if its name is not ASCII (msgspec)."""


def decoder_of(kinds: Sequence[type[msgspec.Struct]]) -> Decode:
    """Return the function that decodes the events of any of these structures, by their names."""
    return msgspec.json.Decoder(Union[(_NoEvent, *kinds)]).decode


def structure_of_event(
    name: str, parts: Parts, shape: Shape, *, scalars: bool
) -> type[msgspec.Struct]:
    """Return the structure of the events of a name: with `parts` whole, other values by `shape`.

    scalars: no event fits that has another value than a scalar where the shape has a value. Raises
    ValueError for keys that no structure has.
    """
    whole = _attributes(parts)
    fields: list[Any] = [  # the parts that every event has must be there
        (attribute, Any) if key in KEYS else (attribute, Any, msgspec.UNSET)
        for attribute, key in whole.items()
    ]
    fields += _fields(shape, _SCALAR if scalars else Any)
    fields += [("consent", Any, None), ("since", Any, None), ("untrusted", Any, False)]
    rename = {**whole, **{shape.attribute(key): key for key in shape.below}}
    rename |= {"since": CONSENT_AT, "untrusted": UNTRUSTED}
    return msgspec.defstruct(
        "Event", fields, rename=rename, tag_field="name", tag=name, gc=False, kw_only=True
    )


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


def _attributes(parts: Parts) -> dict[str, str]:
    """Return the attributes of whole parts, and their keys; name and consent are kept apart."""
    return {f"part{at}": key for at, key in enumerate(sorted(parts - {"name", "consent"}))}


def event_maker(name: str, parts: Parts) -> Callable[[Any, Consent], Event]:
    """Return the function that makes the event for the destination, under the name of its rule."""
    whole = _attributes(parts)
    pairs = [f"{key!a}: read.{attribute}" for attribute, key in whole.items() if key in KEYS]
    made = ", ".join(['"name": NAME', *pairs, '"consent": consent'])
    lines = ["def generated(read, consent):", f"    event = {{{made}}}"]
    for attribute, key in whole.items():
        if key not in KEYS:
            lines.append(f"    if read.{attribute} is not UNSET:")
            lines.append(f"        event[{key!a}] = read.{attribute}")
    lines.append("    return event")
    return executed("\n".join(lines), {"NAME": name, "UNSET": msgspec.UNSET}, "event")


def executed(source: str, names: dict[str, Any], where: str) -> Callable[..., Any]:
    """Return the function `generated` of a source."""
    # `!a`: a file name may hold neither a null character nor a lone surrogate.
    exec(compile(source, f"<partial mapping {where!a}>", "exec"), names)
    made: Callable[..., Any] = names["generated"]
    return made
