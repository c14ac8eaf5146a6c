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
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.core.people_model import USERS, Model
from tests.core.support import Clock, surely
from tests.forms import examples
from walker_collector import EventError
from walker_collector.config import SpoolConfig
from walker_collector.people.consent import ConsentStore
from walker_collector.people.identity import KINDS, identifiers
from walker_collector.spool import ConsentRecord, PeopleUpdate, Spool
from walker_collector.spool.memory import MemorySpool
from walker_collector.spool.sqlite import SqliteSpool, people_tables


class Name(StrEnum):
    ANN = "ann"


class Level(Enum):
    GOLD = "gold"
    ONE = 1


class Number(IntEnum):
    SEVEN = 7


def ledger_of(
    spool: Spool | None = None, people_max: int = 100, clock: Clock | None = None
) -> ConsentStore:
    return ConsentStore(spool or MemorySpool(), {}, people_max, clock or Clock())


@contextmanager
def opened(path: Path) -> Iterator[SqliteSpool]:
    spool = SqliteSpool(SpoolConfig(path=str(path)))
    try:
        yield spool
    finally:
        spool.close()


@pytest.fixture(params=["memory", "durable", "durable, remembering nobody"])
def consents(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ConsentStore]:
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


def test_keys_that_are_named_together_are_one_person(consents: ConsentStore) -> None:
    consents.record_consent({"a": True}, {"session": "s"})
    assert consents.identify({"session": "s", "device": "d"}) == ("device:d", "stated")
    assert consents.identify({"device": "d", "id": "u"}) == ("id:u", "stated")
    for key in ("session:s", "device:d", "id:u"):
        assert consents.canonical(key) == "id:u"
        assert consents.decide({}, key) == {"a": True}
        kind, _, value = key.partition(":")
        assert surely(consents.keys_of({kind: value})) == {"id:u", "device:d", "session:s"}


def test_known_acquaintance_is_no_news(consents: ConsentStore) -> None:
    assert consents.identify({"id": "u", "session": "s"}) == ("id:u", "joined")
    assert consents.identify({"id": "u", "session": "s"}) == ("id:u", None)
    assert consents.identify({"session": "s"}) == ("id:u", None)
    assert consents.identify({}) == ("", None)


def test_session_of_a_person_is_not_taken_by_a_device(consents: ConsentStore) -> None:
    consents.record_consent({"a": False}, {"id": "ines", "session": "s"})
    assert consents.identify({"device": "d", "session": "s"}) == ("id:ines", "joined")
    for user in ({"device": "d"}, {"session": "s"}, {"device": "d", "session": "s"}):
        assert consents.identify(user) == ("id:ines", None)
        assert consents.decide({}, consents.identify(user)[0]) == {"a": False}
    assert surely(consents.keys_of({"id": "ines"})) == {"id:ines", "device:d", "session:s"}


def test_device_of_a_person_is_not_taken_by_a_new_session(consents: ConsentStore) -> None:
    consents.identify({"id": "ines", "device": "d"})
    assert consents.identify({"device": "d", "session": "new"}) == ("id:ines", "joined")
    assert consents.canonical("session:new") == "id:ines"


def test_devices_that_share_a_session_are_one_whatever_the_order() -> None:
    users = (
        {"device": "d1", "session": "s1"},
        {"device": "d1", "session": "s2"},
        {"device": "d2", "session": "s2"},
        {"device": "d2", "session": "s1"},
    )
    for order in permutations(users):
        consents = ledger_of()
        for user in order:
            consents.identify(user)
        person, _ = consents.record_consent({"a": True}, {"device": "d2"})
        keys = {"device:d1", "device:d2", "session:s1", "session:s2"}
        assert {consents.canonical(key) for key in keys} == {person}
        assert surely(consents.keys_of({"session": "s1"})) == keys


def test_what_two_strangers_said_holds_for_the_one_they_are(consents: ConsentStore) -> None:
    consents.record_consent({"a": True, "b": True}, {"session": "s"})
    consents.record_consent({"a": False}, {"device": "d"})
    consents.record_consent({"c": True}, {"id": "u"})
    consents.identify({"device": "d", "session": "s"})
    assert consents.decide({}, "session:s") == {"a": False, "b": True}
    consents.identify({"id": "u", "session": "s"})
    for key in ("id:u", "device:d", "session:s"):
        assert consents.decide({}, key) == {"a": False, "b": True, "c": True}


