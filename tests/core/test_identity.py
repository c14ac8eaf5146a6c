"""Which identifiers are one person: whom a key belongs to, and what is never taken from anybody."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from itertools import permutations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.core.people_model import USERS, Model
from tests.core.support import Clock
from walker_collector import EventError
from walker_collector.config import SpoolConfig
from walker_collector.consent import Ledger
from walker_collector.identity import KINDS, identifiers
from walker_collector.spool import PeopleUpdate, Spool, Told, people
from walker_collector.spool.memory import MemorySpool
from walker_collector.spool.sqlite import SqliteSpool


class Name(StrEnum):
    ANN = "ann"


class Level(Enum):
    GOLD = "gold"
    ONE = 1


class Number(IntEnum):
    SEVEN = 7


def ledger_of(
    spool: Spool | None = None, people_max: int = 100, clock: Clock | None = None
) -> Ledger:
    return Ledger(spool or MemorySpool(), {}, people_max, clock or Clock())


@contextmanager
def opened(path: Path) -> Iterator[SqliteSpool]:
    spool = SqliteSpool(SpoolConfig(path=str(path)))
    try:
        yield spool
    finally:
        spool.close()


@pytest.fixture(params=["memory", "durable", "durable, remembering nobody"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    if request.param == "memory":
        yield ledger_of()
        return
    with opened(tmp_path / "spool.db") as spool:
        yield ledger_of(spool, people_max=100 if request.param == "durable" else 1)


# --- identifiers -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("user", "keys"),
    [
        ({}, []),
        (
            {"session": "s", "id": "u", "device": "d", "email": "e"},
            ["id:u", "device:d", "session:s"],
        ),
        ({"id": 42}, ["id:42"]),
        ({"id": 42.0}, ["id:42"]),
        ({"id": 0, "session": Name.ANN}, ["id:0", "session:ann"]),
        ({"id": UUID(int=1)}, ["id:00000000-0000-0000-0000-000000000001"]),
        ({"id": "", "device": None, "session": True}, []),
        ({"id": float("nan"), "device": Decimal("Infinity")}, []),
        ({"id": Decimal("42")}, ["id:42"]),
        ({"id": Decimal("4.50")}, ["id:4.5"]),
        (
            {"id": Level.GOLD, "device": Level.ONE, "session": Number.SEVEN},
            ["id:gold", "device:1", "session:7"],
        ),
        ({"id": date(2024, 2, 29)}, ["id:2024-02-29"]),
        ({"id": datetime(2024, 2, 29, tzinfo=UTC)}, ["id:2024-02-29T00:00:00+00:00"]),
    ],
)
def test_user_is_known_by_identifiers_as_they_are_sent_strongest_first(
    user: Any, keys: list[str]
) -> None:
    assert identifiers(user) == keys


@pytest.mark.parametrize("value", [["u"], {"d": 1}, [], {}, ("a", "b"), {"x"}])
@pytest.mark.parametrize("kind", KINDS)
def test_list_or_object_as_an_identifier_is_refused(value: Any, kind: str) -> None:
    with pytest.raises(EventError, match=rf"user\.{kind}: must be text or a number, not a"):
        identifiers({kind: value})


# --- joining ---------------------------------------------------------------------------------


def test_keys_that_are_named_together_are_one_person(ledger: Ledger) -> None:
    ledger.tell({"a": True}, {"session": "s"})
    assert ledger.meet({"session": "s", "device": "d"}) == ("device:d", "said")
    assert ledger.meet({"device": "d", "id": "u"}) == ("id:u", "said")
    for key in ("session:s", "device:d", "id:u"):
        assert ledger.canonical(key) == "id:u"
        assert ledger.decide({}, key) == {"a": True}
        kind, _, value = key.partition(":")
        assert ledger.known_as({kind: value}) == {"id:u", "device:d", "session:s"}


def test_known_acquaintance_is_no_news(ledger: Ledger) -> None:
    assert ledger.meet({"id": "u", "session": "s"}) == ("id:u", "joined")
    assert ledger.meet({"id": "u", "session": "s"}) == ("id:u", None)
    assert ledger.meet({"session": "s"}) == ("id:u", None)
    assert ledger.meet({}) == ("", None)


def test_session_of_a_person_is_not_taken_by_a_device(ledger: Ledger) -> None:
    ledger.tell({"a": False}, {"id": "ines", "session": "s"})
    assert ledger.meet({"device": "d", "session": "s"}) == ("id:ines", "joined")
    for user in ({"device": "d"}, {"session": "s"}, {"device": "d", "session": "s"}):
        assert ledger.meet(user) == ("id:ines", None)
        assert ledger.decide({}, ledger.meet(user)[0]) == {"a": False}
    assert ledger.known_as({"id": "ines"}) == {"id:ines", "device:d", "session:s"}


def test_device_of_a_person_is_not_taken_by_a_new_session(ledger: Ledger) -> None:
    ledger.meet({"id": "ines", "device": "d"})
    assert ledger.meet({"device": "d", "session": "new"}) == ("id:ines", "joined")
    assert ledger.canonical("session:new") == "id:ines"


def test_devices_that_share_a_session_are_one_whatever_the_order() -> None:
    users = (
        {"device": "d1", "session": "s1"},
        {"device": "d1", "session": "s2"},
        {"device": "d2", "session": "s2"},
        {"device": "d2", "session": "s1"},
    )
    for order in permutations(users):
        ledger = ledger_of()
        for user in order:
            ledger.meet(user)
        person, _ = ledger.tell({"a": True}, {"device": "d2"})
        keys = {"device:d1", "device:d2", "session:s1", "session:s2"}
        assert {ledger.canonical(key) for key in keys} == {person}
        assert ledger.known_as({"session": "s1"}) == keys


def test_what_two_strangers_said_holds_for_the_one_they_are(ledger: Ledger) -> None:
    ledger.tell({"a": True, "b": True}, {"session": "s"})
    ledger.tell({"a": False}, {"device": "d"})
    ledger.tell({"c": True}, {"id": "u"})
    ledger.meet({"device": "d", "session": "s"})
    assert ledger.decide({}, "session:s") == {"a": False, "b": True}
    ledger.meet({"id": "u", "session": "s"})
    for key in ("id:u", "device:d", "session:s"):
        assert ledger.decide({}, key) == {"a": False, "b": True, "c": True}


# --- somebody else in the same browser -------------------------------------------------------


def test_who_signs_in_later_gets_only_what_comes_later(ledger: Ledger) -> None:
    ledger.meet({"session": "s"})
    ledger.meet({"id": "ana", "session": "s"})
    assert ledger.meet({"session": "s"}) == ("id:ana", None)
    assert ledger.meet({"id": "bob", "session": "s"}) == ("id:bob", None)
    assert ledger.canonical("session:s") == "id:ana"  # what was filed under it
    assert ledger.meet({"session": "s"}) == ("id:bob", None)  # what comes
    assert ledger.known_as({"id": "ana"}) == {"id:ana", "session:s"}
    assert ledger.known_as({"id": "bob"}) == {"id:bob"}
    assert ledger.known_as({"session": "s"}) == {"id:bob"}
    assert ledger.meet({"id": "ana", "session": "s"}) == ("id:ana", None)
    assert ledger.meet({"session": "s"}) == ("id:ana", None)


def test_statement_by_a_session_is_of_the_one_who_signed_in_last(ledger: Ledger) -> None:
    ledger.tell({"a": True}, {"id": "ana", "session": "s"})
    ledger.meet({"id": "bob", "session": "s"})
    assert ledger.tell({"a": False}, {"session": "s"})[0] == "id:bob"
    assert (ledger.state("id:ana"), ledger.state("id:bob")) == ({"a": True}, {"a": False})


def test_new_session_on_a_device_is_of_the_one_who_signed_in_there_last(ledger: Ledger) -> None:
    ledger.meet({"id": "ana", "device": "d", "session": "s1"})
    ledger.meet({"id": "bob", "device": "d", "session": "s2"})
    ledger.meet({"device": "d", "session": "s3"})
    sessions = [ledger.canonical(f"session:s{n}") for n in (1, 2, 3)]
    assert sessions == ["id:ana", "id:bob", "id:bob"]


def test_where_device_and_session_lead_to_two_people_the_session_tells(ledger: Ledger) -> None:
    ledger.meet({"id": "ana", "device": "d", "session": "s1"})
    ledger.meet({"id": "bob", "device": "d", "session": "s2"})
    assert ledger.meet({"device": "d", "session": "s1"}) == ("id:ana", None)
    assert ledger.meet({"device": "d", "session": "s2"}) == ("id:bob", None)
    assert ledger.meet({"device": "d"}) == ("id:bob", None)


def test_erasure_of_one_leaves_the_others_of_the_same_browser(ledger: Ledger) -> None:
    for erased, left in (("ana", "bob"), ("bob", "ana")):
        ledger.tell({"a": True}, {"id": "ana", "session": "s"})
        ledger.tell({"a": False}, {"id": "bob", "session": "s"})
        before = ledger.state(f"id:{left}")
        assert ledger.erase(ledger.known_as({"id": erased})) is not None
        assert ledger.state(f"id:{erased}") == {}
        assert ledger.state(f"id:{left}") == before
        assert ledger.meet({"session": "s"}) == (f"id:{left}", None)
        assert ledger.erase(ledger.known_as({"id": left})) is not None
        assert ledger.meet({"session": "s"}) == ("session:s", None)


def test_erasure_that_names_a_key_of_somebody_else_leaves_them(ledger: Ledger) -> None:
    ledger.meet({"id": "bob", "session": "s"})
    ledger.meet({"session": "t"})
    assert ledger.known_as({"id": "ana", "session": "s"}) == {"id:ana"}
    assert ledger.known_as({"id": "ana", "session": "t"}) == {"id:ana", "session:t"}


# --- any sequence ----------------------------------------------------------------------------


class Identities(RuleBasedStateMachine):
    """Events, statements, erasures and restarts in any order, against the model."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = TemporaryDirectory()
        self.model = Model()
        self.clock = Clock()
        self.statements = 0
        self.spool: Spool = MemorySpool()

    @initialize(durable=st.booleans(), people_max=st.sampled_from([1, 1_000]))
    def begin(self, durable: bool, people_max: int) -> None:
        self.durable = durable
        self.people_max = people_max if durable else 1_000
        self.open()

    def open(self) -> None:
        if self.durable:
            self.spool = SqliteSpool(SpoolConfig(path=f"{self.folder.name}/spool.db"))
        self.ledger = Ledger(self.spool, {}, self.people_max, self.clock)

    @rule(user=USERS)
    def come(self, user: dict[str, str]) -> None:
        person, _ = self.ledger.meet(user)
        assert person == self.model.identify(identifiers(user))
        self.model.filed.append((person, person))

    @rule(user=USERS, granted=st.booleans(), key=st.sampled_from("ab"), ms=st.integers(-3, 3))
    def say(self, user: dict[str, str], granted: bool, key: str, ms: int) -> None:
        self.clock.advance(ms)
        self.statements += 1
        person, _ = self.ledger.tell({key: granted}, user)
        assert person == self.model.identify(identifiers(user))
        self.model.said.setdefault(person, {})[key] = (self.statements, granted)
        for named in identifiers(user):
            if self.model.current(named) == person:
                assert self.ledger.meet({named[: named.index(":")]: named.partition(":")[2]}) == (
                    person,
                    None,
                )

    @rule(user=USERS)
    def forget(self, user: dict[str, str]) -> None:
        addressed = self.model.addressed(identifiers(user))
        assert self.ledger.erase(self.ledger.known_as(user)) is not None
        self.model.erase(addressed)

    @precondition(lambda self: self.durable)
    @rule()
    def restart(self) -> None:
        self.spool.close()
        self.open()

    @invariant()
    def what_is_filed_belongs_to_its_person_and_erasure_finds_it(self) -> None:
        known = {
            person: self.ledger.known_as({person.partition(":")[0]: person.partition(":")[2]})
            for _, person in self.model.filed
        }
        for key, person in self.model.filed:
            assert self.ledger.canonical(key) == person
            assert self.ledger.canonical(person) == person
            for somebody, keys in known.items():
                assert (key in keys) == (somebody == person)

    @invariant()
    def what_a_person_said_holds_for_all_that_is_theirs(self) -> None:
        for key, person in self.model.filed:
            said = self.model.said.get(person, {})
            assert self.ledger.decide({}, key) == {name: value for name, (_, value) in said.items()}

    @invariant()
    def what_comes_is_of_the_one_who_signed_in_last(self) -> None:
        for key in self.model.owners:
            kind, _, value = key.partition(":")
            assert self.ledger.meet({kind: value}) == (self.model.current(key), None)

    def teardown(self) -> None:
        self.spool.close()
        self.folder.cleanup()


