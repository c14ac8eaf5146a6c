"""Who should have which lease: fair, stable, and the same in every process."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from walker_collector.spool import Lease, Member
from walker_collector.spool.processes.assignment import assign

SHARDS = [Lease("crm", shard) for shard in range(8)]


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
