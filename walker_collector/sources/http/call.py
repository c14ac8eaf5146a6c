"""A call of a client: its events, and the answer to their outcomes."""

from collections.abc import Callable, Sequence
from typing import Any

from attrs import frozen

from walker_collector.sources.http.messages import RequestRejected, Response


@frozen
class Outcome:
    """The outcome of an event: its id, or why it was refused."""

    id: str = ""
    refused: RequestRejected | None = None


@frozen
class Call:
    """Events to accept, and a function that makes the answer of their outcomes.

    It may raise RequestRejected. `size` is that of the body, in bytes after unpacking.
    """

    events: Sequence[Any]
    answer: Callable[[Sequence[Outcome]], Response]
    size: int = 0
