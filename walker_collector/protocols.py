"""The hooks as protocols, for type checkers.

The collector finds hooks by name and needs no base class. To have the annotations checked, derive
from the protocols of the hooks that the class has:

    class MyDestination(Init, PushBatch, Shutdown): ...

Then mypy reports a hook with an argument that is missing, misspelt or of another type. Such a hook
takes all of its arguments, though pluggy would let it leave some out. Arguments are passed by
keyword; `walker_collector.hookspecs` describes them.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from walker_collector.config import Consent as ConsentState
from walker_collector.config import DestinationConfig, RuleConfig
from walker_collector.hookspecs import (
    Context,
    Event,
    Item,
    Person,
    PushContext,
    Rule,
    SourceContext,
)


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
    """Follows changes of consent."""

    def consent(
        self,
        *,
        update: ConsentState,
        state: ConsentState,
        person: Person | None,
        context: PushContext,
    ) -> None: ...


class Erased(Protocol):
    """Drops the memory of an erased person."""

    def erased(self, *, person: Person | None, context: Context) -> None: ...


class Shutdown(Protocol):
    """Flushes and releases after the last push."""

    def shutdown(self, *, context: Context) -> None: ...


class Check(Protocol):
    """Finds problems of address and credentials, by a harmless request."""

    def check(self, *, context: Context) -> Iterable[str] | None: ...


class Transform(Protocol):
    """Changes an event before a destination's mapping; of extensions."""

    def transform(self, *, event: Event, context: PushContext) -> None: ...


class RunSource(Protocol):
    """Hands on the events of a source until it is told to stop."""

    def run(self, *, context: SourceContext) -> None: ...


class Simulate(Protocol):
    """Returns the calls that `push` would make, without `init` and without making them."""

    def simulate(
        self, event: Event, data: Any, rule: Rule | None, context: PushContext
    ) -> Sequence[Sequence[Any]]: ...


class Estimate(Protocol):
    """Returns the requests that some simulated events take, by the name of each limit.

    batch: what `simulate` has put into `SimulatedCalls.planned`, for each event of a `push_batch`.
    Of each limit: the number of requests, and how many are made per second at most.
    """

    def estimate(self, batch: Sequence[Any], settings: Any) -> Mapping[str, tuple[int, float]]: ...


class SimulateConsent(Protocol):
    """Returns the calls that `consent` would make, without `init` and without making them."""

    def simulate_consent(
        self,
        update: ConsentState,
        state: ConsentState,
        person: Person | None,
        context: PushContext,
    ) -> Sequence[Sequence[Any]]: ...


class Advise(Protocol):
    """Warns, when a flow is loaded, of configuration with an unexpected effect."""

    @staticmethod
    def advise(config: DestinationConfig) -> Iterable[tuple[str, str]]: ...


class CheckSettings(Protocol):
    """Finds, when a flow is loaded, settings and rules that do not fit together."""

    @staticmethod
    def check_settings(
        settings: Any, rules: Mapping[str, Mapping[str, RuleConfig | list[RuleConfig]]]
    ) -> Iterable[tuple[str, str]]: ...
