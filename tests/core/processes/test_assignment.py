"""Who should have which lease: fair, stable, and the same in every process."""

import time
from collections import Counter

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from tests.forms import examples
from walker_collector.spool import Lease, Member
from walker_collector.spool.processes.assignment import assign

SHARDS = [Lease("crm", shard) for shard in range(8)]
FILES = [Lease("file", shard) for shard in range(8)]
TWO = [*SHARDS, *FILES]


def member(token: str, *delivers: str, settled: bool = True, silent: bool = False) -> Member:
    return Member(token, 1, "host", 0.0, frozenset(delivers), settled, silent)


members = st.lists(
    st.builds(
        member,
        st.sampled_from("abcdefgh"),
        st.just("crm"),
        settled=st.booleans(),
        silent=st.booleans(),
    ),
    unique_by=lambda item: item.token,
    max_size=8,
)
holders = st.dictionaries(st.sampled_from(SHARDS), st.sampled_from("abcdefghxyz"))


@given(members, holders)
def test_shares_of_settled_processes_differ_by_at_most_one(
    living: list[Member], held: dict[Lease, str]
) -> None:
    living = [item for item in living if item.settled and not item.silent]
    shares = Counter({item.token: 0 for item in living})
    shares.update(assign(SHARDS, living, held).values())
    if living:
        assert sum(shares.values()) == len(SHARDS)
        assert max(shares.values()) - min(shares.values()) <= 1


@given(st.integers(1, 5), st.dictionaries(st.sampled_from(TWO), st.sampled_from("abcdefxyz")))
def test_each_destination_is_shared_by_all_processes(count: int, held: dict[Lease, str]) -> None:
    living = [member(token, "crm", "file") for token in "abcdef"[:count]]
    assigned = assign(TWO, living, held)
    for part in (SHARDS, FILES, TWO):
        shares = Counter({item.token: 0 for item in living})
        shares.update(assigned[lease] for lease in part)
        assert max(shares.values()) - min(shares.values()) <= 1
    assert assign(TWO, living, assigned) == assigned


@given(members, holders)
def test_nothing_moves_a_second_time(living: list[Member], held: dict[Lease, str]) -> None:
    once = assign(SHARDS, living, held)
    assert assign(SHARDS, living, once) == once


