"""Messages handed on to the collector: until each is stored, refused, or another process's."""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, Final

from attrs import define, field

from walker_collector.errors import CollectorClosed, EventError, SpoolFull, WalkerError
from walker_collector.hookspecs import Positions, Received
from walker_collector.offsets import Position, PositionLost
from walker_collector.results import PushResult
from walker_collector.sources.kafka.message_events import Message

GROUP: Final = 500
"""Messages that are handed on at once, at most: they share a commit."""
_PAUSE: Final = 0.02
_PAUSE_MAX: Final = 1.0
"""Seconds between two attempts to store the same events: the first, and the longest."""


@define(eq=False)
class Partition:
    """A partition, for as long as it is assigned to this process.

    input, run: see `Position`. offset: that of the next message to hand on; -1: it is not taken
    over yet. announced: the offset that the brokers know. lost: it is another process's now.
    undecided: without a durable spool, the accepted messages whose events may not be delivered yet.
    """

    topic: str
    number: int
    input: str
    run: str
    offset: int = -1
    announced: int = -1
    lost: bool = False
    undecided: deque[tuple[int, Future[Any]]] = field(factory=deque)

    @property
    def done(self) -> int:
        """The offset before which nothing is needed any more."""
        offset, undecided = self.offset, self.undecided  # read first: the rest comes before it
        while undecided and undecided[0][1].done():
            undecided.popleft()
        return undecided[0][0] if undecided else offset

    def lose(self) -> None:
        """Note that the partition is another process's."""
        self.lost = True
        for _, future in tuple(self.undecided):
            future.cancel()

    def at(self, offset: int) -> Position:
        """Return a position in the partition."""
        return Position(self.input, self.run, offset)


@define(eq=False)
class _Item:
    """A message, and its event; None: it has none, or its event was refused."""

    partition: Partition
    message: Message
    offset: int
    received: Received | None = None


@define(eq=False, kw_only=True)
class HandingOn:
    """Hands the events of messages on.

    accept, positions: those of the source's context. read: returns the event of a message, or
    raises EventError. on_bad: gets messages without an event; it returns once their partition
    may go on, or raises. pause: waits for a number of seconds. stopped: whether to give up what
    cannot be stored at once.
    """

    accept: Callable[[Sequence[Received]], Sequence[Any]]
    positions: Positions | None
    read: Callable[[Message], Received | None]
    on_bad: Callable[[Sequence[tuple[Message, EventError]]], object]
    pause: Callable[[float], object]
    stopped: Callable[[], bool]

    def hand_on(self, messages: Sequence[tuple[Partition, Message]]) -> None:
        """Hand on a group of messages; those of a partition are in the order of their offsets."""
        items = self._items(messages)
        pause, is_uncertain = _PAUSE, False
        while items := [item for item in items if _is_left(item)]:
            if is_uncertain:  # whether the last write has been committed
                error = self._look_again(items)
                if error is None:
                    is_uncertain = False
                    continue
            else:
                error = self._store(items)
                is_uncertain = not isinstance(error, SpoolFull | PositionLost)
            if error is None or isinstance(error, CollectorClosed) or self.stopped():
                return
            if isinstance(error, PositionLost):
                _lose(items, error.input)
            else:
                self.pause(pause)
                pause = min(2 * pause, _PAUSE_MAX)

    def _items(self, messages: Sequence[tuple[Partition, Message]]) -> list[_Item]:
        items, bad = [], []
        ends: dict[str, int] = {}
        for partition, message in messages:
            if partition.lost or message.offset() < ends.get(partition.input, 0):
                continue  # fetched once more
            item = _Item(partition, message, message.offset())
            ends[partition.input] = item.offset + 1
            try:
                item.received = self.read(message)
            except EventError as error:
                bad.append((message, error))
            items.append(item)
            if item.received is not None:
                self._prepare(item, item.received)
        if bad:
            self.on_bad(bad)
        return items

    def _prepare(self, item: _Item, received: Received) -> None:
        received.position = item.partition.at(item.offset + 1)
        received.refused = partial(self._refuse, item)
        if self.positions is None:
            received.decided = Future()

    def _refuse(self, item: _Item, error: EventError) -> None:
        """Have a refused event treated before its position is stored, and only once."""
        if item.received is not None:
            self.on_bad([(item.message, error)])
            item.received = None

    def _store(self, items: Sequence[_Item]) -> WalkerError | None:
        """Store the events of messages, and move the partitions on; return the error against it.

        After an error some partitions may have moved on, each up to its own first failure.
        """
        events = [item for item in items if item.received is not None]
        handed = [item.received for item in events if item.received is not None]
        results = self.accept(handed) if handed else ()
        failed: dict[str, WalkerError] = {}
        for item, received, result in zip(events, handed, results, strict=True):
            if item.partition.input in failed:
                continue
            if isinstance(result, PushResult):
                if received.decided is not None:
                    item.partition.undecided.append((item.offset, received.decided))
            elif not isinstance(result, EventError):
                failed[item.partition.input] = result
                continue
            item.partition.offset = item.offset + 1
        return next(iter(failed.values())) if failed else self._move_to_end(items)

    def _move_to_end(self, items: Sequence[_Item]) -> WalkerError | None:
        """Move partitions past their last messages, if these have no event."""
        ends = {item.partition.input: (item.partition, item.offset + 1) for item in items}
        left = [(partition, end) for partition, end in ends.values() if partition.offset < end]
        try:
            if left and self.positions is not None:
                self.positions.keep([partition.at(end) for partition, end in left])
        except WalkerError as error:
            return error
        for partition, end in left:
            partition.offset = end
        return None

    def _look_again(self, items: Sequence[_Item]) -> WalkerError | None:
        """Read the positions: a write that failed may have been committed all the same."""
        if self.positions is None:
            return None
        try:
            for partition in {item.partition.input: item.partition for item in items}.values():
                found = self.positions.of(partition.input)
                if found is None or found.run != partition.run:
                    partition.lose()
                else:
                    partition.offset = max(partition.offset, found.offset)
        except WalkerError as error:
            return error
        return None


def _is_left(item: _Item) -> bool:
    return not item.partition.lost and item.offset >= item.partition.offset


def _lose(items: Sequence[_Item], input: str) -> None:
    for item in items:
        if item.partition.input == input:
            item.partition.lose()
