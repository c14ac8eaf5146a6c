"""A member of a consumer group: assignments and messages in, offsets and figures out."""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final
from uuid import uuid4

from attrs import define, field

from walker_collector.errors import PluginError, WalkerError
from walker_collector.hookspecs import SourceContext
from walker_collector.kafka.client_log import ClientLog, client_error
from walker_collector.sources.kafka.hand_on_thread import HandOnThread
from walker_collector.sources.kafka.handing_on import GROUP, Partition
from walker_collector.sources.kafka.kafka_settings import Settings
from walker_collector.sources.kafka.message_events import Message
from walker_collector.sources.kafka.taking_over import TakingOver

_POLL: Final = 0.1
"""Seconds of one wait for messages: as long a stop may take to be seen."""
_COMMIT: Final = 1.0
"""Seconds between two commits: the offsets at the brokers are for their tools."""
_SETTLE: Final = 2.0
"""Seconds that a revoked partition waits for deliveries under way, without a durable spool."""
_PAUSE: Final = 0.1
_PAUSE_MAX: Final = 5.0
"""Seconds between two attempts to take partitions over."""
_CLOSE: Final = 2.0
"""Seconds that the brokers have to answer at the end."""
_OUTSIDE: Final = 60.0
"""Seconds after which a process that the group has not taken in says so: a group may form for
ever, if a member that is gone still counts, or one does not answer."""
_NO_OFFSET: Final = "_AUTO_OFFSET_RESET"

Key = tuple[str, int]
Begin = Callable[[list[Partition]], list[Partition]]
"""Sets the offsets of partitions; returns those for which it fails now."""


