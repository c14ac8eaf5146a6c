"""What stands at the other end of a destination under test."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import Factory, field, frozen


@frozen(kw_only=True)
class Backend:
    """The other end of a destination: the real thing, or a stand-in that answers like it.

    Only the first two are required; without the others the tests that need them are skipped,
    each with the name of what it lacks.

    settings: the destination's settings that lead here, as a flow file has them.
    received: returns the ids of the events that have arrived, in the order of arrival.
    config: what else the destination needs to be told: `data`, `mapping`, ...
    content: returns what arrived of the event with this id, without what differs between any
        two events (the id, the time of arrival). What differs in `data.total` differs here.
    reject: parts of an event that the destination must refuse for ever, such as
        `{"data": {"total": "none"}}`.
    retry: makes every delivery fail from now on in a way that passes: busy, unreachable.
    down: makes every delivery fail from now on until a person acts: credentials revoked.
    recover: ends `retry` and `down`.
    """

    settings: Mapping[str, Any] = field(repr=False)
    received: Callable[[], Sequence[str]]
    config: Mapping[str, Any] = Factory(dict)
    content: Callable[[str], Any] | None = None
    reject: Mapping[str, Any] | None = None
    retry: Callable[[], None] | None = None
    down: Callable[[], None] | None = None
    recover: Callable[[], None] | None = None
