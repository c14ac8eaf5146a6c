"""Garbage collection, set for a process that moves many events.

Under way are thousands of events, each of many objects of which hardly one is part of a cycle.
Python's defaults have all of them looked at again and again, which costs half as much as the
delivery itself. It is a setting of the process, so it is for the command to make, and for an
application to make itself (docs/performance.md).
"""

import gc
from typing import Final

_THRESHOLDS: Final = (50_000, 20, 100)


def collect_seldom() -> None:
    """Leave alone what exists by now, and look at the rest less often."""
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
