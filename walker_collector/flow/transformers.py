"""Chains of transformers: steps of a flow that change an event before its destination maps it.

Declarative ones only: without package or code, a policy and rules. As in walkerOS (collector,
transformer.ts): a name begins a chain that goes on by each step's `next`; a list of names is the
chain itself.
"""

from collections.abc import Mapping
from typing import Any, Final

from attrs import Factory, define, frozen

from walker_collector.config import DestinationConfig, TransformerConfig
from walker_collector.errors import ConfigError, Problem
from walker_collector.flow.diagnostics import Diagnostics
from walker_collector.flow.references import ReferenceContext, resolve
from walker_collector.flow.rule_tree import check_keys
from walker_collector.flow.types import structure
from walker_collector.mapping import compile_mapping, each_rule
from walker_collector.naming import hint, join, kind

_ADVICE: Final = (
    "transformers of packages are not run here; use policy, data and mapping of the destination,"
    " or an extension (a plugin of the group walker_collector.extensions)"
)
_UNSUPPORTED: Final = {
    "package": _ADVICE,
    "import": _ADVICE,
    "code": f"JavaScript cannot run here; {_ADVICE}",
    "cache": "repeated events are not recognised here; remove it, and give events ids",
    "state": "stores are not run here; remove it",
    "mock": "remove it, or write what it stands for into mapping",
    "chainMocks": "remove it, or write what it stands for into mapping",
}
_STATIC: Final = (
    "expected the name of a transformer or a list of names; routes by conditions are not supported"
    " here: write rules with a condition into its mapping"
)
_FORK: Final = (
    "a list here is a fork in walkerOS, whose events go nowhere; name one transformer, which goes"
    " on by its next"
)
_ENTRY: Final = frozenset(
    {*_UNSUPPORTED, "before", "next", "config", "disabled", "env", "examples", "id", "logger"}
    | {"mapping", "validate", "variables"}
)
"""The keys that an entry may have."""
_MISPLACED: Final = ("mapping", "policy", "data", "include", "consent")
"""Keys of a mapping: walkerOS passes over them in `config`, and the event goes out unchanged."""
_IDLE: Final = ("data", "include", "consent")
"""Keys that walkerOS ignores in a transformer's mapping."""


@frozen(kw_only=True)
class _Chains:
    """The chains that a transformer names, as they stand in a file."""

    before: Any = None
    next: Any = None


_LONGEST: Final = 100
"""Steps of a chain, with those before and after each."""


class _Endless(Exception):
    """A chain that is a circle, or too long; the text is the problem."""


