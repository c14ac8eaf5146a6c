"""Consent: requirements, and the consents of statements."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.support import Clock, Record, flow, in_threads, plugin, running, surely
from walker_collector.config import SpoolConfig
from walker_collector.people.consent import ConsentStore, Grant
from walker_collector.people.gate import compile_gate, granted
from walker_collector.spool import ConsentRecord, Spool, later_of
from walker_collector.spool.memory import MemorySpool
from walker_collector.spool.sqlite import SqliteSpool


def ledger_of(
    spool: Spool | None = None,
    default: Mapping[str, bool] | None = None,
    people_max: int = 100,
    clock: Clock | None = None,
) -> ConsentStore:
    return ConsentStore(spool or MemorySpool(), default or {}, people_max, clock or Clock())


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
    assert compile_gate(required)(state) is any_
    assert compile_gate(required, "all")(state) is all_


def test_event_carries_only_what_is_granted() -> None:
    assert granted({"a": True, "b": False, "c": 1, "d": None}) == {"a": True, "c": True}


# --- decisions -------------------------------------------------------------------------------


def test_own_consent_is_above_the_persons_and_that_above_the_default_key_by_key() -> None:
    consents = ledger_of(default={"a": True, "b": True, "c": True})
    person, _ = consents.record_consent({"b": False, "c": False}, {"id": "u"})
    assert consents.decide({"c": True}, person) == {"a": True, "b": False, "c": True}
    assert consents.explain({"c": True}, person) == [
        Grant("a", True, "default"),
        Grant("b", False, "person"),
        Grant("c", True, "event"),
    ]


def test_consent_without_a_user_is_logged_as_everybodys(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "walker_collector")
    with running(flow(plugin(Record().push))) as collector:
        collector.consent({"marketing": True}, user={"id": "u1"})
        assert "everybody" not in caplog.text
        collector.consent({"marketing": True})
    assert "the default, for everybody: {'marketing': True}" in caplog.text


def test_default_is_what_holds_for_those_who_said_nothing() -> None:
    consents = ledger_of(default={"a": False})
    consents.set_default({"a": True, "b": False})
    assert consents.default == {"a": True, "b": False}
    assert consents.decide({}, "id:u") == {"a": True, "b": False}
    assert consents.decide({}, "") == {"a": True, "b": False}
    consents.record_consent({"a": False}, {"id": "v"})
    assert consents.decide({}, "id:u")["a"] is True
    assert consents.decide({}, "id:v")["a"] is False


def test_last_statement_of_a_key_holds_and_others_stay() -> None:
    consents = ledger_of()
    consents.record_consent({"a": True, "b": True}, {"id": "u"})
    person, state = consents.record_consent({"a": False}, {"id": "u"})
    assert state == {"a": False, "b": True}
    assert consents.state(person) == state


def test_later_statement_wins_when_two_turn_out_to_be_one() -> None:
    clock = Clock()
    consents = ledger_of(clock=clock)
    consents.record_consent({"a": True, "b": False}, {"id": "u"})
    clock.advance(1)
    consents.record_consent({"a": False, "c": True}, {"session": "s"})
    clock.advance(1)
    consents.record_consent({"b": True}, {"id": "u"})
    person, _ = consents.identify({"id": "u", "session": "s"})
    assert consents.state(person) == {"a": False, "b": True, "c": True}


@pytest.mark.parametrize("shift", [0, -86_400_000], ids=["one ms", "a day back"])
@pytest.mark.parametrize("first", [True, False])
def test_statements_have_an_order_of_their_own_whatever_the_clock_says(
    first: bool, shift: int, path: SpoolConfig
) -> None:
    clock = Clock()
    spool = SqliteSpool(path)
    consents = ledger_of(spool, clock=clock)
    consents.record_consent({"a": first}, {"id": "u"})
    clock.advance(shift)
    spool.close()
    spool = SqliteSpool(path)
    consents = ledger_of(spool, clock=clock)  # after a restart as well
    consents.record_consent({"a": not first}, {"session": "s"})
    person, _ = consents.identify({"id": "u", "session": "s"})
    assert consents.state(person) == {"a": not first}
    spool.close()


TOLD = st.dictionaries(st.sampled_from("ab"), st.tuples(st.booleans(), st.integers(0, 2)))


@given(TOLD, TOLD, TOLD)
def test_merging_statements_depends_on_no_order_and_of_two_at_once_the_denial_holds(
    one: ConsentRecord, two: ConsentRecord, three: ConsentRecord
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

    consents = ledger_of()
    consents.record_consent({"a": False}, {"id": "u"})
    version = consents.version
    with pytest.raises(OSError, match="disk"):
        consents.record_consent({"a": True}, {"id": "u"}, fail)
    with pytest.raises(OSError, match="disk"):
        consents.set_default({"b": True}, fail)
    assert (consents.state("id:u"), consents.default, consents.version) == (
        {"a": False},
        {},
        version,
    )


def test_statement_of_nobody_is_refused() -> None:
    with pytest.raises(ValueError, match="needs an id"):
        ledger_of().record_consent({"a": True}, {"email": "x@example.org"})


def test_version_tells_that_a_decision_is_overtaken() -> None:
    consents = ledger_of()
    seen = [consents.version]
    consents.set_default({"a": True})
    seen.append(consents.version)
    consents.record_consent({"a": True}, {"session": "s"})
    seen.append(consents.version)
    consents.identify({"session": "s", "id": "u"})
    seen.append(consents.version)
    assert len(set(seen)) == 4
    consents.identify({"session": "s", "id": "u"})
    assert consents.version == seen[-1]


def test_meeting_somebody_who_said_nothing_overtakes_no_decision() -> None:
    consents = ledger_of()
    consents.record_consent({"a": True}, {"session": "other"})
    before = consents.version
    assert consents.identify({"session": "s", "id": "u"}) == ("id:u", "joined")
    assert consents.version == before


# --- bounds ----------------------------------------------------------------------------------


def test_least_recently_seen_person_is_forgotten_first() -> None:
    consents = ledger_of(people_max=2)
    consents.record_consent({"a": True}, {"id": "1"})
    consents.record_consent({"a": True}, {"id": "2"})
    consents.state("id:1")
    consents.record_consent({"a": True}, {"id": "3"})
    assert [bool(consents.state(f"id:{n}")) for n in (1, 3)] == [True, True]
    assert not consents.state("id:2")


def test_acquaintances_are_bounded_too() -> None:
    consents = ledger_of(people_max=3)
    for n in range(10):
        consents.identify({"id": f"u{n}", "session": f"s{n}"})
    assert consents.canonical("session:s9") == "id:u9"
    assert consents.canonical("session:s0") == "session:s0"
    assert surely(consents.keys_of({"id": "u0"})) == {"id:u0"}


def test_spool_remembers_whom_memory_forgot(path: SpoolConfig) -> None:
    spool = SqliteSpool(path)
    consents = ledger_of(spool, people_max=1)
    for n in range(5):
        consents.record_consent({"a": bool(n % 2)}, {"id": f"u{n}", "session": f"s{n}"})
    for n in range(5):
        assert consents.canonical(f"session:s{n}") == f"id:u{n}"
        assert consents.decide({}, f"session:s{n}") == {"a": bool(n % 2)}
        assert surely(consents.keys_of({"id": f"u{n}"})) == {f"id:u{n}", f"session:s{n}"}
    spool.close()


def test_consent_and_acquaintance_are_read_back_after_a_restart(path: SpoolConfig) -> None:
    spool = SqliteSpool(path)
    consents = ledger_of(spool)
    consents.record_consent({"a": True}, {"session": "s"})
    consents.record_consent({"b": False}, {"session": "s", "id": "u"})
    spool.close()
    spool = SqliteSpool(path)
    again = ledger_of(spool)
    assert again.decide({}, "session:s") == {"a": True, "b": False}
    assert again.canonical("session:s") == "id:u"
    spool.close()


def test_default_holds_until_somebody_says_something(path: SpoolConfig) -> None:
    spool = SqliteSpool(path)
    consents = ledger_of(spool, {"a": True})
    assert consents.decide({}, "id:u") == {"a": True}
    consents.record_consent({"a": False}, {"id": "u"})
    assert consents.decide({}, "id:u") == {"a": False}
    spool.close()


def test_erased_person_is_a_stranger() -> None:
    consents = ledger_of()
    consents.record_consent({"a": True}, {"id": "u", "device": "d", "session": "s"})
    consents.record_consent({"a": True}, {"id": "v", "device": "e"})
    assert consents.erase(consents.keys_of({"device": "d"})) is not None
    assert consents.state("id:u") == {}
    assert [consents.canonical(key) for key in ("device:d", "session:s")] == [
        "device:d",
        "session:s",
    ]
    assert surely(consents.keys_of({"id": "u"})) == {"id:u"}
    assert consents.decide({}, "device:e") == {"a": True}


# --- threads ---------------------------------------------------------------------------------


@pytest.mark.parametrize("durable", [False, True])
def test_statements_from_many_threads_are_all_kept(durable: bool, path: SpoolConfig) -> None:
    spool = SqliteSpool(path) if durable else MemorySpool()
    consents = ledger_of(spool)

    def talk(key: str) -> None:
        for n in range(30):
            consents.record_consent({f"{key}{n}": True}, {"id": "u", "session": f"s{key}{n % 3}"})
            consents.decide({}, f"session:s{key}{n % 3}")

    in_threads(*(lambda key=key: talk(key) for key in "abcd"))
    assert consents.state("id:u") == {f"{key}{n}": True for key in "abcd" for n in range(30)}
    spool.close()
