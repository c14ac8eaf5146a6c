"""Consent: requirements, and the ledger of statements."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.support import Clock, in_threads
from walker_collector.config import SpoolConfig
from walker_collector.consent import (
    Grant,
    Ledger,
    compile_gate,
    granted,
    grants,
)
from walker_collector.spool import Spool, Told, later_of
from walker_collector.spool.memory import MemorySpool
from walker_collector.spool.sqlite import SqliteSpool


def ledger_of(
    spool: Spool | None = None,
    default: Mapping[str, bool] | None = None,
    people_max: int = 100,
    clock: Clock | None = None,
) -> Ledger:
    return Ledger(spool or MemorySpool(), default or {}, people_max, clock or Clock())


@pytest.fixture
def path(tmp_path: Path) -> SpoolConfig:
    return SpoolConfig(path=str(tmp_path / "spool.db"))


# --- requirements ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("required", "state", "any_", "all_"),
    [
        (None, {}, True, True),
        ({}, {}, True, True),
        ({"a": True}, {}, False, False),
        ({"a": True}, {"a": True}, True, True),
        ({"a": True}, {"a": False}, False, False),
        ({"a": True, "b": True}, {"b": True}, True, False),
        ({"a": True, "b": True}, {"a": True, "b": True}, True, True),
        ({"a": False}, {"a": True}, False, False),
        ({"a": False, "b": True}, {"b": True}, True, False),
    ],
)
def test_requirement_is_met_by_any_key_or_by_all(
    required: Any, state: Any, any_: bool, all_: bool
) -> None:
    assert (grants(required, state), compile_gate(required)(state)) == (any_, any_)
    assert grants(required, state, "all") is all_
    assert compile_gate(required, "all")(state) is all_


def test_event_carries_only_what_is_granted() -> None:
    assert granted({"a": True, "b": False, "c": 1, "d": None}) == {"a": True, "c": True}


# --- decisions -------------------------------------------------------------------------------


def test_own_consent_is_above_the_persons_and_that_above_the_default_key_by_key() -> None:
    ledger = ledger_of(default={"a": True, "b": True, "c": True})
    person, _ = ledger.tell({"b": False, "c": False}, {"id": "u"})
    assert ledger.decide({"c": True}, person) == {"a": True, "b": False, "c": True}
    assert ledger.explain({"c": True}, person) == [
        Grant("a", True, "default"),
        Grant("b", False, "person"),
        Grant("c", True, "event"),
    ]


def test_default_is_what_holds_for_those_who_said_nothing() -> None:
    ledger = ledger_of(default={"a": False})
    ledger.set_default({"a": True, "b": False})
    assert ledger.default == {"a": True, "b": False}
    assert ledger.decide({}, "id:u") == {"a": True, "b": False}
    assert ledger.decide({}, "") == {"a": True, "b": False}
    ledger.tell({"a": False}, {"id": "v"})
    assert ledger.decide({}, "id:u")["a"] is True
    assert ledger.decide({}, "id:v")["a"] is False


def test_last_statement_of_a_key_holds_and_others_stay() -> None:
    ledger = ledger_of()
    ledger.tell({"a": True, "b": True}, {"id": "u"})
    person, state = ledger.tell({"a": False}, {"id": "u"})
    assert state == {"a": False, "b": True}
    assert ledger.state(person) == state


def test_later_statement_wins_when_two_turn_out_to_be_one() -> None:
    clock = Clock()
    ledger = ledger_of(clock=clock)
    ledger.tell({"a": True, "b": False}, {"id": "u"})
    clock.advance(1)
    ledger.tell({"a": False, "c": True}, {"session": "s"})
    clock.advance(1)
    ledger.tell({"b": True}, {"id": "u"})
    person, _ = ledger.meet({"id": "u", "session": "s"})
    assert ledger.state(person) == {"a": False, "b": True, "c": True}


@pytest.mark.parametrize("shift", [0, -86_400_000], ids=["one ms", "a day back"])
@pytest.mark.parametrize("first", [True, False])
def test_statements_have_an_order_of_their_own_whatever_the_clock_says(
    first: bool, shift: int, path: SpoolConfig
) -> None:
    clock = Clock()
    spool = SqliteSpool(path)
    ledger = ledger_of(spool, clock=clock)
    ledger.tell({"a": first}, {"id": "u"})
    clock.advance(shift)
    spool.close()
    spool = SqliteSpool(path)
    ledger = ledger_of(spool, clock=clock)  # after a restart as well
    ledger.tell({"a": not first}, {"session": "s"})
    person, _ = ledger.meet({"id": "u", "session": "s"})
    assert ledger.state(person) == {"a": not first}
    spool.close()


TOLD = st.dictionaries(st.sampled_from("ab"), st.tuples(st.booleans(), st.integers(0, 2)))


@given(TOLD, TOLD, TOLD)
def test_merging_statements_depends_on_no_order_and_of_two_at_once_the_denial_holds(
    one: Told, two: Told, three: Told
) -> None:
    merged = later_of(one, two)
    assert merged == later_of(two, one)
    assert later_of(merged, three) == later_of(one, later_of(two, three))
    for key, (value, at) in merged.items():
        said = [told[key] for told in (one, two) if key in told]
        assert at == max(when for _, when in said)
        assert value == all(value for value, when in said if when == at)


def test_statement_that_cannot_be_kept_was_not_made() -> None:
    def fail(*args: Any) -> None:
        raise OSError("disk")

    ledger = ledger_of()
    ledger.tell({"a": False}, {"id": "u"})
    version = ledger.version
    with pytest.raises(OSError, match="disk"):
        ledger.tell({"a": True}, {"id": "u"}, fail)
    with pytest.raises(OSError, match="disk"):
        ledger.set_default({"b": True}, fail)
    assert (ledger.state("id:u"), ledger.default, ledger.version) == ({"a": False}, {}, version)


def test_statement_of_nobody_is_refused() -> None:
    with pytest.raises(ValueError, match="needs an id"):
        ledger_of().tell({"a": True}, {"email": "x@example.org"})


def test_version_tells_that_a_decision_is_overtaken() -> None:
    ledger = ledger_of()
    seen = [ledger.version]
    ledger.set_default({"a": True})
    seen.append(ledger.version)
    ledger.tell({"a": True}, {"session": "s"})
    seen.append(ledger.version)
    ledger.meet({"session": "s", "id": "u"})
    seen.append(ledger.version)
    assert len(set(seen)) == 4
    ledger.meet({"session": "s", "id": "u"})
    assert ledger.version == seen[-1]


def test_meeting_somebody_who_said_nothing_overtakes_no_decision() -> None:
    ledger = ledger_of()
    ledger.tell({"a": True}, {"session": "other"})
    before = ledger.version
    assert ledger.meet({"session": "s", "id": "u"}) == ("id:u", "joined")
    assert ledger.version == before


# --- bounds ----------------------------------------------------------------------------------


def test_least_recently_seen_person_is_forgotten_first() -> None:
    ledger = ledger_of(people_max=2)
    ledger.tell({"a": True}, {"id": "1"})
    ledger.tell({"a": True}, {"id": "2"})
    ledger.state("id:1")
    ledger.tell({"a": True}, {"id": "3"})
    assert [bool(ledger.state(f"id:{n}")) for n in (1, 3)] == [True, True]
    assert not ledger.state("id:2")


def test_acquaintances_are_bounded_too() -> None:
    ledger = ledger_of(people_max=3)
    for n in range(10):
        ledger.meet({"id": f"u{n}", "session": f"s{n}"})
    assert ledger.canonical("session:s9") == "id:u9"
    assert ledger.canonical("session:s0") == "session:s0"
    assert ledger.known_as({"id": "u0"}) == {"id:u0"}


def test_spool_remembers_whom_memory_forgot(path: SpoolConfig) -> None:
    spool = SqliteSpool(path)
    ledger = ledger_of(spool, people_max=1)
    for n in range(5):
        ledger.tell({"a": bool(n % 2)}, {"id": f"u{n}", "session": f"s{n}"})
    for n in range(5):
        assert ledger.canonical(f"session:s{n}") == f"id:u{n}"
        assert ledger.decide({}, f"session:s{n}") == {"a": bool(n % 2)}
        assert ledger.known_as({"id": f"u{n}"}) == {f"id:u{n}", f"session:s{n}"}
    spool.close()


def test_consent_and_acquaintance_are_read_back_after_a_restart(path: SpoolConfig) -> None:
    spool = SqliteSpool(path)
    ledger = ledger_of(spool)
    ledger.tell({"a": True}, {"session": "s"})
    ledger.tell({"b": False}, {"session": "s", "id": "u"})
    spool.close()
    spool = SqliteSpool(path)
    again = ledger_of(spool)
    assert not again.silent
    assert again.decide({}, "session:s") == {"a": True, "b": False}
    assert again.canonical("session:s") == "id:u"
    spool.close()


def test_ledger_is_silent_until_somebody_says_something(path: SpoolConfig) -> None:
    spool = SqliteSpool(path)
    ledger = ledger_of(spool, {"a": True})
    assert ledger.silent
    assert ledger.decide({}, "id:u") == {"a": True}
    ledger.tell({"a": False}, {"id": "u"})
    assert not ledger.silent
    assert ledger.decide({}, "id:u") == {"a": False}
    spool.close()


def test_erased_person_is_a_stranger() -> None:
    ledger = ledger_of()
    ledger.tell({"a": True}, {"id": "u", "device": "d", "session": "s"})
    ledger.tell({"a": True}, {"id": "v", "device": "e"})
    assert ledger.erase(ledger.known_as({"device": "d"})) is not None
    assert ledger.state("id:u") == {}
    assert [ledger.canonical(key) for key in ("device:d", "session:s")] == ["device:d", "session:s"]
    assert ledger.known_as({"id": "u"}) == {"id:u"}
    assert ledger.decide({}, "device:e") == {"a": True}


# --- threads ---------------------------------------------------------------------------------


@pytest.mark.parametrize("durable", [False, True])
def test_statements_from_many_threads_are_all_kept(durable: bool, path: SpoolConfig) -> None:
    spool = SqliteSpool(path) if durable else MemorySpool()
    ledger = ledger_of(spool)

    def talk(key: str) -> None:
        for n in range(30):
            ledger.tell({f"{key}{n}": True}, {"id": "u", "session": f"s{key}{n % 3}"})
            ledger.decide({}, f"session:s{key}{n % 3}")

    in_threads(*(lambda key=key: talk(key) for key in "abcd"))
    assert ledger.state("id:u") == {f"{key}{n}": True for key in "abcd" for n in range(30)}
    spool.close()
