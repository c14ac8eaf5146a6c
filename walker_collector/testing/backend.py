"""The other end of a destination under test, as its author describes it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import Factory, field, frozen


@frozen(kw_only=True)
class Backend:
    """The service behind a destination: the real one, or a stand-in that responds like it.

    Only `settings` and `received` are required. A test that needs another field is skipped without
    it, and names the field.

    settings: settings of the destination that lead here, as in a flow file.
    received: returns the ids of the events that have arrived, in the order of arrival.
    config: other config of the destination, beside `settings`: `data`, `mapping`, ...
    content: returns the content that arrived for an event id, without the parts that differ
        between any two events (id, time of arrival). It must depend on `data.total`.
    reject: parts of an event that the destination must refuse for good, such as
        `{"data": {"total": "none"}}`.
    retry: makes deliveries fail from now on with a failure that passes: busy, unreachable.
    down: makes deliveries fail from now on until a person acts: credentials revoked.
    unreachable: makes the backend go away from now on: connections are refused, or broken without
        an answer.
    recover: ends `retry`, `down` and `unreachable`.
    uses_data: False for a destination that sends nothing of the data that the mapping makes.
    guarded: a value of each rule setting that the plugin guards, such that an event has its effect.
    """

    settings: Mapping[str, Any] = field(repr=False)
    received: Callable[[], Sequence[str]]
    config: Mapping[str, Any] = Factory(dict)
    content: Callable[[str], Any] | None = None
    reject: Mapping[str, Any] | None = None
    retry: Callable[[], None] | None = None
    down: Callable[[], None] | None = None
    unreachable: Callable[[], None] | None = None
    recover: Callable[[], None] | None = None
    uses_data: bool = True
    guarded: Mapping[str, Any] | None = None
