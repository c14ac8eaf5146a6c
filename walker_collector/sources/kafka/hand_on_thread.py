"""A thread for messages in groups, and for calls in between, in the order of their arrival."""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from walker_collector.sources.kafka.handing_on import GROUP, Partition
from walker_collector.sources.kafka.message_events import Message

Placed = tuple[Partition, Message]

MOST: Final = 4 * GROUP
"""Messages that may wait before no more are fetched."""
MOST_BYTES: Final = 16 * 1024 * 1024
_ROOM: Final = 2
"""Fetching goes on once so many times fewer wait."""


class HandOnThread:
    """Hands messages on by `hand_on`, many at once, and runs calls."""

    def __init__(self, hand_on: Callable[[Sequence[Placed]], object], name: str) -> None:
        self._hand_on = hand_on
        self._items: deque[Placed | Callable[[], object]] = deque()
        self._changed = threading.Condition()
        self._count = self._bytes = 0
        self._ending = False
        self._is_busy = False
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def add(self, messages: Sequence[Placed]) -> None:
        """Have messages handed on."""
        with self._changed:
            self._items += messages
            self._count += len(messages)
            self._bytes += sum(_size(message) for _, message in messages)
            self._changed.notify_all()

    def call(self, work: Callable[[], object]) -> None:
        """Have a function called after the messages before it."""
        with self._changed:
            self._items.append(work)
            self._changed.notify_all()

    @property
    def is_full(self) -> bool:
        """Whether as many messages wait as may."""
        return self._count >= MOST or self._bytes >= MOST_BYTES

    @property
    def has_room(self) -> bool:
        """Whether so few wait that more are wanted."""
        return self._count <= MOST // _ROOM and self._bytes <= MOST_BYTES // _ROOM

    def wait_for_room(self, seconds: float) -> None:
        """Wait while it is full, for so many seconds at most."""
        with self._changed:
            self._changed.wait_for(lambda: not self.is_full or self.failure, seconds)

    def wait_until_idle(self, seconds: float) -> None:
        """Wait until nothing is in hand, for so many seconds at most."""
        with self._changed:
            self._changed.wait_for(lambda: not self._items and not self._is_busy, seconds)

    def end(self, seconds: float) -> bool:
        """Finish the group in hand, and drop the rest; return whether the thread has ended."""
        with self._changed:
            self._ending = True
            self._items.clear()
            self._changed.notify_all()
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _work(self) -> None:
        try:
            while (item := self._next()) is not None:
                if callable(item):
                    item()
                else:
                    self._hand_on(item)
        except BaseException as error:
            self.failure = error
        finally:
            with self._changed:
                self._is_busy = False
                self._changed.notify_all()

    def _next(self) -> Sequence[Placed] | Callable[[], object] | None:
        """Wait for a call, or for messages, of which as many as come; None: it is the end."""
        with self._changed:
            self._is_busy = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._items or self._ending)
            if self._ending:
                return None
            self._is_busy = True
            group: list[Placed] = []
            while self._items and len(group) < GROUP:
                item = self._items[0]
                if callable(item):
                    if group:
                        break
                    self._items.popleft()
                    return item
                group.append(item)
                self._items.popleft()
            self._count -= len(group)
            self._bytes -= sum(_size(message) for _, message in group)
            return group


def _size(message: Message) -> int:
    return len(message.value() or b"")
