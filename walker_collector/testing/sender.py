"""The other end of a source under test, as its author describes it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import Factory, field, frozen

from walker_collector.hookspecs import Event


def number_of(event: Event) -> int:
    """Return the number of a test's event: `data.number`."""
    return int(event["data"]["number"])


@frozen(kw_only=True)
class Sender:
    """A sender of events to a source: a real client, or a stand-in that behaves like one.

    Only `settings` and `send` are required. A test that needs another field is skipped without it,
    and names the field. `place` is the text that the source gave to `context.ready`.

    settings: settings of the source that lead here, as in a flow file.
    send: `send(place, numbers)` sends one message with an event for each number; returns when it
        is answered, or sent where there are no answers. It is called on several threads.
    number: returns the number of an event that the source handed on; by default `data.number`.
    config: other config of the source, beside `settings`.
    acknowledged: returns the numbers that the source has told the sender it took, in any order.
    refused: returns the numbers that the source has told the sender it did not take.
    send_bad: `send_bad(place)` sends input that holds no event; returns the words that the sender
        gets for it, or None where senders get no answers.
    """

    settings: Mapping[str, Any] = field(repr=False)
    send: Callable[[str, Sequence[int]], object]
    number: Callable[[Event], int] = number_of
    config: Mapping[str, Any] = Factory(dict)
    acknowledged: Callable[[], Sequence[int]] | None = None
    refused: Callable[[], Sequence[int]] | None = None
    send_bad: Callable[[str], str | None] | None = None