@given(members, holders)
def test_no_more_leases_move_than_fair_shares_need(
    living: list[Member], held: dict[Lease, str]
) -> None:
    living = [item for item in living if item.settled and not item.silent]
    if not living:
        return
    tokens = {item.token for item in living}
    before = Counter(token for token in held.values() if token in tokens)
    after = assign(SHARDS, living, held)
    moved = sum(held[lease] != after[lease] for lease in held if held[lease] in tokens)
    most = -(-len(SHARDS) // len(tokens))
    assert moved <= sum(max(0, share - len(SHARDS) // len(tokens)) for share in before.values())
    assert max(Counter(after.values()).values()) <= most


def test_a_process_that_has_just_come_takes_nothing_from_others() -> None:
    held = dict.fromkeys(SHARDS, "a")
    living = [member("a", "crm"), member("b", "crm", settled=False)]
    assert assign(SHARDS, living, held) == held


def test_a_process_that_has_just_come_delivers_what_nobody_else_can() -> None:
    living = [member("a", "crm"), member("b", "crm", "file", settled=False)]
    assert assign([Lease("file", 0)], living, {}) == {Lease("file", 0): "b"}


def test_a_stopped_process_keeps_what_it_holds_and_gets_nothing() -> None:
    held = {SHARDS[0]: "a"}
    living = [member("a", "crm", silent=True), member("b", "crm")]
    assigned = assign(SHARDS[:3], living, held)
    assert assigned == {SHARDS[0]: "a", SHARDS[1]: "b", SHARDS[2]: "b"}


def test_leases_go_only_to_processes_that_have_the_destination() -> None:
    leases = [Lease("crm", 0), Lease("file", 0), Lease("nobody's", 0)]
    living = [member("a", "crm"), member("b", "file"), member("c")]
    assert assign(leases, living, {}) == {leases[0]: "a", leases[1]: "b"}


def test_leases_of_the_dead_are_spread_over_the_living() -> None:
    held = dict(zip(SHARDS, "aaaabbbb", strict=True))
    living = [member("a", "crm"), member("c", "crm"), member("d", "crm")]
    assigned = assign(SHARDS, living, held)
    assert sorted(Counter(assigned.values()).values()) == [2, 3, 3]
    assert sum(assigned[lease] == "a" for lease in SHARDS[:4]) >= 2


class Shares(RuleBasedStateMachine):
    """Processes come, settle, stop, go on, leave and die; leases follow as they are assigned."""

    @initialize(shards=st.sampled_from([1, 2, 7, 64, 256]))
    def begin(self, shards: int) -> None:
        self.leases = [Lease("crm", shard) for shard in range(shards)]
        self.living: list[Member] = []
        self.held: dict[Lease, str] = {}
        self.come = 0

    @rule()
    def comes(self) -> None:
        self.come += 1
        self.living.append(member(f"{self.come:03}", "crm", settled=False))

    @precondition(lambda self: self.living)
    @rule(data=st.data())
    def settles(self, data: st.DataObject) -> None:
        self._change(data, settled=True)

    @precondition(lambda self: self.living)
    @rule(data=st.data())
    def stops_or_goes_on(self, data: st.DataObject) -> None:
        self._change(data, silent=data.draw(st.booleans()))

    def _change(self, data: st.DataObject, **changes: bool) -> None:
        at = data.draw(st.integers(0, len(self.living) - 1))
        self.living[at] = evolve(self.living[at], **changes)

    @precondition(lambda self: self.living)
    @rule(data=st.data())
    def ends(self, data: st.DataObject) -> None:
        gone = self.living.pop(data.draw(st.integers(0, len(self.living) - 1)))
        self.held = {lease: token for lease, token in self.held.items() if token != gone.token}

    @invariant()
    def leases_are_shared_fairly_and_move_for_a_cause_only(self) -> None:
        if not hasattr(self, "leases"):
            return
        before, self.held = self.held, assign(self.leases, self.living, self.held)
        assert assign(self.leases, self.living, self.held) == self.held
        shares = Counter(self.held.values())
        able = [item for item in self.living if not item.silent]
        settled = [item.token for item in able if item.settled]
        if able:
            assert len(self.held) == len(self.leases)
        # What those have that give no sign, or may soon end, cannot be shared out, or need not be.
        for token in settled:
            assert all(shares[token] - shares[other] <= 1 for other in settled)
        for lease, token in before.items():
            if self.held[lease] != token:  # it has moved: to somebody who had two fewer
                assert self.held[lease] in settled
                assert Counter(before.values())[token] >= shares[self.held[lease]]


TestShares = Shares.TestCase
TestShares.settings = examples(30, stateful_step_count=20)


def test_many_shards_move_to_a_process_that_comes_as_few_as_make_shares_fair() -> None:
    leases = [Lease("crm", shard) for shard in range(64)]
    held = {lease: "abcd"[lease.shard % 4] for lease in leases}
    living = [member(token, "crm") for token in "abcde"]
    after = assign(leases, living, held)
    assert sorted(Counter(after.values()).values()) == [12, 13, 13, 13, 13]
    moved = [lease for lease in leases if after[lease] != held[lease]]
    assert len(moved) == 12
    assert {after[lease] for lease in moved} == {"e"}


def test_many_leases_are_assigned_in_a_moment() -> None:
    leases = [Lease(f"d{n}", shard) for n in range(4) for shard in range(256)]
    living = [member(f"{n:03}", "d0", "d1", "d2", "d3") for n in range(32)]
    began = time.process_time()
    held = assign(leases, living, {})
    assign(leases, [*living, member("new", "d0", "d1", "d2", "d3")], held)
    assert time.process_time() - began < 2
