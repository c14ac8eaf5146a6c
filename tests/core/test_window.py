"""The window of a destination over a spool of several shards: every entry once, in its turn."""

from collections.abc import Collection, Iterable
from itertools import islice
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.forms import examples
from walker_collector.delivery.window import EVENT_BYTES, WINDOW, SpoolWindow
from walker_collector.spool import LAST_SEQ, Entry, StoredEntry

MANY = 100
"""Entries that are kept in memory, even after some of other processes."""


class Disk:
    """A spool that counts what is read of it; even numbers belong to this process's shards."""

    durable = True

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.held: set[int] = set()
        self.heard = 0
        self.read: list[int] = []
        self.asked = 0

    def commit(self, count: int, *, held: bool = False, size: int = 2) -> list[Entry]:
        """Add entries."""
        first = len(self.entries) + 1
        new = [(seq, f"id:{seq}", 1, b"x" * size) for seq in range(first, first + count)]
        self.entries += new
        if held:
            self.held.update(entry[0] for entry in new)
        return new

    def heard_newest(self) -> int:
        return self.heard

    def load(
        self,
        destination: str,
        after: int,
        limit: int,
        limit_bytes: int,
        *,
        held: bool,
        shards: Collection[int],
        up_to: int = LAST_SEQ,
    ) -> list[StoredEntry]:
        self.asked += 1
        of_mine = [*islice(filter(is_mine, islice(self.entries, after, up_to)), limit)]
        self.read += [entry[0] for entry in of_mine]
        return [StoredEntry(entry, held=entry[0] in self.held) for entry in of_mine]


def is_mine(entry: Entry) -> bool:
    return entry[0] % 2 == 0


class Process:
    """A process with half of the shards, beside another one."""

    def __init__(self) -> None:
        self.disk = Disk()
        spool: Any = self.disk
        self.window = SpoolWindow(spool, "there", is_mine)
        self.window.shards = frozenset((0,))
        self.window.restart(0)
        self.got: list[StoredEntry] = []
        self.expected = 1

    def other(self, count: int) -> None:
        """Have the other process commit entries; nobody has heard of it."""
        self.disk.commit(count)

    def own(self, count: int, *, held: bool = False, size: int = 2) -> None:
        """Commit entries, and hand them over as a spool does."""
        entries = self.disk.commit(count, held=held, size=size)
        if entries[0][0] != self.expected:
            self.window.note_foreign()
        self.expected = entries[-1][0] + 1
        self.disk.heard = entries[-1][0]
        self.window.keep(entries, held=held)

    def hear(self) -> None:
        """Hear of the commits of all."""
        self.disk.heard = len(self.disk.entries)
        if self.window.may_have_more():
            self.window.note_foreign()

    def read(self, times: int = 1) -> None:
        """Read on, as often as there is anything to be read."""
        for _ in range(times):
            if self.window.more_on_disk:
                self.got += self.window.read_on()

    def read_all(self) -> list[int]:
        """Read everything; return all the numbers so far."""
        for _ in range(10_000):
            if not self.window.more_on_disk:
                return [item.entry[0] for item in self.got]
            self.read()
        raise AssertionError("it never ends")


def test_own_entries_are_not_read_from_disk() -> None:
    process = Process()
    process.read_all()
    process.own(4)
    process.own(6)
    process.hear()
    assert process.read_all() == [2, 4, 6, 8, 10]
    assert process.disk.read == []


def test_of_those_of_others_only_the_ones_in_between_are_read() -> None:
    process = Process()
    process.read_all()
    process.own(MANY)
    process.other(4)
    process.own(MANY)
    process.own(2)
    asked = process.disk.asked
    assert process.read_all() == list(range(2, 2 * MANY + 7, 2))
    assert process.disk.read == [102, 104]
    assert process.disk.asked == asked + 1


def test_few_own_entries_are_read_along_with_those_of_others() -> None:
    process = Process()
    process.read_all()
    asked = process.disk.asked
    for _ in range(50):
        process.other(1)
        process.own(1)
    assert process.read_all() == list(range(2, 101, 2))
    assert process.disk.asked == asked + 1


def test_memory_is_bounded() -> None:
    process = Process()
    process.read_all()
    process.own(WINDOW - MANY)
    process.own(MANY + 1)
    assert process.window.kept_count == WINDOW - MANY
    process.own(MANY + 1)
    assert process.window.kept_count == WINDOW - MANY
    assert process.read_all() == list(range(2, WINDOW + MANY + 3, 2))


def test_bytes_are_bounded() -> None:
    process = Process()
    process.read_all()
    process.own(1, size=WINDOW * EVENT_BYTES)
    process.own(1, size=1)
    assert process.window.kept_count == 1
    assert process.read_all() == [2]


def test_an_own_entry_that_was_read_already_is_not_taken_twice() -> None:
    process = Process()
    entries = process.disk.commit(2 * MANY)
    process.read_all()
    process.window.keep(entries, held=False)
    assert process.read_all() == list(range(2, 2 * MANY + 1, 2))


def test_what_the_spool_has_no_more_is_forgotten() -> None:
    process = Process()
    process.read_all()
    process.own(6)
    process.window.forget({2, 6})
    assert process.read_all() == [4]


def test_held_entries_stay_held() -> None:
    process = Process()
    process.read_all()
    process.own(2)
    process.own(2, held=True)
    process.read_all()
    assert [(item.entry[0], item.held) for item in process.got] == [(2, False), (4, True)]


def test_a_question_that_fails_loses_nothing() -> None:
    process = Process()
    process.read_all()
    process.own(4)
    failing = process.window._is_owned
    process.window._is_owned = lambda entry: bool(1 // 0)
    try:
        process.window.read_on()
    except ZeroDivisionError:
        process.window._is_owned = failing
    assert process.read_all() == [2, 4]


_COUNTS = st.sampled_from([1, 2, 7, MANY - 1, MANY, MANY + 1, 1_050])
_STEPS = st.one_of(
    st.tuples(st.just("other"), _COUNTS),
    st.tuples(st.sampled_from(["own", "own_held"]), _COUNTS),
    st.tuples(st.just("read"), st.integers(1, 12)),
    st.tuples(st.sampled_from(["hear", "restart"]), st.just(0)),
)


@examples(60)
@given(st.lists(_STEPS, max_size=12))
def test_every_entry_comes_once_and_in_order(steps: Iterable[tuple[str, int]]) -> None:
    process = Process()
    for step, count in steps:
        if step == "other":
            process.other(count)
        elif step == "own":
            process.own(count)
        elif step == "own_held":
            process.own(count, held=True)
        elif step == "read":
            process.read(count)
        elif step == "restart":
            process.window.restart(0)
            process.got = []
        else:
            process.hear()
    process.hear()
    assert process.read_all() == list(range(2, len(process.disk.entries) + 1, 2))
    held = {item.entry[0] for item in process.got if item.held}
    assert held == {seq for seq in process.disk.held if seq % 2 == 0}