# --- somebody else in the same browser -------------------------------------------------------


def test_who_signs_in_later_gets_only_what_comes_later(consents: ConsentStore) -> None:
    consents.identify({"session": "s"})
    consents.identify({"id": "ana", "session": "s"})
    assert consents.identify({"session": "s"}) == ("id:ana", None)
    assert consents.identify({"id": "bob", "session": "s"}) == ("id:bob", None)
    assert consents.canonical("session:s") == "id:ana"  # what was filed under it
    assert consents.identify({"session": "s"}) == ("id:bob", None)  # what comes
    assert surely(consents.keys_of({"id": "ana"})) == {"id:ana", "session:s"}
    assert surely(consents.keys_of({"id": "bob"})) == {"id:bob"}
    assert surely(consents.keys_of({"session": "s"})) == {"id:bob"}
    assert consents.identify({"id": "ana", "session": "s"}) == ("id:ana", None)
    assert consents.identify({"session": "s"}) == ("id:ana", None)


def test_statement_by_a_session_is_of_the_one_who_signed_in_last(consents: ConsentStore) -> None:
    consents.record_consent({"a": True}, {"id": "ana", "session": "s"})
    consents.identify({"id": "bob", "session": "s"})
    assert consents.record_consent({"a": False}, {"session": "s"})[0] == "id:bob"
    assert (consents.state("id:ana"), consents.state("id:bob")) == ({"a": True}, {"a": False})


def test_new_session_on_a_device_is_of_the_one_who_signed_in_there_last(
    consents: ConsentStore,
) -> None:
    consents.identify({"id": "ana", "device": "d", "session": "s1"})
    consents.identify({"id": "bob", "device": "d", "session": "s2"})
    consents.identify({"device": "d", "session": "s3"})
    sessions = [consents.canonical(f"session:s{n}") for n in (1, 2, 3)]
    assert sessions == ["id:ana", "id:bob", "id:bob"]


def test_where_device_and_session_lead_to_two_people_the_session_tells(
    consents: ConsentStore,
) -> None:
    consents.identify({"id": "ana", "device": "d", "session": "s1"})
    consents.identify({"id": "bob", "device": "d", "session": "s2"})
    assert consents.identify({"device": "d", "session": "s1"}) == ("id:ana", None)
    assert consents.identify({"device": "d", "session": "s2"}) == ("id:bob", None)
    assert consents.identify({"device": "d"}) == ("id:bob", None)


def test_erasure_of_one_leaves_the_others_of_the_same_browser(consents: ConsentStore) -> None:
    for erased, left in (("ana", "bob"), ("bob", "ana")):
        consents.record_consent({"a": True}, {"id": "ana", "session": "s"})
        consents.record_consent({"a": False}, {"id": "bob", "session": "s"})
        before = consents.state(f"id:{left}")
        assert consents.erase(consents.keys_of({"id": erased})) is not None
        assert consents.state(f"id:{erased}") == {}
        assert consents.state(f"id:{left}") == before
        assert consents.identify({"session": "s"}) == (f"id:{left}", None)
        assert consents.erase(consents.keys_of({"id": left})) is not None
        assert consents.identify({"session": "s"}) == ("session:s", None)


