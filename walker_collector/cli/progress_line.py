"""The progress of deliveries as a line: share done, deliveries left, rate, time left."""

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

from attrs import Factory, define, frozen

from walker_collector.delivery.status import DestinationStatus
from walker_collector.spool.deliverer import TROUBLED
from walker_collector.text import counted

_WINDOW: Final = 10.0
"""Seconds over which the rate is measured."""
_SHORTEST: Final = 1.0
"""Seconds that a measurement takes at least."""
_BAR: Final = 20
"""Columns of the bar."""
_QUIET: Final = 1.0
"""Seconds without a line: a short run needs none."""


@frozen(kw_only=True)
class Progress:
    """State of deliveries. `read`: share of the input that is read, None if its size is unknown.

    troubled: the destinations with deliveries left that are down or failing; nobody can tell when
    these are made.
    """

    finished: int
    left: int
    read: float | None = 1.0
    rate: float | None = None
    troubled: Mapping[str, str] = Factory(dict)

    @property
    def share(self) -> float | None:
        """Return the share of all deliveries that is made, those of unread input included."""
        if self.read is None:
            return None
        known = self.finished + self.left
        return self.read * self.finished / known if known else self.read * 0.99

    @property
    def seconds_left(self) -> float | None:
        """Return the seconds until all is delivered at this rate; None where nobody can tell."""
        if not self.rate or not self.read or self.troubled:
            return None
        known = (self.finished + self.left) / self.read
        return (known - self.finished) / self.rate


def as_line(progress: Progress) -> str:
    """Return the line of a terminal; 100 % means that all is read and delivered."""
    line = f"{counted(progress.left, 'delivery')} left"
    line += _pace(progress.rate)
    if (seconds := progress.seconds_left) is not None and progress.left:
        line += f", about {clock(seconds)}"
    for id_, state in progress.troubled.items():
        line += f"; {id_} is {state}"
    share = progress.share
    if progress.read is None or progress.read < 1:
        line = f"reading; {line}"
    if share is not None and (progress.left or (progress.read or 0) < 1):
        share = min(share, 0.99)
    return f"{_bar(share)}{line}"


def _pace(rate: float | None) -> str:
    """Return a rate as the next part of a line."""
    if rate is None:
        return ""
    return f", {rate:,.1f}/s" if 0 < rate < 10 else f", {rate:,.0f}/s"


def _bar(share: float | None) -> str:
    if share is None:
        return ""
    done = int(share * _BAR)
    return f"{int(share * 100):3} % {'━' * done}{'─' * (_BAR - done)}  "


def clock(seconds: float) -> str:
    """Return seconds as minutes and seconds, `2:05`, with hours where there are some."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Rate:
    """Deliveries per second over the last seconds. `now` returns monotonic seconds."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._seen: deque[tuple[float, int]] = deque()

    def measure(self, finished: int) -> float | None:
        """Return the rate, given how many are finished; None before it can be measured."""
        now = self._now()
        self._seen.append((now, finished))
        while self._seen[0][0] < now - _WINDOW:
            self._seen.popleft()
        began, before = self._seen[0]
        if now - began < _SHORTEST:
            return None
        return max(0, finished - before) / (now - began)


@define
class BytesRead:
    """Bytes of the input that are read, and its size; None if it is not known. Of a compressed file
    its own bytes count.

    silent: nothing is shown while reading, as somebody types the input.
    passed: the bytes of lines that an earlier run has handed on, which are no work for this one.
    """

    size: int | None = None
    silent: bool = False
    count: int = 0
    passed: int = 0
    complete: bool = False

    @property
    def share(self) -> float | None:
        """Return the share of its work that is read; None if the size is not known."""
        if self.complete:
            return 1.0
        if not self.size or self.size <= self.passed:
            return None
        return min((self.count - self.passed) / (self.size - self.passed), 0.99)


class ProgressLine:
    """The line of a command that delivers; "" while there is nothing to show.

    `statuses` returns the status of each destination, `now` monotonic seconds.
    """

    def __init__(
        self,
        statuses: Callable[[], Mapping[str, DestinationStatus]],
        read: BytesRead,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._statuses = statuses
        self._read = read
        self._now = now
        self._began = now()
        self._rate = Rate(now)

    def __call__(self) -> str:
        if self._now() - self._began < _QUIET or (self._read.silent and not self._read.complete):
            return ""
        statuses = self._statuses()
        found = statuses.values()
        done, left = sum(map(finished, found)), sum(status.waiting for status in found)
        if not left and self._read.complete:
            return f"{counted(done, 'delivery')} made, none left"
        rate = self._rate.measure(done)
        troubled = {
            id_: s.state for id_, s in statuses.items() if s.waiting and s.state in TROUBLED
        }
        return as_line(
            Progress(finished=done, left=left, read=self._read.share, rate=rate, troubled=troubled)
        )


class CountLine:
    """The line of a command that counts lines; "" while there is nothing to show."""

    def __init__(
        self,
        counted: Callable[[], int],
        read: BytesRead,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._counted = counted
        self._read = read
        self._now = now
        self._began = now()
        self._rate = Rate(now)

    def __call__(self) -> str:
        if self._now() - self._began < _QUIET or self._read.silent:
            return ""
        count, share = self._counted(), self._read.share
        rate = self._rate.measure(count)
        line = f"{count:,} lines counted{_pace(rate)}"
        if rate and share:
            line += f", about {clock(count * (1 / share - 1) / rate)}"
        return _bar(share) + line


def finished(status: DestinationStatus) -> int:
    """Return how many events of a destination have come to an end, or are held."""
    done = status.delivered + status.notified + status.ignored + status.empty
    return done + status.dropped + status.died + status.held
