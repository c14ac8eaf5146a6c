"""Selection of events by time and name."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from attrs import field, frozen

from walker_collector.moments import now_ms, parse_ms

_ANY: Final = "*"

Pattern = tuple[str, str]
"""Entity and action of a name; `*` is any."""


def parse_pattern(text: str) -> Pattern:
    """Return a pattern of names such as `order *`; raises ValueError for other text."""
    entity, _, action = text.partition(" ")
    if not entity or not action or " " in action:
        raise ValueError('a name is "entity action", such as "order complete"; "*" is any')
    return entity, action


@frozen(kw_only=True)
class Selection:
    """The events to hand on: not before `since`, before `until` (ms), and with a name of `only`.

    None, and no patterns, select all. An event without a time counts as of now.
    """

    since: int | None = None
    until: int | None = None
    only: frozenset[Pattern] = frozenset()
    _now: Callable[[], int] = field(default=now_ms)

    def __bool__(self) -> bool:
        return self.since is not None or self.until is not None or bool(self.only)

    def has(self, event: Mapping[str, Any]) -> bool:
        """Return whether an event is selected; one that is malformed is, to be reported."""
        return self._has_name(event.get("name")) and self._has_time(event.get("timestamp"))

    def _has_name(self, name: Any) -> bool:
        if not self.only or not isinstance(name, str):
            return True
        entity, _, rest = name.partition(" ")
        action = rest.partition(" ")[0]
        named = ((entity, action), (entity, _ANY), (_ANY, action), (_ANY, _ANY))
        return not self.only.isdisjoint(named)

    def _has_time(self, timestamp: Any) -> bool:
        if self.since is None and self.until is None:
            return True
        try:
            at = parse_ms(timestamp) if isinstance(timestamp, str) else timestamp or self._now()
        except ValueError:
            return True
        if not isinstance(at, int | float):
            return True
        return (self.since is None or at >= self.since) and (self.until is None or at < self.until)


ALL: Final = Selection()
