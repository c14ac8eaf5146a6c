"""Signal handlers at every moment: where Python may run one, this does.

Python runs signal handlers in the main thread: where a function begins, where a call of a function
written in C has returned, and at the end of a loop's round. A profile function is called at the
same places, but for the loops, whose rounds here all have calls.
"""

import gc
import sys
from collections.abc import Callable
from typing import Any

_SILENT = "_weakrefset.py"
"""Python ignores what is raised in a callback of a weak reference."""


class Interruption(BaseException):
    """What a handler raises, as `sys.exit` raises SystemExit."""


def at_moment(number: int, handler: Callable[[], object], call: Callable[[], object]) -> bool:
    """Call something, and the handler at its moment of that number, from 1 on; return whether
    there is such a moment. What the handler raises is raised where it interrupts.
    """
    passed = 0

    def profile(frame: Any, kind: str, arg: Any) -> None:
        nonlocal passed
        if kind not in ("call", "c_return") or frame.f_code.co_filename.endswith(_SILENT):
            return
        passed += 1
        if passed == number:
            sys.setprofile(None)
            handler()

    gc.disable()  # others have callbacks there, and Python ignores what is raised in them
    sys.setprofile(profile)
    try:
        call()
    finally:
        sys.setprofile(None)
        gc.enable()
    return passed >= number
