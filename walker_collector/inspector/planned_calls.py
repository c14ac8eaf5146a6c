"""The calls that plugins make of events, as `walker simulate` shows them."""

from typing import Any

from attrs import define, field

from walker_collector.config import MISSING
from walker_collector.delivery.destination import Destination
from walker_collector.hookspecs import Item, PushContext


@define
class PlannedCalls:
    """Asks a plugin's `simulate` for the calls of an event, on an instance of its own.

    That instance is never initialised, and remembers the events that it was asked about alone: an
    identify that the real one left out as unchanged may be among the calls.
    """

    _instances: dict[str, Any] = field(factory=dict)

    def of(self, destination: Destination, item: Item) -> list[list[Any]] | None:
        """Return the calls; None if the plugin does not tell, or nothing is sent in earnest."""
        if destination.config.mock is not MISSING:
            return None
        context = item.context
        try:
            simulate = self._instance(destination).simulate
            again = PushContext(
                context.destination,
                item.event,
                context.consent,
                context.attempt,
                person=context.person,
                trusted=context.trusted,
            )
            return [list(call) for call in simulate(item.event, item.data, item.rule, again)]
        except Exception:  # it has no such method, or refuses the event: the outcome says so
            return None

    def _instance(self, destination: Destination) -> Any:
        if destination.id not in self._instances:
            self._instances[destination.id] = type(destination.instance)()
        return self._instances[destination.id]
