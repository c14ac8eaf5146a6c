"""What waits for a destination: order per person, whatever fails, and held events by person."""

from collections import Counter, defaultdict

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.core.support import entry
from tests.forms import examples
from walker_collector import SpoolError
from walker_collector.delivery.consent_hold import ConsentHold
from walker_collector.delivery.keyed_queue import KeyedQueue
from walker_collector.delivery.window import EVENT_BYTES
from walker_collector.spool import Entry


def queue_of(*entries: Entry, joined: dict[str, str] | None = None) -> KeyedQueue:
    queue = KeyedQueue(lambda key: (joined or {}).get(key, key))
    queue.add(entries)
    return queue


def numbers(entries: list[Entry]) -> list[int]:
    return [item[0] for item in entries]


def test_batch_is_bounded_by_number_of_events() -> None:
    queue = queue_of(*(entry(n) for n in range(5)))
    assert numbers(queue.take(3, None)) == [0, 1, 2]
    assert len(queue) == 2


def test_batch_is_bounded_by_bytes_but_never_empty() -> None:
    queue = queue_of(*(entry(n, f"id:{n}", body=b"x" * 10) for n in range(4)))
    assert numbers(queue.take(10, 20)) == [0, 1]
    assert numbers(queue.take(10, 5)) == [2]


def test_person_under_way_holds_back_own_events_only() -> None:
    queue = queue_of(entry(1, "id:a"), entry(2, "id:a"), entry(3, "id:b"))
    first = queue.take(1, None)
    assert numbers(queue.take(9, None)) == [3]
    queue.finish(first)
    assert numbers(queue.take(9, None)) == [2]


def taken_in_turn(queue: KeyedQueue) -> list[list[int]]:
    """Take and finish batch after batch; return the numbers of each."""
    batches = []
    while batch := queue.take(9, None):
        batches.append(numbers(batch))
        queue.finish(batch)
    return batches


def test_events_of_nobody_hold_back_nothing() -> None:
    queue = queue_of(entry(1, ""), entry(2, ""), entry(3, ""))
    (first,) = queue.take(1, None)
    queue.retries.add(50, first)
    assert numbers(queue.take(9, None)) == [2, 3]


def test_retry_holds_back_that_person_until_it_is_due() -> None:
    queue = queue_of(entry(1, "id:a"), entry(2, "id:a"), entry(3, "id:b"))
    batch = queue.take(1, None)
    queue.retries.add(50, batch[0])
    assert (len(queue.retries), queue.retries.next_due) == (1, 50)
    assert numbers(queue.take(9, None)) == [3]
    queue.wake(49)
    assert not queue.ready
    queue.wake(50)
    assert taken_in_turn(queue) == [[1], [2]]


def test_due_retries_come_after_fresh_events_and_within_the_size() -> None:
    queue = queue_of(*(entry(n, f"id:{n}", body=b"12345678") for n in range(5)))
    for item in queue.take(2, None):
        queue.retries.add(50, item)
    queue.wake(50)
    assert numbers(queue.take(4, None)) == [2, 3, 4, 0]
    assert numbers(queue.take(4, 1)) == [1]


def test_one_due_retry_can_be_taken_by_itself() -> None:
    queue = queue_of(entry(1, "id:a"), entry(2, "id:b"), entry(3, "id:c"))
    for item in queue.take(2, None):
        queue.retries.add(50, item)
    queue.wake(50)
    queue.block(["id:a"])
    assert numbers(queue.take_retry()) == [2]
    assert queue.take_retry() == []
    assert numbers(queue.take_ready(9, None)) == [3]
    queue.unblock(["id:a"])
    assert numbers(queue.take_retry()) == [1]


def test_events_put_back_come_before_what_parked_behind_them() -> None:
    queue = queue_of(*(entry(n, "id:a") for n in range(4)))
    batch = queue.take(2, None)
    assert queue.take(9, None) == []
    queue.return_to_place(batch)
    assert numbers(queue.take(9, None)) == [0, 1, 2, 3]