TestIdentities = Identities.TestCase
TestIdentities.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)


# --- bounds ----------------------------------------------------------------------------------


def test_acquaintances_are_bounded() -> None:
    ledger = ledger_of(people_max=3)
    for n in range(10):
        ledger.meet({"id": f"u{n}", "session": f"s{n}"})
    assert ledger.canonical("session:s9") == "id:u9"
    assert ledger.canonical("session:s0") == "session:s0"
    assert ledger.known_as({"id": "u0"}) == {"id:u0"}


def test_failed_write_teaches_nothing() -> None:
    class Full(MemorySpool):
        def learn(self, update: PeopleUpdate) -> None:
            raise OSError("disk")

    ledger = ledger_of(Full())
    joins = ledger.follow()
    with pytest.raises(OSError, match="disk"):
        ledger.meet({"id": "u", "session": "s"})
    assert ledger.canonical("session:s") == "session:s"
    assert not joins


# --- spools whose aliases are not straight ---------------------------------------------------


def set_aliases(path: Path, aliases: dict[str, str], told: dict[str, Told]) -> None:
    with opened(path) as spool:
        spool.learn(PeopleUpdate(told=told))
    with closing(sqlite3.connect(path)) as db, db:
        db.executemany("INSERT INTO aliases VALUES (?, ?)", aliases.items())


