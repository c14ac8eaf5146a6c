"""Partitions taken over: their positions made this process's, and the offsets to go on from."""

from collections.abc import Callable, Sequence
from logging import Logger
from typing import Any, Literal

from attrs import frozen

from walker_collector.errors import PluginError, WalkerError
from walker_collector.hookspecs import Positions
from walker_collector.kafka.client_log import client_error
from walker_collector.offsets import Position, PositionLost
from walker_collector.sources.kafka.handing_on import Partition

_WAIT = 5.0
"""Seconds that an answer of the brokers may take."""
_BOUNDS_WAIT = 2.0
"""The same of one partition, whose leader may be away: the messages of the others wait then."""


@frozen(kw_only=True)
class TakingOver:
    """Takes partitions over.

    consumer: a client of the group, which does not poll. make: makes its topic and partition, with
    an offset. start: see the settings.
    """

    consumer: Any
    make: Callable[..., Any]
    positions: Positions | None
    start: Literal["earliest", "latest"]
    logger: Logger

    def take_over(self, partitions: Sequence[Partition]) -> list[Partition]:
        """Set the offset of each partition to that of the next message.

        Returns those of which the brokers do not tell their bounds now, such as one without a
        leader. Raises SpoolError, or what the client raises, if they do not answer at all. It may
        be repeated.
        """
        known = self._committed(partitions)
        left = []
        for partition in partitions:
            try:
                self._take_over(partition, known.get(partition.input, -1))
            except WalkerError:  # of the spool, which the other partitions need as well
                raise
            except Exception as error:  # of the client
                place = f"{partition.topic}, partition {partition.number}"
                self.logger.debug("%s: %s", place, client_error(error).text)
                left.append(partition)
        return left

    def _take_over(self, partition: Partition, committed: int) -> None:
        while not partition.lost and partition.offset < 0:
            before = self.positions.of(partition.input) if self.positions else None
            offset = self._offset_of(partition, before, committed)
            if self.positions is not None:
                try:
                    self.positions.take_over(before, partition.at(offset))
                except PositionLost:  # the process before has just stored something
                    continue
            partition.offset = offset

    def start_again(self, partition: Partition) -> None:
        """Set the offset of a partition of which the brokers no longer have the next message.

        Raises SpoolError, or what the client raises; it may be repeated.
        """
        low, high = self._bounds(partition)
        place = f"{partition.topic}, partition {partition.number}"
        if low <= partition.offset <= high:
            return  # it was set by an earlier call, or the brokers have it again
        if partition.offset < low:
            offset = low
            self.logger.error(
                "%s: %d messages were deleted before they were read (the topic's retention); going "
                "on with offset %d",
                place,
                low - partition.offset,
                low,
            )
        else:
            offset = low if self.start == "earliest" else high
            self.logger.error(
                "%s: the topic ends before offset %d, so it was made anew; going on with offset %d "
                "(settings.start)",
                place,
                partition.offset,
                offset,
            )
        if self.positions is not None:
            self.positions.keep([partition.at(offset)])
        partition.offset = offset

    def _offset_of(self, partition: Partition, before: Position | None, committed: int) -> int:
        if before is not None:
            if committed > before.offset:
                self.logger.warning(
                    "%s, partition %d: the group has read up to offset %d, and this spool has %d; "
                    "going on with %d. The processes of a group need the same spool, else events "
                    "come twice",
                    partition.topic,
                    partition.number,
                    committed,
                    before.offset,
                    before.offset,
                )
            return before.offset
        if committed >= 0:
            return committed
        low, high = self._bounds(partition)
        return low if self.start == "earliest" else high

    def _committed(self, partitions: Sequence[Partition]) -> dict[str, int]:
        """Return the offsets that the brokers know of the group, by input."""
        asked = [self.make(partition.topic, partition.number) for partition in partitions]
        found = self.consumer.committed(asked, timeout=_WAIT)
        for answer in found:
            if answer.error is not None:
                raise PluginError(f"the offsets of the group: {client_error(answer.error).text}")
        return {
            partition.input: answer.offset
            for partition, answer in zip(partitions, found, strict=True)
        }

    def _bounds(self, partition: Partition) -> tuple[int, int]:
        """Return the offsets of the oldest message, and of the next one to come."""
        asked = self.make(partition.topic, partition.number)
        low, high = self.consumer.get_watermark_offsets(asked, timeout=_BOUNDS_WAIT)
        return low, high