def test_erasure_that_names_a_key_of_somebody_else_leaves_them(consents: ConsentStore) -> None:
    consents.identify({"id": "bob", "session": "s"})
    consents.identify({"session": "t"})
    assert surely(consents.keys_of({"id": "ana", "session": "s"})) == {"id:ana"}
    assert surely(consents.keys_of({"id": "ana", "session": "t"})) == {"id:ana", "session:t"}


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
        self.consents = ConsentStore(self.spool, {}, self.people_max, self.clock)

    @rule(user=USERS)
    def come(self, user: dict[str, str]) -> None:
        person, _ = self.consents.identify(user)
        assert person == self.model.identify(identifiers(user))
        self.model.filed.append((person, person))

    @rule(user=USERS, granted=st.booleans(), key=st.sampled_from("ab"), ms=st.integers(-3, 3))
    def say(self, user: dict[str, str], granted: bool, key: str, ms: int) -> None:
        self.clock.advance(ms)
        self.statements += 1
        person, _ = self.consents.record_consent({key: granted}, user)
        assert person == self.model.identify(identifiers(user))
        self.model.said.setdefault(person, {})[key] = (self.statements, granted)
        for named in identifiers(user):
            if self.model.current(named) == person:
                assert self.consents.identify(
                    {named[: named.index(":")]: named.partition(":")[2]}
                ) == (
                    person,
                    None,
                )

    @rule(user=USERS)
    def forget(self, user: dict[str, str]) -> None:
        addressed = self.model.addressed(identifiers(user))
        assert self.consents.erase(self.consents.keys_of(user)) is not None
        self.model.erase(addressed)

    @precondition(lambda self: self.durable)
    @rule()
    def restart(self) -> None:
        self.spool.close()
        self.open()

    @invariant()
    def what_is_filed_belongs_to_its_person_and_erasure_finds_it(self) -> None:
        known = {
            person: surely(
                self.consents.keys_of({person.partition(":")[0]: person.partition(":")[2]})
            )
            for _, person in self.model.filed
        }
        for key, person in self.model.filed:
            assert self.consents.canonical(key) == person
            assert self.consents.canonical(person) == person
            for somebody, keys in known.items():
                assert (key in keys) == (somebody == person)

    @invariant()
    def what_a_person_said_holds_for_all_that_is_theirs(self) -> None:
        for key, person in self.model.filed:
            said = self.model.said.get(person, {})
            assert self.consents.decide({}, key) == {
                name: value for name, (_, value) in said.items()
            }

    @invariant()
    def what_comes_is_of_the_one_who_signed_in_last(self) -> None:
        for key in self.model.owners:
            kind, _, value = key.partition(":")
            assert self.consents.identify({kind: value}) == (self.model.current(key), None)

    def teardown(self) -> None:
        self.spool.close()
        self.folder.cleanup()


TestIdentities = Identities.TestCase
TestIdentities.settings = examples(30, stateful_step_count=30)


# --- bounds ----------------------------------------------------------------------------------


def test_acquaintances_are_bounded() -> None:
    consents = ledger_of(people_max=3)
    for n in range(10):
        consents.identify({"id": f"u{n}", "session": f"s{n}"})
    assert consents.canonical("session:s9") == "id:u9"
    assert consents.canonical("session:s0") == "session:s0"
    assert surely(consents.keys_of({"id": "u0"})) == {"id:u0"}


def test_failed_write_teaches_nothing(tmp_path: Path) -> None:
    class Full(SqliteSpool):
        def learn(self, update: PeopleUpdate) -> None:
            raise OSError("disk")

    with closing(Full(SpoolConfig(path=str(tmp_path / "spool.db")))) as spool:
        consents = ledger_of(spool)
        joins = consents.follow()
        with pytest.raises(OSError, match="disk"):
            consents.identify({"id": "u", "session": "s"})
        assert consents.canonical("session:s") == "session:s"
        assert not joins


# --- spools whose aliases are not straight ---------------------------------------------------


def set_aliases(path: Path, aliases: dict[str, str], told: dict[str, ConsentRecord]) -> None:
    with opened(path) as spool:
        spool.learn(PeopleUpdate(consents=told))
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
        consents = ledger_of(spool)
        for key in aliases:
            person = straight.get(key, key)
            assert consents.canonical(key) == person
            kind, _, value = key.partition(":")
            assert consents.identify({kind: value}) == (person, None)
            assert consents.keys_of({kind: value}) >= {key, person}
        for person in {*straight.values()}:
            latest = max(
                (said for key, said in told.items() if straight.get(key, key) == person),
                key=lambda said: said["a"][1],
            )
            assert consents.state(person) == {"a": latest["a"][0]}
    assert aliases_in(path) == straight


KEYS = st.sampled_from(["id:u", "device:a", "device:b", "device:c", "session:s", "session:t"])


@given(st.dictionaries(KEYS, KEYS))
def test_any_aliases_lead_to_people_who_are_no_aliases(aliases: dict[str, str]) -> None:
    found = people_tables.resolved(aliases)
    assert found.keys() >= aliases.keys()
    for key, person in found.items():
        assert found.get(person, person) == person
        if not key.startswith("id:"):
            assert found.get(aliases.get(key, key), key) == person
    assert found.get("id:u", "id:u") == "id:u"


def test_long_chain_of_aliases_is_followed_in_time_by_its_length() -> None:
    aliases = {f"session:{n}": f"session:{n + 1}" for n in range(100_000)}
    assert set(people_tables.resolved(aliases).values()) == {"session:100000"}
