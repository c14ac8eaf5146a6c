"""The publisher of live figures and masked samples, in the spool, while there are viewers.

A viewer is another process: `walker top`, or the worker that has the page.
"""

import os
import secrets
import socket
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import orjson

from walker_collector.delivery.worker import DestinationWorker
from walker_collector.delivery.workers import DestinationWorkers
from walker_collector.errors import SpoolError
from walker_collector.inspector.live_sample import Sample
from walker_collector.inspector.overview import breaker, outcomes, rates, sources, speeds
from walker_collector.inspector.sampler import Sampler
from walker_collector.moments import now_ms
from walker_collector.spool import DurableSpool
from walker_collector.text import get_logger, storable

INTERVAL: Final = 1.0
"""Seconds from one publication of figures to the next."""
_SAMPLES: Final = 0.25
"""Seconds from one look for new samples to the next."""
_PER_SECOND: Final = 10
"""Samples in a second of events that are delivered, and as many of others."""
_SAMPLE_BYTES: Final = 2_000
"""A sample with more JSON is published without its data."""
_WINDOW: Final = 6
"""Publications over which rates are averaged."""
_Counts = dict[str, dict[str, int]]

logger = get_logger("walker_collector")


def publish_while_watched(
    spool: DurableSpool,
    workers: DestinationWorkers,
    is_watched: Callable[[], bool],
    over: threading.Event,
) -> None:
    """Publish figures every second, and samples sooner, until nobody looks or it is over."""
    publisher = Publisher(spool, workers)
    workers.watch.add(publisher.sampler)
    try:
        while is_watched():
            publisher.publish()
            if over.wait(_SAMPLES):
                return
        publisher.end()
    except SpoolError as error:  # it begins again when the spool can be used, and is watched
        logger.debug("live figures: %s", storable(error))
    except Exception as error:  # nobody's events depend on it
        logger.warning("live figures: not published: %s", type(error).__name__)
    finally:
        workers.watch.remove(publisher.sampler)


class Publisher:
    """Writes the figures of this process, and the samples since the last time."""

    def __init__(self, spool: DurableSpool, workers: DestinationWorkers) -> None:
        self.sampler = Sampler(per_second=_PER_SECOND)
        self._spool = spool
        self._table = spool.sample_table
        self._workers = workers
        self._host = storable(socket.gethostname())
        self._name = f"{self._host}:{os.getpid()}:{secrets.token_hex(4)}"
        self._published = 0
        self._latest = (0, "")
        self._erasures = spool.erasures
        self._before: deque[tuple[int, _Counts, _Counts]] = deque(maxlen=_WINDOW)

    def publish(self) -> None:
        """Write the new samples, and figures if it is time for them. Raises SpoolError."""
        samples = self.sampler.since(self._published)
        self._published = self.sampler.last
        if self._spool.erasures != self._erasures:
            # Samples of the erased person may be among these, and may have been written since.
            self._erasures = self._spool.erasures
            self._table.clear()
            samples = []
        texts = [_text_of(sample) for sample in samples]
        is_time = now_ms() >= self._latest[0] + INTERVAL * 1000
        if is_time:
            self._latest = now_ms(), orjson.dumps(self._figures()).decode()
        if is_time or texts:
            self._table.publish(self._name, *self._latest, texts)

    def end(self) -> None:
        """Leave nothing behind, as nobody watches. Raises SpoolError."""
        self._table.clear()

    def _figures(self) -> dict[str, Any]:
        now = now_ms()
        # Not of its status, which asks the spool as well.
        counts = {id_: outcomes(item.pending.state.counts) for id_, item in self._workers.items()}
        read = {each["id"]: each for each in sources(self._workers.watch.counts())}
        taken = {id_: {"accepted": each["accepted"]} for id_, each in read.items()}
        since, earlier, earlier_taken = self._before[0] if self._before else (0, {}, {})
        self._before.append((now, counts, taken))
        seconds = (now - since) / 1000
        return {
            "at": now,
            "pid": os.getpid(),
            "host": self._host,
            "destinations": {
                id_: {
                    **self._condition(self._workers[id_]),
                    "rates": _rates(earlier.get(id_), item, seconds),
                }
                for id_, item in counts.items()
            },
            "sources": {
                id_: {**each, "rates": _rates(earlier_taken.get(id_), taken[id_], seconds)}
                for id_, each in read.items()
            },
        }

    def _condition(self, worker: DestinationWorker) -> dict[str, Any]:
        health, speed = worker.health(), self.sampler.speed(worker.id)
        return {
            "state": health.state,
            "breaker": {
                **breaker(health.state, worker.destination.config),
                "nextAttempt": health.until,
            },
            **speeds(speed),
        }


def _rates(
    before: dict[str, int] | None, now: dict[str, int], seconds: float
) -> dict[str, float] | None:
    """Return the events of each outcome in a second; None: nothing is known from before."""
    return None if before is None or seconds <= 0 else rates(before, now, seconds)


def _text_of(sample: Sample) -> str:
    """Return a sample as JSON, with its values masked."""
    made = dict(sample.as_object())
    text = orjson.dumps(made, default=str)
    if len(text) > _SAMPLE_BYTES:
        text = orjson.dumps({**made, "sent": None}, default=str)
    return text.decode()
