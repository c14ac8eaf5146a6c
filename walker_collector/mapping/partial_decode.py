"""Decode the parts of an event that rule and destination read, and map it from there.

Most of an event is read by nobody: of an order with five items, a rule takes a few values each.
Decoded into the attributes of a structure that has these alone, they cost half of the whole event
in dicts, and read as attributes half of the mapping.

Parts of the event (`data`, `user`, ...) that the destination or a function-like value reads are
decoded whole, as dicts: together they are the event that the destination gets. The other parts are
decoded into structures, and only as far as the rule reads them. There is one for each name of an
event, made when the first one comes, and msgspec finds it by the name. An event that does not fit
(text where the rule reads on in an object) raises ValidationError, and is decoded as a whole. At
first only scalars fit as values, since the mapping need not look at them; after a few events with
others, values of any type do.
The JSON is `encode`'s: no integer in it is beyond 64 bits, which msgspec and orjson read unalike.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any, Final, Self

import msgspec
from attrs import frozen

from walker_collector.config import Consent
from walker_collector.events import merge
from walker_collector.hookspecs import Event, Rule
from walker_collector.mapping.codegen import Node, Shape, write
from walker_collector.mapping.mapper import RuleSteps
from walker_collector.mapping.paths import split
from walker_collector.mapping.pruning import prune
from walker_collector.mapping.reads import (
    Parts,
    ReadsAll,
    parts_of,
    parts_of_settings,
    shape_of,
)
from walker_collector.mapping.scope import Scope
from walker_collector.mapping.structures import (
    Decode,
    decoder_of,
    event_maker,
    executed,
    structure_of_event,
)
from walker_collector.mapping.values import node_of

_NAMES_MAX: Final = 256
"""Event names that are remembered; events of others are decoded whole. Each takes longer to add."""
_NAME_MAX: Final = 100
"""Characters of a name, and hardly any has as many; events of longer ones are decoded whole."""
_MISFITS: Final = 10
"""Events of a name that do not fit, before values other than scalars do."""
_ALWAYS: Final = ("name", "id", "consent")
"""Parts that every destination gets."""
MakeData = Callable[[Any, Scope, Event], Any]


@frozen(eq=False)
class PartialRule:
    """Maps the events of one name, decoded in part.

    kind: the structure of these events: what is read, and `consent`, `since` and `untrusted`.
    event: makes the event for the destination, of the structure and the consent that counts.
    data: makes the mapped data of the structure, the event and its scope; None: there is none.
    scalars: no event fits that has another value than a scalar where the rule reads one.
    """

    name: str
    kind: type[msgspec.Struct]
    rule: Rule | None
    event: Callable[[Any, Consent], Event]
    data: MakeData | None
    scalars: bool


class PartialRules:
    """The partial rules of a destination, which reads no other `parts` of its events.

    decode: returns an event's JSON as the structure of a rule, or raises ValidationError if it fits
        none: then call `note_whole`, which may replace it, and else decode the whole.
    of_kind: the rule of each structure.

    `steps_of` returns the steps for all events of a name, None if the event has to be seen first.
    """

    def __init__(self, parts: Parts, steps_of: Callable[[str], RuleSteps | None]) -> None:
        self._parts = parts
        self._steps_of = steps_of
        self._by_name: dict[str, PartialRule | None] = {}
        self._misfits = Counter[str]()
        self.of_kind: dict[type, PartialRule] = {}
        self.decode: Decode = _fits_none

    def note_whole(self, name: Any, decode: Decode) -> bool:
        """Note that `decode` did not take an event of a name; return whether it is another one now.

        A new name gets its rule; after some events that do not fit a rule, it takes more values.
        Not for two threads at once.
        """
        if decode is not self.decode:
            return True
        if type(name) is not str or len(name) > _NAME_MAX:
            return False
        if name not in self._by_name:
            if len(self._by_name) < _NAMES_MAX:
                self._add(name, scalars=True)
        elif (rule := self._by_name[name]) is not None and rule.scalars:
            self._misfits[name] += 1
            if self._misfits[name] >= _MISFITS:
                self._add(name, scalars=False)
        return decode is not self.decode

    def rule_of(self, name: str) -> PartialRule | None:
        """Return the rule for the events of a name; None if these are decoded as a whole."""
        if name not in self._by_name:
            self.note_whole(name, self.decode)
        return self._by_name.get(name)

    def _add(self, name: str, *, scalars: bool) -> None:
        is_command = name.startswith("walker ")
        made = self._by_name[name] = None if is_command else self._compile(name, scalars=scalars)
        if made is not None:
            self.of_kind[made.kind] = made
            self.decode = decoder_of([rule.kind for rule in self._by_name.values() if rule])

    def _compile(self, name: str, *, scalars: bool) -> PartialRule | None:
        plan = _Plan.of(self._steps_of(name), self._parts)
        if plan is None:
            return None
        try:
            kind = structure_of_event(name, plan.parts, plan.shape, scalars=scalars)
        except ValueError:  # msgspec takes no such key
            return None
        return plan.compile(name, kind, scalars=scalars)


def _fits_none(body: bytes) -> Any:
    raise msgspec.ValidationError("no event has come yet")


def compile_partial(
    reads: Iterable[str], settings: Any, steps_of: Callable[[str], RuleSteps | None]
) -> PartialRules | None:
    """Return the partial rules of a destination; None if it may read any part of its events.

    `reads` are the paths that its plugin declares; a value in its settings reads its own.
    """
    try:
        parts = chain(_ALWAYS, (split(path)[0][0] for path in reads), parts_of_settings(settings))
        return PartialRules(frozenset(parts), steps_of)
    except ReadsAll:
        return None


@frozen(eq=False)
class _Plan:
    """The reads of the events of one name: `nodes` in some parts, others (`parts`) whole."""

    steps: RuleSteps
    nodes: list[Node]
    parts: Parts
    shape: Shape

    @classmethod
    def of(cls, steps: RuleSteps | None, parts: Parts) -> Self | None:
        """Return the plan for a rule of a destination that gets these parts; None: read it all."""
        if steps is None:
            return None
        try:
            settings = steps.rule.settings if steps.rule else None
            parts |= frozenset(parts_of_settings(settings))
            nodes = [node_of(spec, where) for spec, where in steps.specs]
            shape, parts = shape_of(nodes, parts)
            common = steps.specs[: len(steps.specs) - (steps.data is not None)]
            if steps.name and any("name" in parts_of(spec) for spec, _ in common):
                return None  # the destination's data has the name that the event came with
        except ReadsAll:
            return None
        return cls(steps, nodes, parts, shape)

    def compile(self, name: str, kind: type[msgspec.Struct], *, scalars: bool) -> PartialRule:
        made = [
            executed(*write(node, prune, where, self.shape, scalars=scalars), where)
            for node, (_, where) in zip(self.nodes, self.steps.specs, strict=True)
        ]
        return PartialRule(
            name,
            kind,
            self.steps.rule,
            event_maker(self.steps.name or name, self.parts),
            _merged(*made) if len(made) > 1 else next(iter(made), None),
            scalars,
        )


def _merged(common: MakeData, own: MakeData) -> MakeData:
    """Merge a rule's data over the destination's, as the mapper does."""

    def make(read: Any, scope: Scope, event: Event) -> Any:
        one, other = common(read, scope, event), own(read, scope, event)
        return merge(one, other) if type(one) is dict and type(other) is dict else other

    return make
