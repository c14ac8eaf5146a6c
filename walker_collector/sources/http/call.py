"""A call of a client: its events, and the answer to their outcomes."""

from collections.abc import Callable, Sequence
from typing import Any

from attrs import define

from walker_collector.sources.http.messages import RequestRejected, Response


@define(eq=False)  # not frozen, as one is made per event
class Outcome:
    """The outcome of an event: its id, or why it was refused."""

    id: str = ""
    refused: RequestRejected | None = None


@define(eq=False)  # not frozen, as some are made per request
class Call:
    """Events to accept, and a function that makes the answer of their outcomes.

    It may raise RequestRejected. Among the events are refusals, each in the place of its event.
    """

    events: Sequence[Any]
    answer: Callable[[Sequence[Outcome]], Response]

    def without_events(self) -> "Call":
        """Return the call with its refusals alone, and None in the places of its events."""
        kept = [event if type(event) is RequestRejected else None for event in self.events]
        return Call(kept, self.answer)
