"""Decode the parts of an event that rule and destination read, and map it from there.

Most of an event is read by nobody: of an order with five items, a rule takes a few values each.
Decoded into the attributes of a structure that has these alone, they cost half of the whole event
in dicts, and read as attributes half of the mapping.

Parts of the event (`data`, `user`, ...) that the destination or a function-like value reads are
decoded whole, as dicts: together they are the event that the destination gets. The other parts are
decoded into structures, and only as far as the rule reads them. An event that does not fit (text
where the rule reads on in an object) raises ValidationError, and is decoded as a whole. At first
only scalars fit as values, since the mapping need not look at them; after a few events with others,
values of any type do.
The JSON is `encode`'s: no integer in it is beyond 64 bits, which msgspec and orjson read unalike.
"""

import enum
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Final

import attrs
import msgspec
from attrs import frozen

from walker_collector.config import (
    MISSING,
    AlternativesSpec,
    Consent,
    ObjectSpec,
    PathSpec,
    ValueSpec,
)
from walker_collector.events import CONSENT_AT, KEYS, UNTRUSTED, merge
from walker_collector.hookspecs import Event, Rule
from walker_collector.mapping.codegen import (
    MAX_DEPTH,
    CallNode,
    Items,
    LoopNode,
    Node,
    ObjectNode,
    ReadNode,
    Shape,
    write,
)
from walker_collector.mapping.mapper import RuleSteps
from walker_collector.mapping.paths import split
from walker_collector.mapping.pruning import prune
from walker_collector.mapping.rules import AT_NAME
from walker_collector.mapping.scope import Scope
from walker_collector.mapping.values import Value, node_of
from walker_collector.secret import Secret

_NAMES_MAX: Final = 1024
"""Event names that are remembered; events of others are decoded whole."""
_NAME_MAX: Final = 100
"""Bytes of a name, less one, and hardly any is as long; events of longer ones are decoded whole."""
_MISFITS: Final = 10
"""Events of a name that do not fit, before values other than scalars do."""
_SCALAR: Final = str | int | float | bool | None
_ALWAYS: Final = ("name", "id", "consent")
"""Parts that every destination gets."""
_ATOMS: Final = (str, int, float, bool, type(None), type(MISSING), Secret, enum.Enum)

Parts = frozenset[str]
MakeData = Callable[[Any, Scope, Event], Any]


class _ReadsAll(Exception):
    """Something may read any part of the event."""


class _ReadsWhole(Exception):
    """A part of the event is read as a whole, or in two ways that no structure has at once."""

    def __init__(self, part: str) -> None:
        self.part = part


@frozen(eq=False)
class PartialRule:
    """Decodes and maps the events of one name.

    decode: returns a structure with `name`, `consent`, `since` and `untrusted` of the event, or
        raises ValidationError if the event does not fit.
    event: makes the event for the destination, of the structure and the consent that counts.
    data: makes the mapped data of the structure, the event and its scope; None: there is none.
    scalars: no event fits that has another value than a scalar where the rule reads one.
    """

    name: str
    rule: Rule | None
    decode: Callable[[bytes], Any]
    event: Callable[[Any, Consent], Event]
    data: MakeData | None
    scalars: bool


class PartialRules(dict[bytes, PartialRule | None]):
    """The partial rules of a destination, which reads no other `parts` of its events.

    By the name of the events, as it stands in JSON; None for those to decode as a whole. A rule is
    made when it is first asked for. `steps_of` returns the steps for all events of a name, None if
    the event has to be seen first.
    """

    def __init__(self, parts: Parts, steps_of: Callable[[str], RuleSteps | None]) -> None:
        self._parts = parts
        self._steps_of = steps_of
        self._misfits = Counter[str]()

    def of_event(self, body: bytes) -> PartialRule | None:
        """Return the rule that an event's JSON seems to go by; its `name` must be compared."""
        # `find` on the whole would parse its arguments for longer than all of this takes.
        name, end, _ = body[AT_NAME : AT_NAME + _NAME_MAX].partition(b'"')
        return self[name] if end else None

    def __missing__(self, name: bytes) -> PartialRule | None:
        if len(self) >= _NAMES_MAX:
            return None
        made = None
        if b"\\" not in name and not name.startswith(b"walker "):  # no command
            text = name.decode(errors="replace")  # if it is none, no event has it
            made = self._compile(text, scalars=True)
        self[name] = made
        return made

    def note_misfit(self, rule: PartialRule) -> None:
        """Note that an event does not fit a rule; after some of them, more values do."""
        self._misfits[rule.name] += rule.scalars
        if self._misfits[rule.name] == _MISFITS:
            self[rule.name.encode()] = self._compile(rule.name, scalars=False)

    def _compile(self, name: str, *, scalars: bool) -> PartialRule | None:
        steps = self._steps_of(name)
        return _compile_rule(name, steps, self._parts, scalars) if steps else None


