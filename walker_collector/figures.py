"""The counters of a process, and of the workers beside it: cheap to add to, read on demand."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

from walker_collector.errors import CollectorClosed, EventError, SpoolFull

Series = tuple[str, ...]
"""The name of a counter, and the values of its labels."""
Counts = Mapping[Series, float]
Events = TypeVar("Events")
Results = TypeVar("Results", bound=Sequence[object])

OF_DESTINATIONS: Final = ("delivered", "retried", "died", "dropped")
"""The counters of a destination that are summed over the workers."""
OF_COLLECTOR: Final = ("repeated", "corrected")
"""Those of the collector as a whole."""


GAUGES: Final = ("assigned", "lag")
"""Series of values as they are now, in place of counts: a worker that ends leaves none."""


class Figures:
    """Counts by series. Threads may add at once.

    `status` returns the collector's figures. One of several workers also has a `base`, the counts
    of those before it, and `others`, which returns the counts of those beside it.
    """

    def __init__(
        self,
        status: Callable[[], Any] | None = None,
        *,
        base: Counts | None = None,
        others: Callable[[Counts], Iterable[Counts]] = lambda own: (),
    ) -> None:
        self._status = status
        self._base = {key: count for key, count in (base or {}).items() if key[0] not in GAUGES}
        self._others = others
        self._counts: dict[Series, float] = {}
        self._lock = threading.Lock()

    def add(self, series: Series, by: float = 1) -> None:
        """Add to a count."""
        with self._lock:
            self._counts[series] = self._counts.get(series, 0) + by

    def set(self, series: Series, value: float) -> None:
        """Set a value that goes up and down: one of `GAUGES`."""
        with self._lock:
            self._counts[series] = value

    def drop(self, series: Series) -> None:
        """Drop a value: this process knows none any more."""
        with self._lock:
            self._counts.pop(series, None)

    def add_seconds(self, series: Series, sums: Series, seconds: float) -> None:
        """Count one more, and add its seconds to another series."""
        counts = self._counts
        with self._lock:
            counts[series] = counts.get(series, 0) + 1
            counts[sums] = counts.get(sums, 0) + seconds

    def counting(
        self, source: str, accept: Callable[[Events], Results]
    ) -> Callable[[Events], Results]:
        """Return the function that accepts the events of a source, with its results counted."""

        def accept_and_count(events: Events) -> Results:
            results = accept(events)
            self._add_results(source, results)
            return results

        return accept_and_count

    def _add_results(self, source: str, results: Sequence[object]) -> None:
        refused = [result for result in results if isinstance(result, Exception)]
        if count := len(results) - len(refused):
            self.add(("accepted", source), count)
        for error in refused:
            self.add(("refused", source, reason_of(error)))

    def of_sources(self) -> Counts:
        """Return the counts of the sources of this process."""
        with self._lock:
            return dict(self._counts)

    def own(self) -> Counts:
        """Return the counts of this process, with those of its destinations."""
        return self._with(self._status() if self._status else None)

    def report(self) -> tuple[Counts, Any]:
        """Return the counts of all workers, and the status of the collector, if there is one."""
        status = self._status() if self._status else None
        own = self._with(status)
        return added([own, *self._others(own)]), status

    def _with(self, status: Any) -> Counts:
        of_status: dict[Series, float] = {}
        if status is not None:
            of_status = {(name,): getattr(status, name) for name in OF_COLLECTOR}
            for id_, destination in status.destinations.items():
                of_status |= {(name, id_): getattr(destination, name) for name in OF_DESTINATIONS}
        with self._lock:
            return added([self._base, self._counts, of_status])


def added(parts: Iterable[Counts]) -> dict[Series, float]:
    """Return the sums of counts."""
    found: dict[Series, float] = {}
    for counts in parts:
        for series, count in counts.items():
            found[series] = found.get(series, 0) + count
    return found


def reason_of(error: Exception) -> str:
    """Return the reason of a refusal, as a word."""
    if isinstance(error, EventError):
        return "invalid"
    if isinstance(error, SpoolFull):
        return "full"
    return "closing" if isinstance(error, CollectorClosed) else "storage"