@define
class Transformers:
    """The transformers of a flow, read where a chain names them."""

    raw: Mapping[str, Any]
    context: ReferenceContext
    diagnostics: Diagnostics
    _read_before: dict[str, tuple[_Chains, list[TransformerConfig]]] = Factory(dict)
    _left: int = 0

    def chain(self, route: Any, path: str) -> tuple[TransformerConfig, ...]:
        """Return the steps of the chain `route` at `path`, in order."""
        self._left = _LONGEST
        try:
            return tuple(self._steps(route, path, ()))
        except _Endless as error:
            self.diagnostics.add(path, str(error))
            return ()

    def _steps(self, route: Any, path: str, passed: tuple[str, ...]) -> list[TransformerConfig]:
        names = [route] if isinstance(route, str) else route
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            self.diagnostics.add(path, _STATIC)
            return []
        steps: list[TransformerConfig] = []
        for name in names:
            steps += self._step(name, path, passed, walks=isinstance(route, str))
        return steps

    def _step(
        self, name: str, path: str, passed: tuple[str, ...], *, walks: bool
    ) -> list[TransformerConfig]:
        """Return a step with the steps before it and, if the chain walks, after it."""
        if name in passed:
            circle = " -> ".join((*passed[passed.index(name) :], name))
            raise _Endless(f"transformers name each other in a circle: {circle}")
        self._left -= 1
        if self._left < 0:
            raise _Endless(f"a chain of more than {_LONGEST} transformers")
        if name not in self.raw:
            near = hint(name, self.raw, "there are")
            self.diagnostics.add(path, f"there is no transformer {name}{near}")
            return []
        place = join("transformers", name)
        if name not in self._read_before:
            self._read_before[name] = self._read(self.raw[name], place)
        entry, made = self._read_before[name]
        passed = (*passed, name)
        before: list[TransformerConfig] = []
        after: list[TransformerConfig] = []
        if isinstance(entry.before, list):
            self.diagnostics.add(join(place, "before"), _FORK)
        elif entry.before:
            before = self._steps(entry.before, join(place, "before"), passed)
        if entry.next and walks:
            after = self._steps(entry.next, join(place, "next"), passed)
        return [*before, *made, *after]

    def _read(self, raw: Any, place: str) -> tuple[_Chains, list[TransformerConfig]]:
        """Return the chains of an entry and its own step, if it changes anything."""
        if not isinstance(raw, Mapping):
            self.diagnostics.add(place, f"expected an object, got {kind(raw)}")
            return _Chains(), []
        config = raw.get("config")
        config = config if isinstance(config, Mapping) else {}
        after = raw.get("next") or config.get("next")
        if raw.get("disabled") is True or config.get("disabled") is True:
            return _Chains(next=after), []
        for where, keys in ((place, raw), (join(place, "config"), config)):
            for key in _UNSUPPORTED:
                if keys.get(key) not in (None, "", [], {}):
                    self.diagnostics.add(join(where, key), _UNSUPPORTED[key])
        self._check_places(raw, config, place)
        chains = _Chains(before=raw.get("before") or config.get("before"), next=after)
        if not raw.get("mapping"):
            return chains, []
        variables = raw.get("variables")
        context = self.context.with_variables(variables if isinstance(variables, Mapping) else None)
        return chains, self._read_mapping(raw["mapping"], context, join(place, "mapping"))

    def _check_places(self, raw: Mapping[str, Any], config: Mapping[str, Any], place: str) -> None:
        """Refuse keys at places where walkerOS does not read them."""
        for key in _MISPLACED:
            if key in config:
                right = join(place, "mapping") if key == "mapping" else join(place, "mapping", key)
                self.diagnostics.add(
                    join(place, "config", key), f"is not read there; write it as {right}"
                )
        for key in raw:
            if key in _MISPLACED and key != "mapping":
                right = join(place, "mapping", key)
                self.diagnostics.add(join(place, key), f"is not read there; write it as {right}")
            elif key not in _ENTRY and not key.startswith("$"):
                self.diagnostics.add(join(place, key), f"unknown key{hint(key, _ENTRY)}")

    def _read_mapping(
        self, raw: Any, context: ReferenceContext, place: str
    ) -> list[TransformerConfig]:
        mapping = self.diagnostics.take(resolve(raw, context, place))
        if not isinstance(mapping, Mapping):
            self.diagnostics.add(place, f"expected an object, got {kind(mapping)}")
            return []
        kept = {key: value for key, value in mapping.items() if key not in _IDLE}
        step = self.diagnostics.take(structure(kept, TransformerConfig, place))
        self.diagnostics.problems += check_keys(kept.get("mapping"), join(place, "mapping"))
        if step is None:
            return []
        self._check(step, place)
        return [step]

    def _check(self, step: TransformerConfig, place: str) -> None:
        for where, rule in each_rule(step.mapping, join(place, "mapping")):
            if rule.consent:
                self.diagnostics.add(
                    join(where, "consent"),
                    "a transformer asks for no consent; write it as consent of the destination, or"
                    " of one of its rules",
                )
        try:
            compile_mapping(DestinationConfig(policy=step.policy, mapping=step.mapping))
        except ConfigError as error:
            self.diagnostics.problems += [
                Problem(f"{place}.{item.path}", item.message) for item in error.problems
            ]
