"""Python's garbage collector in a process that is a command."""

import gc
from typing import Final

_GC_THRESHOLDS: Final = (50_000, 20, 100)


def relax_gc() -> None:
    """Make Python's garbage collector run less often, and skip the objects that exist now.

    Thousands of pending events are many objects, and hardly one is part of a cycle. Looking at them
    again and again, as by default, costs half as much as the delivery. The collector never does
    this by itself: it is a setting of the process, so of the application (docs/performance.md).
    """
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