def test_events_held_back_behind_a_retry_keep_their_order() -> None:
    queue = queue_of(*(entry(n, "id:a") for n in range(5)))
    first, *others = queue.take(4, None)
    queue.retries.add(50, first)
    assert queue.take(9, None) == []
    queue.park_behind_retry(others)
    queue.wake(50)
    assert taken_in_turn(queue) == [[0], [1, 2, 3, 4]]


def test_older_event_is_inserted_before_its_persons_newer_ones() -> None:
    queue = queue_of(entry(4, "id:a"), entry(6, "id:a"))
    queue.insert([entry(2, "id:a"), entry(5, "id:a")])
    assert numbers(queue.take(9, None)) == [2, 4, 5, 6]


def test_older_event_that_comes_during_a_retry_goes_before_it() -> None:
    queue = queue_of(entry(4, "id:a"), entry(5, "id:a"))
    queue.retries.add(50, queue.take(1, None)[0])
    assert queue.take(9, None) == []
    queue.insert([entry(2, "id:a")])
    assert queue.take(9, None) == []
    queue.wake(50)
    assert numbers(queue.take(9, None)) == [2, 4, 5]


def test_older_event_that_comes_before_its_persons_due_retry_is_taken_goes_before_it() -> None:
    queue = queue_of(entry(4, "id:a"), entry(5, "id:a"), entry(6, "id:b"))
    queue.retries.add(50, queue.take(1, None)[0])
    queue.wake(50)
    queue.insert([entry(2, "id:a")])
    assert queue.take_retry() == []
    assert numbers(queue.take(9, None)) == [2, 4, 5, 6]


def test_older_event_that_nobody_has_looked_at_goes_before_a_retry_that_wakes() -> None:
    queue = queue_of(entry(4, "id:a"))
    queue.retries.add(50, queue.take(1, None)[0])
    queue.insert([entry(2, "id:a"), entry(3, "id:b")])
    queue.wake(50)
    assert numbers(queue.take(9, None)) == [2, 3, 4]


def test_places_of_a_batch_are_kept_for_retries_however_much_else_is_ready() -> None:
    queue = queue_of(*(entry(n, f"id:{n}") for n in range(50)))
    for item in queue.take(5, None):
        queue.retries.add(50, item)
    queue.wake(50)
    assert numbers(queue.take(20, None)) == [*range(5, 23), 0, 1]
    assert numbers(queue.take(9, None)) == [*range(23, 31), 2]


def test_restored_retry_waits_until_it_is_due_and_holds_back_its_person() -> None:
    queue = queue_of()
    queue.restore(50, entry(1, "id:a"))
    queue.restore(60, entry(2, "id:a"))
    queue.restore(70, entry(3, ""))
    queue.add([entry(4, "id:a"), entry(5, "id:b")])
    assert numbers(queue.take(9, None)) == [5]
    queue.wake(50)
    assert taken_in_turn(queue) == [[1], [2, 4]]


def test_person_known_by_several_keys_is_one() -> None:
    joined = {"session:s": "id:a"}
    queue = queue_of(entry(1, "session:s"), entry(2, "id:a"), entry(3, "id:b"), joined=joined)
    first = queue.take(1, None)
    assert numbers(queue.take(9, None)) == [3]
    queue.finish(first)
    assert numbers(queue.take(9, None)) == [2]


def test_login_waits_for_what_is_under_way_to_the_anonymous_session() -> None:
    joined: dict[str, str] = {}
    queue = queue_of(*(entry(n, "session:s") for n in (1, 2)), joined=joined)
    (first,) = queue.take(1, None)
    queue.retries.add(50, first)
    assert queue.take(9, None) == []
    joined["session:s"] = "id:a"
    queue.rejoin(["session:s", "id:a"])
    queue.add([entry(3, "id:a")])
    assert queue.take(9, None) == []
    queue.wake(50)
    assert taken_in_turn(queue) == [[1], [2, 3]]


