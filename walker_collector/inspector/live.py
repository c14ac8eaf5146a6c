"""The live figures of a collector, recorded on a thread while anybody looks."""

import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from attrs import define

from walker_collector.collector import Collector
from walker_collector.figures import Figures
from walker_collector.inspector.other_processes import OtherProcesses
from walker_collector.inspector.overview import overview
from walker_collector.inspector.sampler import Sampler, watching
from walker_collector.spool import Spool
from walker_collector.text import get_logger

logger = get_logger("walker_collector")

INTERVAL: Final = 1.0
"""Seconds from one look at the figures to the next."""
_PARTS: Final = 4
"""Looks for samples of other processes in that time."""
HISTORY: Final = 300
"""Looks that are remembered, for the lines of the last minutes."""
LINGER: Final = 20.0
"""Seconds for which recording goes on with nobody looking: a page that is reloaded comes back."""
_RATES: Final = ("delivered", "retried", "died")


@define
class Position:
    """The place of a page in the samples: the number of the last one that it has got.

    own: of this process's. shared: of those that all processes of the spool publish.
    """

    own: int
    shared: int


class Live:
    """Figures, their history, and samples of a collector. It records while it is looked at.

    keep_values: the values of samples are kept, for those who may see them.
    """

    def __init__(
        self, collector: Collector, figures: Figures | None = None, *, keep_values: bool = False
    ) -> None:
        self.sampler = Sampler(keep_values=keep_values)
        self.history: deque[Mapping[str, Any]] = deque(maxlen=HISTORY)
        self.latest: Mapping[str, Any] = {}
        self.looks = 0
        """The number of looks so far: another one whenever `latest` is."""
        self.clears = 0
        """How often all samples were dropped, as somebody was erased."""
        self.since = 0
        """The time (ms since 1970) from which on rules are counted."""
        self.linger = LINGER
        self._others = OtherProcesses(collector)
        self._collector = collector
        self._figures = figures
        self._viewers = 0
        self._left = 0.0
        self._erasures = 0
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    @property
    def is_recording(self) -> bool:
        """Whether outcomes are watched just now."""
        return self._thread is not None

    def news(self, position: "Position", *, with_values: bool) -> list[Mapping[str, Any]]:
        """Return the samples after a position, and move it on.

        With other processes these are the samples of all, and always masked.
        """
        own, position.own = self.sampler.since(position.own), self.sampler.last
        if not self._others.are_watched:
            return [item.as_object(with_values=with_values) for item in own]
        found = [item for item in self._others.samples.copy() if item["number"] > position.shared]
        if found:
            position.shared = found[-1]["number"]
        return found

    def position(self, samples: int) -> "Position":
        """Return the position before the latest samples, of that number."""
        shared = [item["number"] for item in list(self._others.samples)[-samples:]]
        return Position(max(0, self.sampler.last - samples), shared[0] - 1 if shared else 0)

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Record until the end of the block, and a little longer."""
        with self._lock:
            self._viewers += 1
            if self._thread is None:
                thread = threading.Thread(target=self._record, name="walker-inspector", daemon=True)
                self._thread = thread
                thread.start()
        try:
            yield
        finally:
            with self._lock:
                self._viewers -= 1
                self._left = time.monotonic()

    def _record(self) -> None:
        self.history.clear()
        self.latest = {}
        try:
            with watching(self._collector, self.sampler):
                self._erasures = self._spool.erasures
                while not self._is_over():
                    self._drop_erased()
                    self._look()
                    self._wait()
        except Exception as error:  # nobody looks any more; the next one starts it again
            logger.warning("inspector: no figures: %s", type(error).__name__)
            with self._lock:
                self._thread = None
        finally:
            self.sampler.clear()
            self._others.end()

    def _wait(self) -> None:
        """Wait for the next look; samples of other processes are taken more often."""
        for _ in range(_PARTS):
            time.sleep(INTERVAL / _PARTS)
            self._others.read_samples()

    def _drop_erased(self) -> None:
        """Drop all samples if anybody was erased: some may name them."""
        if self._spool.erasures != self._erasures:
            self._erasures = self._spool.erasures
            self.sampler.clear()
            self._others.samples.clear()
            self.clears += 1

    @property
    def _spool(self) -> Spool:
        return self._collector._life.own_runtime().spool

    def _is_over(self) -> bool:
        with self._lock:
            over = not self._viewers and time.monotonic() > self._left + self.linger
            over = over or self._collector._in_flight.closed
            if over:
                self._thread = None
            return over

    def _look(self) -> None:
        before, own = self.latest, overview(self._collector, self.sampler, self._figures)
        now = self._others.completed(own)
        self.since = self.since or now["at"]
        now = {**now, "since": self.since, "skipped": self.sampler.skipped}
        if before:
            self.history.append(point(before, now))
        self.latest = now
        self.looks += 1


def point(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Return the rates between two overviews, per second, and the queues at the second one."""
    seconds = max(0.001, (now["at"] - before["at"]) / 1000)
    earlier = {item["id"]: item for item in before["destinations"]}
    destinations = {}
    for item in now["destinations"]:
        last = earlier.get(item["id"], item)
        if "rates" in last:  # until now other processes were looked at as well
            last = item
        rates = item.get("rates") or {
            key: max(0, item[key] - last[key]) / seconds for key in _RATES
        }
        destinations[item["id"]] = {
            **{key: round(rates[key], 2) for key in _RATES},
            "waiting": item["waiting"],
            "call": item["call"],
        }
    accepted = max(0, _accepted(now) - _accepted(before)) / seconds
    return {"at": now["at"], "accepted": round(accepted, 2), "destinations": destinations}


def _accepted(figures: Mapping[str, Any]) -> int:
    """Return the number of events accepted; the figures of sources are those of all workers."""
    of_sources: int = sum(source["accepted"] for source in figures["sources"])
    of_process: int = figures["accepted"]
    return max(of_sources, of_process)