def compile_partial(
    reads: Iterable[str], settings: Any, steps_of: Callable[[str], RuleSteps | None]
) -> PartialRules | None:
    """Return the partial rules of a destination; None if it may read any part of its events.

    `reads` are the paths that its plugin declares; a value in its settings reads its own.
    """
    try:
        parts = chain(_ALWAYS, (split(path)[0][0] for path in reads), _parts_of_settings(settings))
        return PartialRules(frozenset(parts), steps_of)
    except _ReadsAll:
        return None


def _compile_rule(name: str, steps: RuleSteps, parts: Parts, scalars: bool) -> PartialRule | None:
    try:
        settings = steps.rule.settings if steps.rule else None
        parts |= frozenset(_parts_of_settings(settings))
        nodes = [node_of(spec, where) for spec, where in steps.specs]
        shape, parts = _shape(nodes, parts)
        kind = _structure_of_event(shape, parts, _SCALAR if scalars else Any)
        common = steps.specs[: len(steps.specs) - (steps.data is not None)]
        if steps.name and any("name" in _parts_of(spec) for spec, _ in common):
            return None  # the destination's data has the name that the event came with
    except (_ReadsAll, ValueError):  # ValueError: msgspec takes no such key
        return None
    made = [
        _executed(*write(node, prune, where, shape, scalars=scalars), where)
        for node, (_, where) in zip(nodes, steps.specs, strict=True)
    ]
    return PartialRule(
        name,
        steps.rule,
        msgspec.json.Decoder(kind).decode,
        _event_maker(steps.name or name, parts),
        _merged(*made) if len(made) > 1 else next(iter(made), None),
        scalars,
    )


def _merged(common: MakeData, own: MakeData) -> MakeData:
    """Merge a rule's data over the destination's, as the mapper does."""

    def make(read: Any, scope: Scope, event: Event) -> Any:
        one, other = common(read, scope, event), own(read, scope, event)
        return merge(one, other) if type(one) is dict and type(other) is dict else other

    return make


def _executed(source: str, names: dict[str, Any], where: str) -> Callable[..., Any]:
    # `!a`: a file name may hold neither a null character nor a lone surrogate.
    exec(compile(source, f"<partial mapping {where!a}>", "exec"), names)
    made: Callable[..., Any] = names["generated"]
    return made


# --- what is read --------------------------------------------------------------------------


def _parts_of_settings(settings: Any) -> Iterator[str]:
    """Yield the parts that the values in settings read. Raises _ReadsAll for a function."""
    if isinstance(settings, _ATOMS):
        return
    if isinstance(settings, Value):
        yield from _parts_of(settings.spec)
    elif isinstance(settings, Mapping):
        yield from chain.from_iterable(map(_parts_of_settings, settings.values()))
    elif isinstance(settings, list | tuple | set | frozenset):
        yield from chain.from_iterable(map(_parts_of_settings, settings))
    elif attrs.has(type(settings)) and not callable(settings):
        names = attrs.fields_dict(type(settings))
        yield from chain.from_iterable(_parts_of_settings(getattr(settings, key)) for key in names)
    else:
        raise _ReadsAll


def _parts_of(spec: ValueSpec | None) -> Iterator[str]:
    """Yield the parts that a value reads. Raises _ReadsAll if it calls a function."""
    if isinstance(spec, PathSpec):
        yield _first_key(spec.path)
    elif isinstance(spec, AlternativesSpec):
        yield from chain.from_iterable(map(_parts_of, spec.items))
    elif isinstance(spec, ObjectSpec):
        if spec.fn or spec.condition or spec.validate:
            raise _ReadsAll
        if spec.key:
            yield _first_key(spec.key)
        children: Iterable[ValueSpec | None] = (*(spec.map or {}).values(), *(spec.set or ()))
        if spec.loop is not None:
            inputs, item = spec.loop
            children = (*children, item if inputs == PathSpec("this") else inputs)
        yield from chain.from_iterable(map(_parts_of, children))
        if _is_its_input(spec):
            raise _ReadsAll