def test_login_while_both_are_under_way_waits_for_both() -> None:
    joined: dict[str, str] = {}
    queue = queue_of(entry(1, "session:s"), entry(2, "id:a"), joined=joined)
    first, second = queue.take(1, None), queue.take(1, None)
    joined["session:s"] = "id:a"
    queue.rejoin(["session:s", "id:a"])
    queue.add([entry(3, "id:a")])
    queue.finish(first)
    assert queue.take(9, None) == []
    queue.finish(second)
    assert numbers(queue.take(9, None)) == [3]


def test_blocked_people_wait_and_nobody_else() -> None:
    joined = {"session:s": "id:a"}
    queue = queue_of(entry(1, "id:a"), entry(2, "session:s"), entry(3, "id:b"), joined=joined)
    first = queue.take(1, None)
    queue.block(["id:a", "session:s"])
    assert numbers(queue.take(9, None)) == [3]
    queue.finish(first)
    queue.rejoin(["session:s"])
    assert queue.take(9, None) == []
    queue.unblock(["id:a", "session:s"])
    assert numbers(queue.take(9, None)) == [2]


def test_event_whose_person_cannot_be_looked_up_is_put_back_all_the_same() -> None:
    readable = [True]

    def canonical(key: str) -> str:
        if not readable[0]:
            raise SpoolError("cannot be read")
        return key

    queue = KeyedQueue(canonical)
    queue.add([entry(1, "id:a"), entry(2, "id:b")])
    first, second = queue.take(2, None)
    queue.retries.add(50, first)
    readable[0] = False
    queue.return_to_place([second])
    readable[0] = True
    assert numbers(queue.take(9, None)) == [2]


def test_removed_events_are_gone_wherever_they_waited() -> None:
    queue = queue_of(*(entry(n, "id:a") for n in range(4)), entry(9, "id:b"))
    queue.retries.add(50, queue.take(1, None)[0])
    queue.take(1, None)  # the other person's; the rest parks
    queue.add([entry(10, "id:a"), entry(11, "id:b")])
    removed = queue.remove(lambda item: item[1] == "id:a")
    assert sorted(numbers(removed)) == [0, 1, 2, 3, 10]
    assert len(queue) == 1
    queue.add([entry(12, "id:a")])
    assert numbers(queue.take(9, None)) == [12]


def test_batch_is_whole_again_when_a_person_cannot_be_looked_up() -> None:
    def canonical(key: str) -> str:
        if key == "session:broken":
            raise OSError("disk")
        return key

    queue = KeyedQueue(canonical)
    queue.add([entry(1, "id:a"), entry(2, "session:broken")])
    with pytest.raises(OSError, match="disk"):
        queue.take(9, None)
    assert numbers(list(queue.ready)) == [1, 2]
    assert numbers(queue.take(1, None)) == [1]