@define(eq=False, kw_only=True)
class GroupMember:
    """Polls without a long wait, also while messages find no room: else it would count as dead.

    consumer, make: the client, and its topic with partition and offset. cluster: the cluster's id.
    work: the thread that hands messages on.
    """

    context: SourceContext
    settings: Settings
    consumer: Any
    make: Callable[..., Any]
    cluster: str
    log: ClientLog
    work: HandOnThread
    taking_over: TakingOver
    _assigned: dict[Key, Partition] = field(factory=dict, init=False)
    _taken: deque[Partition] = field(factory=deque, init=False)
    """Partitions that the other thread has set an offset for, to be read from there on."""
    _later: list[tuple[float, Callable[[], object]]] = field(factory=list, init=False)
    """Calls that the other thread has to repeat, each from a time (monotonic, s) on."""
    _is_paused: bool = field(default=False, init=False)
    _committed_at: float = field(default=0.0, init=False)
    _complaints: set[str] = field(factory=set, init=False)
    _outside_since: float | None = field(factory=time.monotonic, init=False)
    """When (monotonic, s) the group has let this process go; None: it has taken it in, or this was
    told."""

    def run(self) -> None:
        """Read until the stop; then finish the messages in hand, and leave the group."""
        try:
            self._subscribe()
            while not self.context.stop.is_set() and self.work.failure is None:
                self._step()
        finally:
            self._leave()
        if self.work.failure is not None:
            raise self.work.failure

    def _subscribe(self) -> None:
        self.consumer.subscribe(
            list(self.settings.topics),
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_lost,
        )

    def _step(self) -> None:
        if any(partition.lost for partition in self._assigned.values()):
            self._subscribe_again()
        for item in [item for item in self._later if item[0] <= time.monotonic()]:
            self._later.remove(item)
            self.work.call(item[1])
        while self._taken:
            self._taken.popleft()
            if not self._taken:
                self._read_on()
        self._take(self._fetched())
        self._balance()
        if time.monotonic() - self._committed_at >= _COMMIT:
            self._committed_at = time.monotonic()
            self._commit()
            self._show()
            self._tell_if_outside()

    def _tell_if_outside(self) -> None:
        since = self._outside_since
        if since is not None and time.monotonic() - since >= _OUTSIDE:
            self._outside_since = None
            self.context.logger.warning(
                "the group %s has not taken this process in for %.0f s, so it reads nothing: see "
                "whether the brokers can be reached, and at them who is a member",
                self.settings.group,
                _OUTSIDE,
            )

    def _subscribe_again(self) -> None:
        """Have the brokers assign the partitions anew: one of them would be read by nobody.

        A process that the brokers took for dead has taken it over, and may not read it.
        """
        self.context.logger.warning("a partition was taken over by another process; joining again")
        self.consumer.unsubscribe()
        self._let_go()
        self._subscribe()

    def _fetched(self) -> list[Any]:
        """Return messages that have come; wait a little for the first."""
        first = self.consumer.poll(_POLL)
        return [] if first is None else [first, *self.consumer.consume(GROUP - 1, 0.0)]

    def _take(self, messages: Sequence[Any]) -> None:
        placed: list[tuple[Partition, Message]] = []
        for message in messages:
            partition = self._assigned.get((message.topic(), message.partition()))
            if (error := message.error()) is not None:
                self._complain(error, partition)
            elif partition is not None:
                placed.append((partition, message))
        if placed:
            self.log.succeeded()
            self.work.add(placed)

    def _balance(self) -> None:
        """Fetch nothing while too much waits, and go on polling."""
        if self.work.is_full and not self._is_paused:
            # What is fetched already is dropped by a pause, so a short wait comes before it.
            self.work.wait_for_room(_POLL)
            if self.work.is_full:
                self.consumer.pause(self.consumer.assignment())
                self._is_paused = True
        elif self.work.has_room:
            self._resume()

    def _resume(self) -> None:
        """Fetch again. The client keeps a pause of a partition even when it is assigned anew."""
        if self._is_paused:
            self.consumer.resume(self.consumer.assignment())
            self._is_paused = False

    def _complain(self, error: Any, partition: Partition | None) -> None:
        """Treat an error that comes in place of a message."""
        if error.fatal():
            raise PluginError(f"the client of Kafka cannot go on: {client_error(error).text}")
        name, text = client_error(error)
        if name == _NO_OFFSET and partition is not None:
            self.work.call(partial(self._begin, [partition], self._start_again))
            return
        self.log.on_error(error)
        if text not in self._complaints:
            self._complaints.add(text)
            self.context.logger.warning("%s", text)

    # --- assignments, in calls of `poll` ---------------------------------------------------

    def _on_assign(self, consumer: Any, given: Sequence[Any]) -> None:
        self._lose()
        self._outside_since = None
        for item in given:
            place = f"{self.settings.group}/{item.topic}/{item.partition}"
            name = f"kafka:{self.cluster}/{place}"
            partition = Partition(item.topic, item.partition, name, uuid4().hex)
            self._assigned[item.topic, item.partition] = partition
        # They are read once their positions are taken over, which may take longer than a poll may.
        consumer.assign([])
        found = list(self._assigned.values())
        if found:
            self.work.call(partial(self._begin, found, self.taking_over.take_over))
        self.context.logger.info("partitions assigned: %d", len(found))

    def _on_revoke(self, consumer: Any, given: Sequence[Any]) -> None:
        if self.context.positions is None:  # else whoever comes next goes on exactly there
            self._settle(_SETTLE)
        self._commit()
        self._let_go()

    def _on_lost(self, consumer: Any, given: Sequence[Any]) -> None:
        self._let_go()

    def _let_go(self) -> None:
        self._outside_since = time.monotonic()
        self._resume()
        self._lose()

    def _settle(self, seconds: float) -> None:
        """Wait for the deliveries of accepted events, for so many seconds at most."""
        deadline = time.monotonic() + seconds
        self.work.wait_until_idle(seconds)
        partitions = self._assigned.values()
        while any(p.done < p.offset for p in partitions) and time.monotonic() < deadline:
            time.sleep(_POLL / 10)

    def _lose(self) -> None:
        for partition in self._assigned.values():
            partition.lose()
        self._hide()
        self._assigned.clear()
        self._taken.clear()

    def _begin(self, partitions: list[Partition], begin: Begin, pause: float = _PAUSE) -> None:
        """Set the offsets of partitions; of those that fail, again after a pause (s).

        On the other thread, which hands on messages of the others in between.
        """
        left = partitions = [partition for partition in partitions if not partition.lost]
        try:
            left = begin(partitions) if partitions else []
        except WalkerError as error:  # the spool tells of its own troubles
            self.context.logger.debug("taking partitions over: %s", error)
        except Exception as error:  # of the client
            self.context.logger.debug("taking partitions over: %s", client_error(error).text)
        self._taken.extend(partition for partition in partitions if partition not in left)
        if left:
            again = partial(self._begin, left, begin, min(2 * pause, _PAUSE_MAX))
            self._later.append((time.monotonic() + pause, again))

    def _start_again(self, partitions: list[Partition]) -> list[Partition]:
        for partition in partitions:
            self.taking_over.start_again(partition)
        return []

    def _read_on(self) -> None:
        """Read the partitions that are taken over, each from its offset on."""
        ready = [p for p in self._assigned.values() if p.offset >= 0 and not p.lost]
        self._resume()
        self.consumer.assign([self.make(p.topic, p.number, p.offset) for p in ready])
        self._show()

    # --- offsets and figures ---------------------------------------------------------------

    def _commit(self) -> None:
        """Tell the brokers how far the partitions are read, again after a failure."""
        moved = [(p, p.done) for p in self._assigned.values() if not p.lost]
        moved = [(partition, done) for partition, done in moved if done > partition.announced]
        if not moved:
            return
        offsets = [self.make(p.topic, p.number, done) for p, done in moved]
        try:
            self.consumer.commit(offsets=offsets, asynchronous=True)
        except Exception as error:  # of the client: it has left the group
            self.context.logger.debug("commit: %s", client_error(error).text)
            return
        for partition, done in moved:
            partition.announced = done

    def on_committed(self, error: Any, offsets: Sequence[Any]) -> None:
        """Take the brokers' answer to a commit: offsets that they refuse are told again."""
        for item in offsets:
            partition = self._assigned.get((item.topic, item.partition))
            if partition is not None and (error is not None or item.error is not None):
                partition.announced = -1
        if error is None:
            self.context.figures.add(("commits", self.context.id))
        else:
            self.context.logger.debug("commit: %s", client_error(error).text)

    def _show(self) -> None:
        """Show how many partitions this process has, and how far each is behind."""
        figures, id_ = self.context.figures, self.context.id
        figures.set(("assigned", id_), len(self._assigned))
        for partition in self._assigned.values():
            place = self.make(partition.topic, partition.number)
            _, high = self.consumer.get_watermark_offsets(place, cached=True)
            lag = max(0, high - max(0, partition.offset))
            figures.set(("lag", id_, partition.topic, str(partition.number)), lag)

    def _hide(self) -> None:
        figures, id_ = self.context.figures, self.context.id
        figures.set(("assigned", id_), 0)
        for partition in self._assigned.values():
            figures.drop(("lag", id_, partition.topic, str(partition.number)))

    def _leave(self) -> None:
        """Finish the group in hand, tell the brokers, and leave, so that others take over."""
        self.work.end(max(1.0, self.context.grace - 1))
        if self.context.positions is None:
            self._settle(min(_SETTLE, self.context.grace / 2))
        self._commit()
        self._lose()
        # The client waits for the answer to a commit, however long the brokers are away.
        closing = threading.Thread(target=self.consumer.close, name="kafka-close", daemon=True)
        closing.start()
        closing.join(_CLOSE)
        if closing.is_alive():
            self.context.logger.warning(
                "the brokers do not answer; others take over after settings.sessionTimeout"
            )
