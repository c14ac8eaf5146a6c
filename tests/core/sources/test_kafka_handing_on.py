"""Messages of partitions are accepted once each and in order, whatever happens on the way."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from attrs import define, evolve, field, frozen

from tests.core.support import Record, flow, plugin, running
from tests.support import PATIENCE, wait_until
from walker_collector import (
    Collector,
    EventError,
    Position,
    Positions,
    Received,
    SpoolError,
    SpoolFull,
)
from walker_collector.config import SpoolConfig
from walker_collector.serving import _positions_of
from walker_collector.sources.kafka.bad_messages import StoppedError
from walker_collector.sources.kafka.handing_on import HandingOn, Partition
from walker_collector.sources.kafka.message_events import Headers, Message, MessageReader


@frozen
class Sent:
    """A message as the brokers have it."""

    at: int
    body: bytes | None
    number: int = 0
    head: Headers | None = None
    time: int = 1_700_000_000_000

    def topic(self) -> str:
        return "events"

    def partition(self) -> int:
        return self.number

    def offset(self) -> int:
        return self.at

    def key(self) -> bytes | None:
        return b"id:u1"

    def value(self) -> bytes | None:
        return self.body

    def headers(self) -> Headers | None:
        return self.head

    def timestamp(self) -> tuple[int, int]:
        return 1, self.time


def sent(at: int, number: int = 0) -> Sent:
    """A message with the event of that number."""
    body = {"name": "page view", "data": {"n": at, "partition": number}, "user": {"id": "u1"}}
    return Sent(at, json.dumps(body).encode(), number)


def reader(**options: Any) -> MessageReader:
    usual: dict[str, Any] = {
        "format": "walker",
        "names": {},
        "sender": Received({}, trusted=False, limited=True),
        "max_bytes": 1_000_000,
        "whole": False,
    }
    return MessageReader(**{**usual, **options})


@define
class Reading:
    """A process that reads partitions of a topic."""

    collector: Collector
    record: Record
    positions: Positions | None
    bad: list[tuple[int, str]] = field(factory=list)
    forwards: bool = True
    stopped: bool = False
    pauses: int = 0
    accept: Callable[[Sequence[Received]], Sequence[Any]] = field(init=False)
    on_pause: Callable[[], object] = lambda: None

    def __attrs_post_init__(self) -> None:
        self.accept = partial(self.collector.push_from, None)

    def assigned(self, number: int = 0, run: str = "run-1") -> Partition:
        partition = Partition("events", number, f"kafka:c/g/events/{number}", run, 0)
        if self.positions is not None:
            before = self.positions.of(partition.input)
            partition.offset = before.offset if before else 0
            self.positions.take_over(before, partition.at(partition.offset))
        return partition

    def hand_on(self, *messages: tuple[Partition, Sent]) -> None:
        def pause(seconds: float) -> None:
            self.pauses += 1
            self.on_pause()

        HandingOn(
            accept=lambda events: self.accept(events),
            positions=self.positions,
            read=reader().read,
            on_bad=self.on_bad,
            pause=pause,
            stopped=lambda: self.stopped,
        ).hand_on(messages)

    def on_bad(self, found: Sequence[tuple[Message, EventError]]) -> None:
        if not self.forwards:
            raise StoppedError
        self.bad += [(message.offset(), str(error)) for message, error in found]

    def offset(self, number: int = 0) -> int:
        assert self.positions is not None
        found = self.positions.of(f"kafka:c/g/events/{number}")
        assert found is not None
        return found.offset

    def delivered(self) -> list[tuple[int, int]]:
        assert self.collector.flush(PATIENCE)
        return [(item["data"]["partition"], item["data"]["n"]) for item in self.record.events]


@pytest.fixture
def reading(tmp_path: Path) -> Iterator[Reading]:
    record = Record()
    with running(flow(plugin(record.push), tmp_path / "spool.db")) as collector:
        yield Reading(collector, record, _positions_of(collector))


def test_group_of_several_partitions_moves_each_position(reading: Reading) -> None:
    a, b = reading.assigned(0), reading.assigned(1)
    reading.hand_on((a, sent(0)), (b, sent(0, 1)), (b, sent(1, 1)), (a, sent(1)), (a, sent(2)))
    assert [a.offset, b.offset] == [3, 2]
    assert [reading.offset(0), reading.offset(1)] == [3, 2]
    assert sorted(reading.delivered()) == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]


def test_message_that_is_fetched_once_more_is_accepted_once(reading: Reading) -> None:
    a = reading.assigned()
    reading.hand_on(*((a, sent(n)) for n in (0, 1, 2, 3, 1, 2, 3, 4)))
    assert (a.offset, reading.offset()) == (5, 5)
    assert reading.delivered() == [(0, n) for n in range(5)]


def test_partition_without_room_does_not_hold_up_what_is_stored_of_another(
    reading: Reading,
) -> None:
    a, b = reading.assigned(0), reading.assigned(1)
    accept, calls = reading.accept, []

    def without_room_at_first(events: Sequence[Received]) -> Sequence[Any]:
        calls.append([(event.position.input[-1], event.position.offset) for event in events])  # type: ignore[union-attr]  # each has one
        if len(calls) > 1:
            return accept(events)
        full = SpoolFull("full")
        return [full, *accept(events[1:2]), full]

    reading.accept = without_room_at_first
    reading.hand_on((b, sent(0, 1)), (a, sent(0)), (a, sent(1)))
    assert calls == [[("1", 1), ("0", 1), ("0", 2)], [("1", 1), ("0", 2)]]
    assert sorted(reading.delivered()) == [(0, 0), (0, 1), (1, 0)]


def test_messages_without_an_event_are_passed_over(reading: Reading) -> None:
    partition = reading.assigned()
    messages = [
        sent(0),
        Sent(1, b"{"),
        sent(2),
        Sent(3, b'{"name": ""}'),
        Sent(4, b'"text"'),
        Sent(5, None),
        Sent(6, b"x" * 5_000_000),
        Sent(7, b'{"name": "page view", "id": 123456789012345678901234567890}'),
    ]
    for message in messages[3:]:  # alone, none stops the partition either
        reading.hand_on((reading.assigned(message.at), evolve(message, number=message.at)))
        assert reading.offset(message.at) == message.at + 1
    before = len(reading.bad)
    assert before == 4
    reading.hand_on(*((partition, message) for message in messages))
    assert sorted(at for at, _ in reading.bad[before:]) == [1, 3, 4, 6, 7]
    assert reading.offset() == 8
    assert reading.delivered() == [(0, 0), (0, 2)]


def test_bad_message_that_cannot_be_forwarded_stays_the_next_one(reading: Reading) -> None:
    reading.forwards = False
    for bad in (Sent(1, b"{"), Sent(1, b'{"name": ""}')):
        partition = reading.assigned()
        with pytest.raises(StoppedError):
            reading.hand_on((partition, sent(0)), (partition, bad), (partition, sent(2)))
        assert reading.offset() == 0
    assert reading.delivered() == []


def test_events_wait_for_room_in_their_order(tmp_path: Path) -> None:
    record, gate = Record(), threading.Event()

    def push(event: dict[str, Any], context: Any) -> None:
        assert gate.wait(PATIENCE)
        record.push(event, context)

    settings = flow(plugin(push), tmp_path / "spool.db", queue_wait=1)
    spool = SpoolConfig(path=str(tmp_path / "spool.db"), max_events=3)
    settings = evolve(settings, collector=evolve(settings.collector, spool=spool))
    with running(settings) as collector:
        reading = Reading(collector, record, _positions_of(collector))
        partition = reading.assigned()
        messages = [(partition, sent(at)) for at in range(8)]
        messages[5] = (partition, Sent(5, b'{"name": ""}'))
        reading.on_pause = lambda: gate.set() if reading.pauses > 3 else None
        reading.hand_on(*messages)
        assert reading.pauses > 3
        assert reading.delivered() == [(0, at) for at in (0, 1, 2, 3, 4, 6, 7)]
        assert [at for at, _ in reading.bad] == [5]
        assert reading.offset() == 8


def test_partition_of_another_process_is_dropped_and_the_others_go_on(reading: Reading) -> None:
    a, b = reading.assigned(0), reading.assigned(1)
    reading.hand_on((a, sent(0)), (b, sent(0, 1)))
    other = reading.assigned(1, "run-2")
    assert other.offset == 1
    reading.hand_on((b, sent(1, 1)), (a, sent(1)), (b, sent(2, 1)), (a, sent(2)))
    assert (a.lost, b.lost) == (False, True)
    assert sorted(reading.delivered()) == [(0, 0), (0, 1), (0, 2), (1, 0)]
    reading.hand_on((b, sent(3, 1)), (other, sent(1, 1)))
    assert sorted(reading.delivered())[-2:] == [(1, 0), (1, 1)]
    assert [reading.offset(0), reading.offset(1)] == [3, 2]


def test_commit_whose_answer_is_lost_is_not_repeated(reading: Reading) -> None:
    partition = reading.assigned()
    accept, lost = reading.accept, [True, True]

    def without_answer(events: Sequence[Received]) -> Sequence[Any]:
        results = accept(events)
        return [SpoolError("the connection was lost")] * len(events) if lost.pop() else results

    reading.accept = without_answer
    lost[:] = [False, True]
    reading.hand_on((partition, sent(0)), (partition, sent(1)))
    assert reading.delivered() == [(0, 0), (0, 1)]
    assert reading.offset() == 2
    lost[:] = [False, False]
    reading.hand_on((partition, sent(1)), (partition, sent(2)))
    assert reading.delivered() == [(0, 0), (0, 1), (0, 2)]


def test_nothing_is_tried_again_before_the_outcome_is_known(reading: Reading) -> None:
    partition = reading.assigned()
    accept, positions, calls = reading.accept, reading.positions, list[str]()

    class Away(Positions):
        def __init__(self) -> None:
            self.fails = 3

        def of(self, input: str) -> Position | None:
            calls.append("look")
            self.fails -= 1
            if self.fails >= 0:
                raise SpoolError("away")
            assert positions is not None
            return positions.of(input)

    def answer(events: Sequence[Received]) -> Sequence[Any]:
        calls.append("store")
        results = accept(events)
        return results if calls.count("store") > 1 else [SpoolError("lost")] * len(events)

    reading.accept, reading.positions = answer, Away()
    reading.hand_on((partition, sent(0)))
    assert calls == ["store", "look", "look", "look", "look"]
    assert reading.delivered() == [(0, 0)]


def test_stop_gives_up_what_cannot_be_stored(reading: Reading) -> None:
    partition = reading.assigned()
    reading.accept = lambda events: [SpoolError("away")] * len(events)
    reading.on_pause = lambda: setattr(reading, "stopped", True)
    reading.hand_on((partition, sent(0)))
    assert reading.offset() == 0


def test_without_a_spool_the_offset_is_that_of_the_first_undelivered_event() -> None:
    record, gates = Record(), [threading.Event() for _ in range(3)]

    def push(event: dict[str, Any], context: Any) -> None:
        assert gates[event["data"]["n"]].wait(PATIENCE)
        record.push(event, context)

    parallel = plugin(push, concurrency=3)
    with running(flow(parallel)) as collector:
        reading = Reading(collector, record, None)
        partition = reading.assigned()

        def of(at: int) -> Sent:
            event = {"name": "page view", "data": {"n": at, "partition": 0}}
            return Sent(at, json.dumps(event).encode())

        messages = [(partition, of(at)) for at in range(3)]
        reading.hand_on(*messages, (partition, Sent(3, b"{")), (partition, Sent(4, None)))
        assert (partition.offset, partition.done) == (5, 0)
        gates[1].set()
        record.wait_for(1)
        assert partition.done == 0
        gates[0].set()
        wait_until(lambda: partition.done == 2, "the run of delivered events is seen")
        gates[2].set()
        wait_until(lambda: partition.done == 5, "all are seen as delivered")


def test_lost_partition_waits_for_no_delivery() -> None:
    partition = Partition("events", 0, "x", "run", 1)
    future: Future[Any] = Future()
    partition.undecided.append((0, future))
    partition.lose()
    assert future.cancelled()


def test_segment_call_has_the_time_of_its_receipt_by_the_brokers() -> None:
    call = {
        "type": "track",
        "event": "Order Completed",
        "userId": "u1",
        "messageId": "m1",
        "timestamp": "2023-11-14T22:00:00Z",
        "sentAt": "2023-11-14T22:00:05Z",
    }
    read = reader(format="segment", names={"Order Completed": "order complete"}).read
    found = read(Sent(0, json.dumps(call).encode()))
    assert found is not None
    assert isinstance(found.event, dict)
    assert (found.event["name"], found.event["id"]) == ("order complete", "m1")
    assert found.event["timestamp"] == 1_700_000_000_000 - 5_000
    stored = read(Sent(0, json.dumps({**call, "receivedAt": "2023-11-14T22:00:06Z"}).encode()))
    assert stored is not None
    assert isinstance(stored.event, dict)
    assert stored.event["timestamp"] == 1_699_999_200_000
    for bad in (b"[]", b'{"type": "track"}', b'{"type": "batch", "userId": "u"}'):
        with pytest.raises(EventError):
            read(Sent(0, bad))


@pytest.mark.parametrize(
    ("header", "trusted", "limited"),
    [
        (None, False, True),
        (b"trusted", True, False),
        (b"claimed", False, False),
        (b"limited", False, True),
        (b"surely", False, True),
    ],
)
def test_trust_is_that_of_the_header(header: bytes | None, trusted: bool, limited: bool) -> None:
    head = None if header is None else [("walker-trust", header)]
    found = reader().read(Sent(0, b'{"name": "page view"}', head=head))
    assert found is not None
    assert (found.trusted, found.limited) == (trusted, limited)


def test_event_in_a_form_of_a_later_version_is_refused() -> None:
    head = [("walker-schema", b"2"), ("walker-trust", b"trusted")]
    with pytest.raises(EventError, match="upgrade"):
        reader().read(Sent(0, b'{"name": "page view"}', head=head))
