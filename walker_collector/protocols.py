"""The hooks as types, so that a type checker can hold a plugin against the contract.

The collector reads hooks by name and needs no base class. Who wants the annotations checked
derives from the protocols of the hooks the class has:

    class MyDestination(Init, PushBatch, Shutdown): ...

Then mypy reports a hook whose argument is missing, misspelt or of another type. A hook checked
so takes all of its arguments, though pluggy would let it leave some out. Arguments are given by
keyword; their meaning stands in `walker_collector.hookspecs`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from walker_collector.config import Consent as ConsentState
from walker_collector.config import DestinationConfig, RuleConfig
from walker_collector.hookspecs import Context, Event, Item, Person, PushContext, Rule


class Init(Protocol):
    """Prepares before the first push."""

    def init(self, *, context: Context) -> None: ...


class Push(Protocol):
    """Delivers one event."""

    def push(self, *, event: Event, data: Any, rule: Rule | None, context: PushContext) -> Any: ...


class PushBatch(Protocol):
    """Delivers several events."""

    def push_batch(
        self, *, batch: Sequence[Item], context: Context
    ) -> Mapping[int, Exception] | None: ...


class Consent(Protocol):
    """Hears of changes of consent."""

    def consent(
        self,
        *,
        update: ConsentState,
        state: ConsentState,
        person: Person | None,
        context: PushContext,
    ) -> None: ...


class Erased(Protocol):
    """Drops what is remembered of a person who was erased."""

    def erased(self, *, person: Person | None, context: Context) -> None: ...


class Shutdown(Protocol):
    """Flushes and releases after the last push."""

    def shutdown(self, *, context: Context) -> None: ...


class Simulate(Protocol):
    """Tells what `push` would call, without doing it and without `init`."""

    def simulate(
        self, event: Event, data: Any, rule: Rule | None, context: PushContext
    ) -> Sequence[Sequence[Any]]: ...


class SimulateConsent(Protocol):
    """Tells what `consent` would call, without doing it and without `init`."""

    def simulate_consent(
        self,
        update: ConsentState,
        state: ConsentState,
        person: Person | None,
        context: PushContext,
    ) -> Sequence[Sequence[Any]]: ...


class Advise(Protocol):
    """Warns of what works otherwise than it reads when a flow is loaded."""

    @staticmethod
    def advise(config: DestinationConfig) -> Iterable[tuple[str, str]]: ...


class Check(Protocol):
    """Finds what does not fit together when a flow is loaded."""

    @staticmethod
    def check(
        settings: Any, rules: Mapping[str, Mapping[str, RuleConfig | list[RuleConfig]]]
    ) -> Iterable[tuple[str, str]]: ...
