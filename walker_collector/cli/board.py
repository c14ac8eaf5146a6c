"""The counts of workers in memory that they share, so that any of them can tell those of all."""

import mmap
import struct
import threading
import time
from collections.abc import Sequence
from typing import Final
from zlib import crc32

import orjson

from walker_collector.figures import Counts
from walker_collector.text import get_logger

_ASKED: Final = struct.Struct("<Q")
"""The last time (monotonic, ns) at which somebody asked for the counts of all."""
_SERVING: Final = struct.Struct("<Q")
"""Of each worker: whether it has started, and not ended."""
_HEAD: Final = struct.Struct("<QIII")
"""Of each worker: the time of its counts; their place, length and checksum as JSON."""
_HALF: Final = 524_288
"""Bytes for a worker's counts. It has room for them twice: whoever is killed while it writes leaves
the ones before. Memory is taken only for what is used."""
_SLOT: Final = _SERVING.size + _HEAD.size + 2 * _HALF
_AGE: Final = 1_000_000_000
"""Nanoseconds after which a worker writes its counts again, though nobody asks: the most that a
kill can lose."""
_TRIES: Final = 100
_WAIT: Final = 1.0
"""Seconds that an answer waits for a worker that tells no counts; then the last ones do."""
_LOOK: Final = 0.005

logger = get_logger("walker_collector")


class Board:
    """The counts of a number of workers; made before they are forked.

    A worker writes its counts when somebody asks, so those that were told once are never lost, and
    once a second: a worker that takes the place of a killed one goes on from there.
    """

    def __init__(self, workers: int) -> None:
        self._memory = mmap.mmap(-1, _ASKED.size + workers * _SLOT)
        self._workers = range(workers)
        self._lock = threading.Lock()

    def is_serving(self, worker: int) -> bool:
        """Return whether a worker has started, and not ended."""
        return bool(_SERVING.unpack_from(self._memory, _at(worker))[0])

    def set_serving(self, worker: int, serving: bool) -> None:
        """Note that a worker has started, or ended."""
        _SERVING.pack_into(self._memory, _at(worker), serving)

    def is_due(self, worker: int) -> bool:
        """Return whether a worker has to write its counts: somebody asks, or those here are old."""
        asked: int = _ASKED.unpack_from(self._memory, 0)[0]
        written = self._head(worker)[0]
        return asked > written or time.monotonic_ns() >= written + _AGE

    def write(self, worker: int, counts: Counts, at: int) -> None:
        """Write the counts of a worker as they are at a time (monotonic, ns), or after it."""
        data = orjson.dumps([[list(series), count] for series, count in counts.items()])
        if len(data) > _HALF:
            logger.warning("metrics: the figures of a worker are too many to be shared")
            return
        with self._lock:
            start = 0 if self._head(worker)[1] else _HALF
            body = _at(worker) + _SERVING.size + _HEAD.size + start
            self._memory[body : body + len(data)] = data
            head = (at, start, len(data), crc32(data))
            _HEAD.pack_into(self._memory, _at(worker) + _SERVING.size, *head)

    def read(self, worker: int) -> Counts:
        """Return the counts of a worker that were written last."""
        for _ in range(_TRIES):
            _, start, length, checksum = self._head(worker)
            body = _at(worker) + _SERVING.size + _HEAD.size + start
            data = self._memory[body : body + length]
            if crc32(data) == checksum:  # else they were written over while they were read
                return {tuple(series): count for series, count in orjson.loads(data or b"[]")}
        return {}

    def others(self, worker: int) -> Sequence[Counts]:
        """Ask the other workers for their counts, and return them."""
        now = time.monotonic_ns()
        _ASKED.pack_into(self._memory, 0, now)
        others = [other for other in self._workers if other != worker]
        deadline = time.monotonic() + _WAIT
        while any(self._owes(other, now) for other in others) and time.monotonic() < deadline:
            time.sleep(_LOOK)
        return [self.read(other) for other in others]

    def _owes(self, worker: int, at: int) -> bool:
        return self.is_serving(worker) and self._head(worker)[0] < at

    def _head(self, worker: int) -> tuple[int, int, int, int]:
        at, start, length, checksum = _HEAD.unpack_from(self._memory, _at(worker) + _SERVING.size)
        return at, start, length, checksum


def _at(worker: int) -> int:
    return _ASKED.size + worker * _SLOT