def _is_its_input(spec: ObjectSpec) -> bool:
    """Return whether a value finds nothing in its input, and so is the input itself."""
    parts = (spec.loop, spec.map, spec.set)
    empty = spec == ObjectSpec(nullable=spec.nullable)
    return all(part is None for part in parts) and not (spec.key or empty or spec.value != MISSING)


def _first_key(path: str) -> str:
    if not path:
        raise _ReadsAll
    return split(path)[0][0]


def _shape(nodes: Sequence[Node], parts: Parts) -> tuple[Shape, Parts]:
    """Return the shape of the input of values, without the parts that are decoded whole."""
    while True:
        shape = Shape()
        try:
            more = frozenset(chain.from_iterable(_put(node, shape, parts) for node in nodes))
        except _ReadsWhole as error:
            more = frozenset((error.part,))
        if more <= parts:
            return shape, parts
        parts |= more  # once more, as some of them may have a shape already


def _put(node: Node, at: Shape, parts: Parts, part: str = "", depth: int = 0) -> Iterator[str]:
    """Add the reads of a node to the shape of its input; yield parts that it reads as a whole.

    `part` is the part of the event that the input belongs to, "" for the event itself.
    """
    match node:
        case ReadNode():
            _reserve(node.keys, at, parts, part, None)
        case CallNode():
            if part:
                raise _ReadsWhole(part)
            yield from _parts_of(node.spec)
        case _ if depth == MAX_DEPTH:
            raise _ReadsAll
        case ObjectNode():
            for _, entry in node.entries:
                yield from _put(entry, at, parts, part, depth + 1)
        case LoopNode(inputs=CallNode()):
            yield from _put(node.inputs, at, parts, part, depth)
        case LoopNode(inputs=ReadNode(keys=keys), item=item):
            items = _reserve(keys, at, parts, part, Items(Shape()))
            if items is not None:
                yield from _put(item, items.shape, parts, part or keys[0], depth + 1)


def _reserve(
    keys: tuple[str, ...], at: Shape, parts: Parts, part: str, kind: Items | None
) -> Items | None:
    """Make room for a value at the keys; return the items there if it is a list with a shape."""
    if not keys:
        raise _ReadsWhole(part) if part else _ReadsAll
    part = part or keys[0]
    if part in parts:
        return None
    for key in keys[:-1]:
        below = at.below.setdefault(key, Shape())
        if not isinstance(below, Shape):
            raise _ReadsWhole(part)
        at = below
    found = at.below.setdefault(keys[-1], kind)
    if type(found) is not type(kind):
        raise _ReadsWhole(part)
    return found if isinstance(found, Items) else None


# --- structures ----------------------------------------------------------------------------


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


def _structure_of_event(shape: Shape, parts: Parts, value: Any) -> type[msgspec.Struct]:
    """Return the structure of an event: the parts that every event has must be there."""
    whole = _attributes(parts)
    fields: list[Any] = [
        (attribute, Any) if key in KEYS else (attribute, Any, msgspec.UNSET)
        for attribute, key in whole.items()
    ]
    fields += _fields(shape, value)
    fields += [("consent", Any, None), ("since", Any, None), ("untrusted", Any, False)]
    rename = {**whole, **{shape.attribute(key): key for key in shape.below}}
    rename |= {"since": CONSENT_AT, "untrusted": UNTRUSTED}
    return msgspec.defstruct("Event", fields, rename=rename, gc=False, kw_only=True)


def _attributes(parts: Parts) -> dict[str, str]:
    """Return the attributes of whole parts, and their keys; consent has its own."""
    rest = sorted(parts - {"name", "consent"})
    return {"name": "name", **{f"part{at}": key for at, key in enumerate(rest)}}


def _event_maker(name: str, parts: Parts) -> Callable[[Any, Consent], Event]:
    """Return the function that makes the event for the destination, under the name of its rule."""
    whole = {attribute: key for attribute, key in _attributes(parts).items() if key != "name"}
    pairs = [f"{key!a}: read.{attribute}" for attribute, key in whole.items() if key in KEYS]
    made = ", ".join(['"name": NAME', *pairs, '"consent": consent'])
    lines = ["def generated(read, consent):", f"    event = {{{made}}}"]
    for attribute, key in whole.items():
        if key not in KEYS:
            lines.append(f"    if read.{attribute} is not UNSET:")
            lines.append(f"        event[{key!a}] = read.{attribute}")
    lines.append("    return event")
    return _executed("\n".join(lines), {"NAME": name, "UNSET": msgspec.UNSET}, "event")
