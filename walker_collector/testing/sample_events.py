"""Complete events for tests, the same at every run."""

from itertools import count
from typing import Any, Final

from attrs import define, field

from walker_collector.events import Bounds, Defaults, check_parts, complete, decode, encode
from walker_collector.hookspecs import Event

NOON: Final = 1_700_000_000_000
"""The time of the first event, in ms since 1970."""

_TRACE: Final = "0123456789abcdef0123456789abcdef"


def _counter() -> "count[int]":
    return count(1)


@define(eq=False)
class Events:
    """Makes events, completed as by the collector, numbered from 1 and one second apart.

        events = Events()
        events("order complete", data={"total": 55})    # id "e1", user "u1"
        events("order complete", user={"id": "u2"})     # id "e2"

    prefix: start of the ids.
    """

    prefix: str = "e"
    _count: "count[int]" = field(init=False, factory=_counter)

    def __call__(self, name: str = "order complete", /, **parts: Any) -> Event:
        """Return an event, by default of the user `u1`. Raises EventError for unknown parts."""
        check_parts(parts)
        number = next(self._count)
        event = complete(
            {"name": name, "user": {"id": "u1"}, **parts},
            now=NOON + number * 1000,
            timing=float(number),
            defaults=Defaults(lambda: f"{self.prefix}{number}", _TRACE, lambda: number),
        )
        return decode(encode(event, Bounds()))

    def several(self, number: int, name: str = "order complete", /, **parts: Any) -> list[Event]:
        """Return that many events, in order."""
        return [self(name, **parts) for _ in range(number)]
