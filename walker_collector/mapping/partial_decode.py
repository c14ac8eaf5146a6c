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

from collections import Counter
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any, Final, Self

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
from walker_collector.mapping.rules import AT_NAME
from walker_collector.mapping.scope import Scope
from walker_collector.mapping.structures import (
    Decoding,
    decoding,
    event_maker,
    executed,
)
from walker_collector.mapping.values import node_of

_NAMES_MAX: Final = 1024
"""Event names that are remembered; events of others are decoded whole."""
_NAME_MAX: Final = 100
"""Bytes of a name, less one, and hardly any is as long; events of longer ones are decoded whole."""
_MISFITS: Final = 10
"""Events of a name that do not fit, before values other than scalars do."""
_ALWAYS: Final = ("name", "id", "consent")
"""Parts that every destination gets."""
MakeData = Callable[[Any, Scope, Event], Any]


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
        if not rule.scalars:
            return
        self._misfits[rule.name] += 1
        key = rule.name.encode()
        # Once: others may have noted misfits of the same rule at the same time.
        if self._misfits[rule.name] >= _MISFITS and self.get(key) is rule:
            self[key] = self._compile(rule.name, scalars=False)

    def _compile(self, name: str, *, scalars: bool) -> PartialRule | None:
        plan = _Plan.of(self._steps_of(name), self._parts)
        if plan is None:
            return None
        try:
            return plan.compile(name, decoding(plan.parts, plan.shape, scalars=scalars))
        except ValueError:  # msgspec takes no such key
            return None


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

    def compile(self, name: str, way: Decoding) -> PartialRule:
        made = [
            executed(*write(node, prune, where, way.shape, scalars=way.scalars), where)
            for node, (_, where) in zip(self.nodes, self.steps.specs, strict=True)
        ]
        return PartialRule(
            name,
            self.steps.rule,
            way.decode,
            event_maker(self.steps.name or name, way.parts),
            _merged(*made) if len(made) > 1 else next(iter(made), None),
            way.scalars,
        )


def _merged(common: MakeData, own: MakeData) -> MakeData:
    """Merge a rule's data over the destination's, as the mapper does."""

    def make(read: Any, scope: Scope, event: Event) -> Any:
        one, other = common(read, scope, event), own(read, scope, event)
        return merge(one, other) if type(one) is dict and type(other) is dict else other

    return make
