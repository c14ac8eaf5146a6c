"""The slots of calls: as few as there are calls at once."""

import pytest

from walker_collector.spool.postgres.call_slots import CallSlots


def test_slot_is_used_again_once_its_call_is_over() -> None:
    slots = CallSlots()
    assert [slots.take(number) for number in (1, 2)] == [0, 1]
    slots.end(1)
    assert slots.take(3) == 0  # not cleared: that call is over where this one is written
    assert sorted(slots.in_use()) == [0, 1]


def test_slot_that_is_just_cleared_is_given_to_no_call() -> None:
    slots = CallSlots()
    slots.take(1)
    slots.end(1)
    with slots.clearing() as ended:
        assert ended == [0]
        assert slots.take(2) == 1
    assert slots.take(3) == 0


def test_slot_that_could_not_be_cleared_is_cleared_later() -> None:
    slots = CallSlots()
    slots.take(1)
    slots.end(1)
    with pytest.raises(OSError, match="unplugged"), slots.clearing():
        raise OSError("unplugged")
    with slots.clearing() as ended:
        assert ended == [0]


def test_call_without_a_slot_may_end() -> None:
    slots = CallSlots()
    slots.end(7)
    with slots.clearing() as ended:
        assert not ended
