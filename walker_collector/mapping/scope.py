"""What a mapping may look at beside its input: the event, and who granted what."""

from typing import Any, Protocol

from attrs import define

from walker_collector.config import Consent
from walker_collector.hookspecs import Event


class Scope(Protocol):
    """The surroundings of a mapping; `fn`, `condition` and `validate` get it as `context`.

    `event` is the event as it stands (after policies and renaming), also inside a `loop`, where
    the input is one item. `consent` is the state that the values' own `consent` is held against.
    """

    @property
    def event(self) -> Event: ...

    @property
    def consent(self) -> Consent: ...


@define(eq=False)
class LocalScope:
    """A scope of the mapping's own, for one event or for the items of one loop."""

    event: Event
    consent: Consent


def consent_of(value: Any, scope: Scope) -> Any:
    """Return the input's own consent object, which replaces what the scope says, or the latter."""
    own = value.get("consent") if type(value) is dict else None
    return own if type(own) is dict else scope.consent


def within(value: Any, scope: Scope) -> Scope:
    """Return the scope of what is in the input, for the items of a loop."""
    state = consent_of(value, scope)
    return scope if state is scope.consent else LocalScope(scope.event, state)
