"""What a spool says it holds, after anything that may happen to its events."""

import sqlite3
import tempfile
from collections.abc import Callable, Mapping
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.forms import examples
from walker_collector.config import SpoolConfig
from walker_collector.spool import (
    DeliveryState,
    Entry,
    EntryRun,
    NewEvent,
    SpoolUpdate,
    State,
    UpdateKind,
)
from walker_collector.spool.sqlite import SqliteSpool
from walker_collector.spool.sqlite.catalog import read_catalog
from walker_collector.spool.sqlite.event_tables import ack, runs_of

WAITING, HELD, DEAD = State.WAITING, State.HELD, State.DEAD
KIND = {WAITING: UpdateKind.RETRIED, HELD: UpdateKind.HELD, DEAD: UpdateKind.DEAD}
IDS = ("a", "b", "c")


@given(st.lists(st.integers(-60, 60)))
def test_runs_are_the_same_numbers_and_do_not_touch(numbers: list[int]) -> None:
    runs = runs_of(numbers)
    assert [n for first, last in runs for n in range(first, last + 1)] == sorted({*numbers})
    assert all(last + 1 < first for (_, last), (first, _) in pairwise(runs))


class Model:
    """The spool as dictionaries: for each event its state at the destinations not done with it."""

    def __init__(self) -> None:
        self.entries: dict[int, Entry] = {}
        self.states: dict[int, dict[str, State]] = {}
        self.subscribers: dict[int, frozenset[str]] = {}

    def accept(self, entry: Entry, states: Mapping[str, State]) -> None:
        self.entries[entry[0]] = entry
        self.states[entry[0]] = dict(states)
        self.subscribers[entry[0]] = frozenset(states)

    def at(self, id_: str, *wanted: State) -> list[Entry]:
        found = [seq for seq, states in self.states.items() if states.get(id_) in wanted]
        return [self.entries[seq] for seq in sorted(found)]

    def put(self, id_: str, seq: int, state: State | None) -> None:
        """Note the state of an event at a destination that is not done with it."""
        states = self.states.get(seq, {})
        if id_ not in states:
            return
        if state is None:
            del states[id_]
        else:
            states[id_] = state
        if not states:
            del self.states[seq]

    def counts(self) -> dict[str, dict[State, int]]:
        result: dict[str, dict[State, int]] = {}
        for states in self.states.values():
            for id_, state in states.items():
                found = result.setdefault(id_, {})
                found[state] = found.get(state, 0) + 1
        return result


# Few events and destinations, so that the same ones are met again.
FIRST = st.dictionaries(st.sampled_from(IDS), st.sampled_from([WAITING, HELD]), min_size=1)
ID = st.sampled_from(IDS)
CHOSEN = st.sets(st.integers(0, 5), min_size=1)
STEP = st.one_of(
    st.tuples(st.just("append"), st.lists(FIRST, min_size=1, max_size=3), st.sampled_from([1, 60])),
    st.tuples(st.just("ack"), ID, CHOSEN),
    st.tuples(st.just("ack"), ID, CHOSEN),
    st.tuples(st.just("settle"), ID, CHOSEN, st.sampled_from([WAITING, HELD, DEAD])),
    st.tuples(st.sampled_from(["release", "requeue", "delete_dead"]), ID),
    st.tuples(st.just("erase"), st.integers(0, 2)),
    st.tuples(st.just("reopen")),
)
BEGIN = st.tuples(st.just("append"), st.just([dict.fromkeys(IDS, WAITING)]), st.just(3))