def aliases_in(path: Path) -> dict[str, str]:
    with closing(sqlite3.connect(path)) as db:
        return dict(db.execute("SELECT alias, person FROM aliases").fetchall())


@pytest.mark.parametrize(
    ("aliases", "straight"),
    [
        ({"device:a": "device:b", "device:b": "device:a"}, {"device:b": "device:a"}),
        ({"device:a": "device:a"}, {}),
        (
            {"session:s": "device:b", "device:b": "device:c", "device:c": "device:b"},
            {"session:s": "device:b", "device:c": "device:b"},
        ),
        (
            {"session:s": "device:d", "device:d": "id:u"},
            dict.fromkeys(("session:s", "device:d"), "id:u"),
        ),
        ({"id:u": "device:d", "device:d": "id:u"}, {"device:d": "id:u"}),
    ],
)
def test_circles_and_chains_in_a_spool_file_are_mended(
    aliases: dict[str, str], straight: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "spool.db"
    told = {key: {"a": (n == 0, n + 1)} for n, key in enumerate(sorted({*aliases} - {"id:u"}))}
    set_aliases(path, aliases, told)
    with opened(path) as spool:
        ledger = ledger_of(spool)
        for key in aliases:
            person = straight.get(key, key)
            assert ledger.canonical(key) == person
            kind, _, value = key.partition(":")
            assert ledger.meet({kind: value}) == (person, None)
            assert ledger.known_as({kind: value}) >= {key, person}
        for person in {*straight.values()}:
            latest = max(
                (said for key, said in told.items() if straight.get(key, key) == person),
                key=lambda said: said["a"][1],
            )
            assert ledger.state(person) == {"a": latest["a"][0]}
    assert aliases_in(path) == straight


KEYS = st.sampled_from(["id:u", "device:a", "device:b", "device:c", "session:s", "session:t"])


@given(st.dictionaries(KEYS, KEYS))
def test_any_aliases_lead_to_people_who_are_no_aliases(aliases: dict[str, str]) -> None:
    found = people.resolved(aliases)
    assert found.keys() >= aliases.keys()
    for key, person in found.items():
        assert found.get(person, person) == person
        if not key.startswith("id:"):
            assert found.get(aliases.get(key, key), key) == person
    assert found.get("id:u", "id:u") == "id:u"


def test_long_chain_of_aliases_is_followed_in_time_by_its_length() -> None:
    aliases = {f"session:{n}": f"session:{n + 1}" for n in range(100_000)}
    assert set(people.resolved(aliases).values()) == {"session:100000"}


# --- what another process has learned --------------------------------------------------------


def learned(path: Path, *users: dict[str, str]) -> None:
    with opened(path) as spool:
        ledger = ledger_of(spool)
        for user in users:
            ledger.meet(user)


def adopted(path: Path) -> dict[str, str]:
    with opened(path) as spool:
        spool.adopt(path.with_name("spool.1.db"))
        ledger = ledger_of(spool)
        return {key: ledger.canonical(key) for key in aliases_in(path)}


def test_devices_two_processes_saw_with_one_session_are_one(tmp_path: Path) -> None:
    one, other = tmp_path / "spool.db", tmp_path / "spool.1.db"
    users = ({"device": "a", "session": "s"}, {"device": "b", "session": "s"})
    learned(one, *users)
    learned(other, *reversed(users))
    found = adopted(one)
    assert {found.get(key, key) for key in ("device:a", "device:b", "session:s")} == {"device:a"}


def test_what_one_process_knows_of_a_session_holds_for_what_another_filed(tmp_path: Path) -> None:
    one, other = tmp_path / "spool.db", tmp_path / "spool.1.db"
    learned(one, {"device": "d", "session": "s"})
    learned(other, {"id": "u", "session": "s"})
    assert adopted(one) == {"device:d": "id:u", "session:s": "id:u"}


def test_people_stay_two_where_processes_know_one_session_as_of_two(tmp_path: Path) -> None:
    one, other = tmp_path / "spool.db", tmp_path / "spool.1.db"
    learned(one, {"id": "ana", "session": "s"})
    learned(other, {"session": "t"}, {"id": "bob", "session": "s"}, {"id": "bob", "session": "t"})
    assert adopted(one) == {"session:s": "id:ana", "session:t": "id:bob"}


def test_what_was_said_apart_is_merged_and_of_two_at_once_the_denial_holds(tmp_path: Path) -> None:
    path, other = tmp_path / "spool.db", tmp_path / "spool.1.db"
    with opened(other) as spool:
        spool.learn(
            PeopleUpdate(
                aliases={"session:s": "id:u"},
                told={
                    "id:u": {"a": (True, 10), "b": (True, 10), "d": (True, 7), "e": (False, 7)},
                    "session:t": {"c": (True, 10)},
                },
            )
        )
    with opened(path) as spool:
        spool.learn(
            PeopleUpdate(
                aliases={"session:t": "id:v"},
                told={
                    "id:u": {"a": (False, 5), "b": (False, 20), "d": (False, 7), "e": (True, 7)},
                    "session:s": {"f": (False, 30)},
                },
            )
        )
        spool.adopt(other)
        assert spool.told("id:u") == {
            "a": (True, 10),
            "b": (False, 20),
            "d": (False, 7),
            "e": (False, 7),
            "f": (False, 30),
        }
        assert spool.told("id:v") == {"c": (True, 10)}
        assert spool.told("session:s") == spool.told("session:t") == {}
