"""Counts of the effects that events would have at one destination."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from attrs import define, field, frozen

from walker_collector.delivery.destination import Destination
from walker_collector.delivery.preparation import CONSENT_CHANGED
from walker_collector.simulation import Simulated

DELIVERIES: Final = "deliveries"
"""The limit of the collector itself, `rateLimit` of a destination: calls of the plugin."""
_REFUSED: Final = frozenset({"unidentified", "invalid"})
_REASONS_MAX: Final = 100
"""Reasons that are told apart; others are counted together."""
_OTHER: Final = "other reasons"
_NUMBER: Final = re.compile(r"\d[\d,.]*")


@define
class Reason:
    """A reason about events: its text and line for the first of them, and their number."""

    text: str
    line: int
    count: int = 0


@define
class Reasons:
    """Reasons, counted; those that differ in numbers alone are one."""

    _found: dict[str, Reason] = field(factory=dict)

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, line: int, text: str) -> None:
        """Count a reason."""
        key = _NUMBER.sub("#", text)
        if key not in self._found and len(self._found) >= _REASONS_MAX:
            key = text = _OTHER
        self._found.setdefault(key, Reason(text, line)).count += 1

    def sorted(self) -> Sequence[Reason]:
        """Return the most frequent ones first."""
        return sorted(self._found.values(), key=lambda reason: -reason.count)


@frozen
class Requests:
    """Requests under one limit, and how many are made per second at most; None: no limit is set."""

    count: int
    rate: float | None

    @property
    def seconds(self) -> float | None:
        """The time that they take at least; None without a limit."""
        return self.count / self.rate if self.rate else None


@define
class Effects:
    """The effects of events at one destination.

    statuses, calls: how many there are of each. requests: by the name of their limit.
    refused: reasons to refuse events. warnings: parts of events that are left out or changed.
    """

    destination: Destination
    statuses: Counter[str] = field(factory=Counter)
    calls: Counter[str] = field(factory=Counter)
    requests: dict[str, Requests] = field(factory=dict)
    refused: Reasons = field(factory=Reasons)
    warnings: Reasons = field(factory=Reasons)
    _batch: list[Any] = field(factory=list)

    def add(self, line: int, result: Simulated) -> None:
        """Count a result."""
        self.calls.update(str(call[0]) for call in result.calls)
        if result.event == CONSENT_CHANGED:  # no event, and delivered by itself
            self._estimate([result.planned])
            return
        self.statuses[result.status] += 1
        self.statuses["held"] -= result.released + result.evicted
        self.statuses["dropped"] += result.evicted
        if result.status in _REFUSED:
            self.refused.add(line, result.error or result.status)
        for warning in result.warnings:
            self.warnings.add(line, warning)
        if result.calls:
            self._batch.append(result.planned)
            if len(self._batch) >= self._batch_size:
                self.finish()

    def finish(self) -> None:
        """Count the requests of the last events."""
        if self._batch:
            self._count(DELIVERIES, 1, self.destination.config.rate_limit)
            self._estimate(self._batch)
            self._batch.clear()

    @property
    def _batch_size(self) -> int:
        return self.destination.batch_size if self.destination.hooks.push_batch else 1

    def _estimate(self, batch: Sequence[Any]) -> None:
        """Ask the plugin for the requests that a batch takes."""
        estimate = getattr(self.destination.instance, "estimate", None)
        planned = [item for item in batch if item is not None]
        if estimate is None or not planned:
            return
        found: Mapping[str, tuple[int, float]] = estimate(planned, self.destination.config.settings)
        for name, (count, rate) in found.items():
            self._count(name, count, rate)

    def _count(self, name: str, count: int, rate: float | None) -> None:
        before = self.requests.get(name)
        self.requests[name] = Requests(count + (before.count if before else 0), rate)
