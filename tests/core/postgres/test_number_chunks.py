"""Numbers as chunks of neighbours: they stand for the same numbers, in few chunks."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from walker_collector.spool.postgres.number_chunks import chunks_of

NUMBERS = st.sets(st.integers(-500, 500) | st.integers(-(2**62), 2**62))


@given(NUMBERS)
def test_chunks_have_the_numbers_and_no_others(numbers: set[int]) -> None:
    chunks = chunks_of(numbers)
    found = [
        first + at
        for first, flags in zip(chunks["firsts"], chunks["flags"], strict=True)
        for at, flag in enumerate(flags)
        if flag
    ]
    assert found == sorted(numbers)


@given(NUMBERS)
def test_neighbours_are_in_one_chunk_and_distant_numbers_are_not(numbers: set[int]) -> None:
    far = sum(later - one > 16 for one, later in pairwise(sorted(numbers)))
    assert len(chunks_of(numbers)["firsts"]) == (far + 1 if numbers else 0)


def test_any_number_of_neighbours_is_one_chunk() -> None:
    assert chunks_of(range(7, 5007)) == {"firsts": [7], "flags": [b"\1" * 5000]}
    assert chunks_of([9, 5, 6]) == {"firsts": [5], "flags": [b"\1\1\0\0\1"]}
