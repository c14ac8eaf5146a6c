"""Waits for a word of shared memory to change, without looking at it again and again.

This is a futex of Linux: whoever waits costs nothing, whoever wakes needs no list of those who
wait, and nothing is left behind by a process that is killed. The C library has no function for it.
"""

import ctypes
import platform
import sys
from ctypes import c_int, c_long, c_uint32
from typing import Any, Final

_CALLS: Final = {"x86_64": 202, "aarch64": 98, "riscv64": 98, "ppc64le": 221, "s390x": 238}
"""The number of the system call, by processor."""
_WAIT, _WAKE = 0, 1
_EVERYBODY: Final = 2**31 - 1


class _Duration(ctypes.Structure):
    _fields_ = (("seconds", c_long), ("nanoseconds", c_long))


def _system_call(library: type[ctypes.CDLL]) -> Any:
    """Return the function for it, None where there is none."""
    if sys.platform != "linux" or sys.maxsize < 2**32 or platform.machine() not in _CALLS:
        return None
    try:
        function = library(None).syscall
    except (OSError, AttributeError):
        return None
    function.argtypes = [c_long, ctypes.c_void_p, c_int, c_uint32, ctypes.c_void_p]
    function.restype = c_long
    return function


_wait: Final = _system_call(ctypes.CDLL)  # other threads go on
_wake: Final = _system_call(ctypes.PyDLL)  # it never waits
_NUMBER: Final = _CALLS.get(platform.machine(), 0)


class Futex:
    """A word of shared memory that processes wait for: the lower half of the first one."""

    def __init__(self, memory: Any) -> None:
        at = 0 if sys.byteorder == "little" else 4
        self._word = c_uint32.from_buffer(memory, at)  # keeps the memory mapped
        self._address = ctypes.addressof(self._word)

    @property
    def works(self) -> bool:
        """Whether this system can wait."""
        return _wait is not None

    def wait(self, seen: int, seconds: float) -> None:
        """Wait until `wake` is called, unless the word is not `seen` any more."""
        whole = int(seconds)
        duration = _Duration(whole, int((seconds - whole) * 1e9))
        _wait(_NUMBER, self._address, _WAIT, seen & 0xFFFF_FFFF, ctypes.addressof(duration))

    def wake(self) -> None:
        """Wake all that wait, in all processes."""
        if _wake is not None:
            _wake(_NUMBER, self._address, _WAKE, _EVERYBODY, None)
