"""Limits that hold for every input: no foreign exception, no hang, no growth of memory."""

import ctypes
import gc
import os
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from attrs import define, field

from walker_collector import WalkerError

LONGEST: Final = 1.0
"""Seconds of work that one input may take."""
SETTLED: Final = 0.25
"""The share of inputs after which memory is expected to have its size."""
PAGE: Final = os.sysconf("SC_PAGE_SIZE")


def resident_mb() -> float:
    """Return how much memory this process has in use, in MB."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what is free, and only not given back, does not count
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 1e6


@define
class Watch:
    """Calls something with many inputs, and notes what went wrong; the first few in full."""

    found: list[str] = field(factory=list)
    calls: int = 0
    refused: int = 0
    slowest: float = 0.0

    def call(self, given: Any, call: Callable[[], Any]) -> Any:
        """Return what a call returns; None where it raised. Typed errors are an answer."""
        self.calls += 1
        began = time.thread_time()  # a machine that is busy with others is no hang
        try:
            return call()
        except WalkerError as error:
            self.refused += 1
            self.check_text(given, str(error))
        except Exception as error:
            self.note(given, "".join(traceback.format_exception(error)[-6:]))
        finally:
            took = time.thread_time() - began
            self.slowest = max(self.slowest, took)
            if took > LONGEST:
                self.note(given, f"took {took:.1f} s")
        return None

    def check_text(self, given: Any, text: str, secret: str = "") -> None:
        """See to it that a text can be shown anywhere: no control characters, no secret."""
        odd = sorted({c for c in text if not (c.isprintable() or c in "\n ")})
        if odd:
            self.note(given, f"shows {odd!r}: {text[:300]!r}")
        if not text.strip():
            self.note(given, "says nothing")
        if secret and secret in text:
            self.note(given, f"shows a secret: {text[:300]!r}")

    def note(self, given: Any, what: str) -> None:
        """Note what went wrong with an input."""
        self.found.append(f"{_shown(given)}\n{what}" if len(self.found) < 20 else "and more")


def _shown(given: Any) -> str:
    try:
        return repr(given)[:3_000]
    except Exception as error:
        return f"<{type(given).__name__} whose repr raises {type(error).__name__}>"


@define
class Memory:
    """How much memory a process has gained since most of it had its size."""

    total: int
    _settled: float | None = None
    grown: float = 0.0

    def look(self, done: int) -> None:
        """Look now and then; `done` of the `total` inputs are through."""
        if self._settled is None:
            if done >= self.total * SETTLED:
                self._settled = resident_mb()
        elif done == self.total:
            self.grown = resident_mb() - self._settled
