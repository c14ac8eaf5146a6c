"""The rows of the calls of one process: each is used for one call after the other.

New rows for every call would fill the table with deleted ones, faster than the server clears them.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class CallSlots:
    """Gives each call a slot; thread-safe.

    The slot of a call that is over has it still, until it is cleared or used for another call.
    """

    def __init__(self) -> None:
        self._changing = threading.Lock()
        self._slots = 0
        self._of_calls: dict[int, int] = {}
        self._stale: list[int] = []
        self._free: list[int] = []

    def take(self, number: int) -> int:
        """Return a slot for a call. If one is over in it, that is written with this one."""
        with self._changing:
            reused = self._stale or self._free
            if reused:
                slot = reused.pop()
            else:
                slot, self._slots = self._slots, self._slots + 1
            self._of_calls[number] = slot
            return slot

    def end(self, number: int) -> None:
        """Note that a call is over, or was not written."""
        with self._changing:
            slot = self._of_calls.pop(number, None)
            if slot is not None:
                self._stale.append(slot)

    def in_use(self) -> list[int]:
        """Return the slots of the calls that are under way."""
        with self._changing:
            return list(self._of_calls.values())

    @contextmanager
    def clearing(self) -> Iterator[list[int]]:
        """Give the slots of calls that are over, to be cleared within the block."""
        with self._changing:
            slots, self._stale = self._stale, []
        try:
            yield slots
        except BaseException:
            with self._changing:
                self._stale += slots
            raise
        with self._changing:
            self._free += slots