class Both:
    """A spool and its model; every step is done to both."""

    def __init__(self, path: Path) -> None:
        self._config = SpoolConfig(path=str(path))
        self.spool = SqliteSpool(self._config)
        self.model = Model()

    def append(self, states: list[dict[str, State]], times: int) -> None:
        records = [
            NewEvent(f"id:u{n % 3}", n, b"x" * n, first)
            for first in states
            for n in range(1, times + 1)
        ]

        def offer(accepted: Any) -> None:
            for entries, first in accepted:
                for entry in entries:
                    self.model.accept(entry, first)

        self.spool.append(records, offer)

    def _chosen(self, id_: str, chosen: set[int]) -> list[Entry]:
        entries = list(self.model.entries.values())
        found = [entries[-1 - at] for at in chosen if at < len(entries)]
        return [entry for entry in found if id_ in self.model.subscribers[entry[0]]]

    def settle(self, id_: str, chosen: set[int], state: State) -> None:
        """Settle some events: waiting ones, or such that are done or gone, too late."""
        entries = self._chosen(id_, chosen)
        attempt = DeliveryState(1, 2, "no", {"mail": "done"}, {"marketing": True})
        self.spool.settle(id_, [SpoolUpdate(entry, KIND[state], attempt, 3) for entry in entries])
        for entry in entries:
            self.model.put(id_, entry[0], state)

    def ack(self, id_: str, chosen: set[int]) -> None:
        entries = [e for e in self._chosen(id_, chosen) if e[0] in self.model.states]
        self.spool.ack(id_, entries)
        for entry in entries:
            self.model.put(id_, entry[0], None)

    def release(self, id_: str) -> None:
        entries = self.model.at(id_, HELD)
        self.spool.settle(id_, [SpoolUpdate(entry, UpdateKind.RELEASED) for entry in entries])
        for entry in entries:
            self.model.put(id_, entry[0], WAITING)

    def requeue(self, id_: str) -> None:
        found = self.spool.requeue(self.spool.dead(id_))
        assert sorted(stored.entry for stored in found) == self.model.at(id_, DEAD)
        for stored in found:
            self.model.put(id_, stored.entry[0], WAITING)

    def delete_dead(self, id_: str) -> None:
        dead = self.model.at(id_, DEAD)
        assert self.spool.delete_dead(self.spool.dead(id_)) == len(dead)
        for entry in dead:
            self.model.put(id_, entry[0], None)

    def erase(self, person: int) -> None:
        before = self.model.counts()
        gone = {seq for seq in self.model.states if self.model.entries[seq][1] == f"id:u{person}"}
        erased = self.spool.erase([f"id:u{person}"])
        assert erased.seqs == gone
        for seq in gone:
            del self.model.states[seq]
        after = self.model.counts()
        for id_, states in before.items():
            for state, count in states.items():
                left = after.get(id_, {}).get(state, 0)
                assert erased.counts.get((id_, state), 0) == count - left

    def reopen(self) -> None:
        self.spool.close()
        self.spool = SqliteSpool(self._config)

    def check(self) -> None:
        spool, model = self.spool, self.model
        assert spool.counts() == model.counts()
        assert spool.size() == len(model.states)
        assert spool.page.bytes == sum(len(model.entries[seq][3]) for seq in model.states)
        for id_ in IDS:
            assert [s.entry for s in spool.load(id_, 0, 10_000)] == model.at(id_, WAITING)
            assert [s.entry for s in spool.held(id_)] == model.at(id_, HELD)
            assert sorted(letter.seq for letter in spool.dead(id_)) == [
                entry[0] for entry in model.at(id_, DEAD)
            ]
            waiting = model.at(id_, WAITING)
            oldest = spool.oldest().get(id_)
            assert (oldest and oldest[0]) == min((entry[2] for entry in waiting), default=None)


@given(BEGIN, st.lists(STEP, min_size=8, max_size=25))
@examples(20)
def test_spool_holds_what_its_events_have_come_to(
    first: tuple[Any, ...], steps: list[tuple[Any, ...]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        both = Both(Path(folder) / "spool.db")
        try:
            for name, *arguments in (first, *steps):
                step: Callable[..., None] = getattr(both, name)
                step(*arguments)
                both.check()
        finally:
            both.spool.close()


def test_destinations_that_are_done_in_one_commit_need_an_event_no_more(tmp_path: Path) -> None:
    with closing(SqliteSpool(SpoolConfig(path=str(tmp_path / "spool.db")))) as spool:
        runs: list[EntryRun] = []
        spool.append([NewEvent("p", 1, b"{}", dict.fromkeys(IDS, WAITING))] * 3, runs.extend)
        ((entries, _),) = runs
        known = read_catalog(spool.core.commits.connection)
        for id_ in IDS:
            spool.core.catalog.ensure(frozenset((id_,)))

        def all_at_once(db: sqlite3.Connection) -> list[int]:
            stale = read_catalog(db)
            return [ack(db, stale, id_, entries).events for id_ in IDS]

        assert known.subscribers.keys() == {frozenset(IDS)}
        assert spool.core.commits.run(all_at_once) == [0, 0, 3]
        assert spool.load("c", 0, 9) == []
