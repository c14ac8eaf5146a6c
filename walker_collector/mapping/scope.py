"""The scope of a mapping value: the event and the consent state beside the value's input."""

from collections.abc import Callable
from typing import Any, Protocol

from attrs import define

from walker_collector.config import Consent
from walker_collector.hookspecs import Event


class Scope(Protocol):
    """The context in which a value is resolved; `fn`, `condition` and `validate` get it.

    `event` is the whole event after policies and renaming, even inside a `loop`, where the input
    is one item. `consent` is the state that a value's own `consent` is checked against.
    """

    @property
    def event(self) -> Event: ...

    @property
    def consent(self) -> Consent: ...


Resolve = Callable[[Any, Scope], Any]
"""Finds a value in an input; MISSING if there is none. Never raises, never changes anything."""


@define(eq=False)
class LocalScope:
    """A scope made by the mapping itself, for one event or for the items of one loop."""

    event: Event
    consent: Consent


def consent_of(value: Any, scope: Scope) -> Any:
    """Return the input's own consent object if it has one, else the scope's."""
    own = value.get("consent") if type(value) is dict else None
    return own if type(own) is dict else scope.consent


def within(value: Any, scope: Scope) -> Scope:
    """Return the scope for the items of a loop over the input."""
    state = consent_of(value, scope)
    return scope if state is scope.consent else LocalScope(scope.event, state)