class Deliveries(RuleBasedStateMachine):
    """Random batches, failures and restarts of parts: each person's events arrive in order."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = KeyedQueue(lambda key: key)
        self.accepted: dict[str, list[int]] = defaultdict(list)
        self.arrived: dict[str, list[int]] = defaultdict(list)
        self.batches: list[list[Entry]] = []
        self.held: list[Entry] = []
        self.seq = 0
        self.now = 0

    @rule(people=st.lists(st.sampled_from(["id:a", "id:b", "session:c", ""]), max_size=6))
    def accept(self, people: list[str]) -> None:
        for person in people:
            self.seq += 1
            self.accepted[person].append(self.seq)
            self.queue.add([entry(self.seq, person, at=self.seq)])

    @rule(size=st.integers(1, 5))
    def take(self, size: int) -> None:
        if batch := self.queue.take(size, None):
            self.batches.append(batch)

    @precondition(lambda self: self.batches)
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        batch = self.batches.pop(data.draw(st.integers(0, len(self.batches) - 1)))
        done: list[Entry] = []
        behind: list[Entry] = []
        failed: set[str] = set()
        whole = data.draw(st.sampled_from([False, False, False, True]))
        for item in [] if whole else batch:
            if item[1] in failed:
                behind.append(item)
                continue
            outcome = data.draw(st.sampled_from(["delivered", "delivered", "retry"]))
            if outcome == "delivered":
                self.arrived[item[1]].append(item[0])
                done.append(item)
                continue
            self.queue.retries.add(self.now + data.draw(st.integers(0, 9)), item)
            failed |= {item[1]} - {""}
        self.queue.park_behind_retry(behind)
        self.queue.finish(done)
        self.queue.return_to_place(batch if whole else [])

    @rule(ms=st.integers(0, 10))
    def pass_time(self, ms: int) -> None:
        self.now += ms
        self.queue.wake(self.now)

    @invariant()
    def nothing_is_lost_or_doubled(self) -> None:
        under_way = {item[0] for batch in self.batches for item in batch}
        arrived = {n for numbers in self.arrived.values() for n in numbers}
        assert not under_way & arrived
        waiting = set(range(1, self.seq + 1)) - under_way - arrived
        assert len(self.queue) == len(waiting)
        assert self.queue.oldest == min(waiting, default=None)

    @invariant()
    def each_persons_events_arrive_in_order(self) -> None:
        for person, arrived in self.arrived.items():
            if person:
                assert arrived == self.accepted[person][: len(arrived)]

    def teardown(self) -> None:
        while self.batches:
            self.queue.return_to_place(self.batches.pop())
        self.queue.wake(10**9)
        while batch := self.queue.take(3, None):
            for item in batch:
                self.arrived[item[1]].append(item[0])
            self.queue.finish(batch)
        assert len(self.queue) == 0
        assert {person: sorted(seqs) for person, seqs in self.arrived.items() if seqs} == {
            person: seqs for person, seqs in self.accepted.items() if seqs
        }
        self.each_persons_events_arrive_in_order()


TestDeliveries = Deliveries.TestCase
TestDeliveries.settings = examples(30, stateful_step_count=30)


# --- held events -----------------------------------------------------------------------------


def test_held_events_are_found_by_person_oldest_first() -> None:
    held = ConsentHold(10)
    for item in (entry(3, "id:a"), entry(1, "id:b"), entry(2, "session:s")):
        assert held.add(item, None) == []
    assert numbers(held.of(["id:a", "session:s", "id:unknown"])) == [2, 3]
    assert numbers(held.of(None)) == [1, 2, 3]
    assert held.concerns(["id:a"])
    assert not held.concerns(["id:unknown"])


def test_too_many_held_events_of_a_person_push_out_their_oldest() -> None:
    held = ConsentHold(2)
    held.add(entry(1), None)
    held.add(entry(2), None)
    assert numbers(held.add(entry(3), None)) == [1]
    assert len(held) == 2


def test_flood_of_one_person_pushes_out_nobody_elses_held_events() -> None:
    held = ConsentHold(10)
    for n in range(5):
        held.add(entry(n, f"id:{n}"))
    evicted = [out for n in range(100, 200) for out in held.add(entry(n, "id:flood"))]
    assert numbers(evicted) == list(range(100, 195))
    assert numbers(held.of([f"id:{n}" for n in range(5)])) == [0, 1, 2, 3, 4]


def test_where_nobody_has_more_than_others_the_oldest_held_event_goes() -> None:
    held = ConsentHold(3)
    for n in range(3):
        held.add(entry(n, f"id:{n}"))
    assert numbers(held.add(entry(3, "id:3"))) == [0]
    assert numbers(held.add(entry(4, "id:3"))) == [3]


class Holding(RuleBasedStateMachine):
    """Events come, are evicted and removed: who leaves is always of those who have most."""

    LIMIT = 6

    def __init__(self) -> None:
        super().__init__()
        self.hold = ConsentHold(self.LIMIT)
        self.model: dict[int, str] = {}
        self.seq = 0

    @rule(person=st.sampled_from(["id:a", "id:b", "id:c", ""]))
    def add(self, person: str) -> None:
        self.seq += 1
        before = Counter(self.model.values())
        before[person] += 1
        self.model[self.seq] = person
        for seq, owner, _, _ in self.hold.add(entry(self.seq, person)):
            assert before[owner] == max(before.values())
            assert seq == min(n for n, its in self.model.items() if its == owner)
            del self.model[seq]

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        seq = data.draw(st.sampled_from(sorted(self.model)))
        assert self.hold.remove(entry(seq, self.model.pop(seq)))

    @invariant()
    def it_holds_what_the_model_has(self) -> None:
        assert numbers(self.hold.of(None)) == sorted(self.model)
        assert len(self.hold) == len(self.model) <= self.LIMIT


TestHolding = Holding.TestCase
TestHolding.settings = examples(30, stateful_step_count=40)


def test_flood_of_large_events_of_many_people_evicts_itself_and_no_small_ones() -> None:
    held = ConsentHold(100)
    for n in range(30):
        held.add(entry(n, f"id:{n % 10}"))
    large = b"x" * 20 * EVENT_BYTES
    evicted = [out[0] for n in range(100, 200) for out in held.add(entry(n, f"id:{n}", body=large))]
    assert evicted == list(range(100, 197)), "three of them fit"
    assert len(held) == 33
    held.mend()
    assert [out[0] for out in held.add(entry(200, "id:200", body=large))] == [197]


def test_event_larger_than_the_whole_limit_is_not_held() -> None:
    held = ConsentHold(5)
    held.add(entry(1, "id:a"))
    assert numbers(held.add(entry(2, "id:b", body=b"x" * 20 * EVENT_BYTES))) == [2]
    assert numbers(held.of(None)) == [1]


def test_limit_of_none_holds_nothing() -> None:
    assert numbers(ConsentHold(0).add(entry(1), None)) == [1]


def test_held_event_is_removed_once() -> None:
    held = ConsentHold(5)
    held.add(entry(1), None)
    assert held.remove(entry(1))
    assert not held.remove(entry(1))
    assert not held.concerns(["id:u1"])


def test_held_events_are_found_by_age() -> None:
    held = ConsentHold(5)
    for n, at in ((1, 100), (2, 200), (3, 300)):
        held.add(entry(n, at=at), None)
    assert held.older_than(100) == []
    assert numbers(held.older_than(300)) == [1, 2]


def test_held_events_of_one_who_turns_out_to_be_another_count_as_theirs() -> None:
    held = ConsentHold(4)
    for n, person in enumerate(["session:s", "id:a", "session:s", "id:b"]):
        held.add(entry(n, person))
    assert set(held.join("session:s", "id:a")) == {0, 2}
    assert held.join("session:s", "id:b") == ()
    assert [item[:2] for item in held.of(["id:a"])] == [(0, "id:a"), (1, "id:a"), (2, "id:a")]
    assert numbers(held.of((), also=[3, 9])) == [3]
    assert [item[1] for item in held.add(entry(4, "id:b"))] == ["id:a"]


def test_too_few_ready_events_are_left_in_their_place() -> None:
    queue = queue_of(*(entry(n, f"id:{n % 4}") for n in range(8)))
    first = queue.take(2, None)
    assert numbers(queue.take(5, None, least=5)) == []
    queue.add([entry(8, "id:2")])
    assert numbers(queue.take(5, None, least=5)) == [2, 3, 6, 7, 8]
    queue.finish(first)
    assert numbers(queue.take(9, None)) == [4, 5]


def test_batch_that_is_full_by_its_bytes_is_not_too_small() -> None:
    queue = queue_of(*(entry(n, f"id:{n}", body=b"x" * 10) for n in range(4)))
    queue.people.take("id:x", entry(9, "id:x"))
    assert numbers(queue.take(4, 20, least=4)) == [0, 1]
