"""What two processes learn of people at the same time: one truth, whoever was first."""

from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.interruptions import Interruption, at_moment
from tests.core.support import Clock
from walker_collector.config import SpoolConfig
from walker_collector.errors import Overtaken
from walker_collector.people.consent import ConsentStore
from walker_collector.spool import NewEvent, PeopleUpdate, StalePeople, State, people_log
from walker_collector.spool.sqlite import SqliteSpool, people_tables

Two = tuple[ConsentStore, ConsentStore]
KEYS = ({"id": "u"}, {"id": "v"}, {"session": "s"}, {"session": "t"}, {"device": "d"})


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Two]:
    config, clock = SpoolConfig(path=str(tmp_path / "spool.db")), Clock()
    with closing(SqliteSpool(config)) as one, closing(SqliteSpool(config)) as other:
        yield ConsentStore(one, {}, 100, clock), ConsentStore(other, {}, 100, clock)


def names() -> list[str]:
    return [f"{kind}:{name}" for user in KEYS for kind, name in user.items()]


def canonical(store: ConsentStore) -> list[str]:
    store.refresh()
    return [store.canonical(key) for key in names()]


def test_devices_seen_with_one_session_are_one_person(two: Two) -> None:
    one, other = two
    one.identify({"device": "a", "session": "s"})
    other.identify({"device": "b", "session": "s"})
    for store in two:
        store.refresh()
        assert {store.canonical(key) for key in ("device:a", "device:b", "session:s")} == {
            "device:a"
        }


def test_a_session_belongs_to_whoever_was_first_to_sign_in(two: Two) -> None:
    one, other = two
    one.identify({"id": "u", "session": "s"})
    other.identify({"id": "v", "session": "s"})
    for store in two:
        store.refresh()
        assert store.canonical("session:s") == "id:u"
        assert store.identify({"session": "s"})[0] == "id:v"


def test_a_statement_is_kept_beside_that_of_another_process(two: Two) -> None:
    one, other = two
    assert one.state("id:u") == other.state("id:u") == {}  # both have it in memory
    one.record_consent({"a": True, "b": True}, {"id": "u"})
    other.record_consent({"b": False, "c": True}, {"id": "u"})
    one.record_consent({"c": False}, {"id": "u"})
    for store in two:
        store.refresh()
        assert store.state("id:u") == {"a": True, "b": False, "c": False}


def test_the_later_statement_holds_although_its_clock_is_behind(tmp_path: Path) -> None:
    config = SpoolConfig(path=str(tmp_path / "spool.db"))
    with closing(SqliteSpool(config)) as first, closing(SqliteSpool(config)) as second:
        ahead = ConsentStore(first, {}, 100, lambda: 2_000_000)
        behind = ConsentStore(second, {}, 100, lambda: 1_000_000)
        ahead.record_consent({"a": True}, {"id": "u"})
        behind.record_consent({"a": False}, {"id": "u"})
        ahead.identify({"id": "u", "session": "s"})
        ahead.refresh()
        assert ahead.state("id:u") == {"a": False}


def test_statements_of_a_session_go_to_its_person_in_every_process(two: Two) -> None:
    one, other = two
    one.record_consent({"a": True}, {"session": "s"})
    other.identify({"id": "u", "session": "s"})
    joins = one.follow()
    one.refresh()
    assert list(joins) == [("session:s", "id:u")]
    assert one.base("session:s") == other.base("id:u") == {"a": True}


def test_an_erasure_makes_the_other_process_read_those_people_anew(two: Two) -> None:
    one, other = two
    news: list[object] = []
    other.on_news, other.on_moved = news.append, lambda marks: news.append("moved")
    one.record_consent({"a": True}, {"id": "u", "session": "s"})
    one.record_consent({"a": True}, {"id": "v"})
    other.refresh()
    assert other.base("session:s") == other.base("id:v") == {"a": True}
    one.erase(one.all_keys(["id:u"]))
    other.refresh()
    assert news == [{"session:s", "id:u", "id:v"}, "moved"]
    assert other.base("session:s") == {}
    assert other.canonical("session:s") == "session:s"
    assert list(other._records._people) == ["id:v", "session:s"]  # the others stay in memory


def test_what_is_known_beside_an_erasure_is_learned_one_by_one(two: Two) -> None:
    one, other = two
    joins = other.follow()
    one.identify({"id": "u", "session": "s"})
    one.erase(one.all_keys(["id:v"]))
    one.erase({"id:w"})
    other.refresh()
    assert list(joins) == [("session:s", "id:u")]


def test_news_that_a_signal_handler_interrupts_is_told_by_the_next_refresh(two: Two) -> None:
    one, other = two
    news: list[set[str] | None] = []
    other.on_news = news.append

    def handler() -> None:
        raise Interruption

    for moment in count(1):
        one.record_consent({"a": True}, {"id": f"u{moment}"})
        with suppress(Interruption):
            if not at_moment(moment, handler, other.refresh):
                break
        if other.is_stale:
            other.refresh()
        assert {f"id:u{moment}"} in news, moment
        assert other.base(f"id:u{moment}") == {"a": True}


@pytest.mark.parametrize("user", [{"session": "s"}, {"id": "u"}])
def test_an_erasure_overtakes_the_events_of_its_people_only(two: Two, user: dict[str, str]) -> None:
    one, other = two
    other.identify({"id": "u", "session": "s"})
    (person, _), as_of = other.identify(user), other.erasures
    store = other._store
    assert store is not None

    def push(as_of: int) -> None:
        store.append(
            [NewEvent(person, 0, b"{}", {"there": State.WAITING}, as_of)], lambda runs: None
        )

    one.erase({"id:v"})
    push(as_of)
    one.erase(one.all_keys(["id:u"]))
    one.erase({"id:v"})
    with pytest.raises(Overtaken):
        push(as_of)
    push(other.after_erasure())


def test_an_update_based_on_an_older_version_is_refused(tmp_path: Path) -> None:
    with closing(SqliteSpool(SpoolConfig(path=str(tmp_path / "spool.db")))) as spool:
        spool.learn(PeopleUpdate(based_on=0, consents={"id:u": {"a": (True, 1)}}))
        with pytest.raises(StalePeople):
            spool.learn(PeopleUpdate(based_on=0, consents={"id:u": {"a": (False, 2)}}))
        assert spool.consent_of("id:u") == {"a": (True, 1)}


def test_who_has_missed_too_much_reads_everything_anew(two: Two) -> None:
    one, other = two
    news: list[set[str] | None] = []
    other.on_news = news.append
    one._store.learn(  # type: ignore[union-attr]  # it is durable
        PeopleUpdate(consents={f"id:{n}": {"a": (True, n)} for n in range(10_050)})
    )
    other.refresh()
    assert news == [None]
    assert other.base("id:10049") == {"a": True}


step = st.tuples(
    st.integers(0, 1),
    st.sampled_from(KEYS),
    st.sampled_from(KEYS),
    st.sampled_from([None, True, False, "forget"]),
)


@contextmanager
def log_of(length: int) -> Iterator[None]:
    """Keep so many changes in the log only."""
    trim = people_tables._TRIM.replace(f"{people_log.LENGTH}", str(length))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(people_log, "LENGTH", length)
        patch.setattr(people_tables, "_TRIM", trim)
        yield


@given(
    steps=st.lists(step, max_size=14),
    people_max=st.sampled_from([1, 2, 100]),
    log_length=st.sampled_from([1, 2, 10_000]),
)
def test_two_processes_come_to_the_same_as_one(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[tuple[int, dict, dict, bool | str | None]],
    people_max: int,
    log_length: int,
) -> None:
    folder, clocks = tmp_path_factory.mktemp("people"), (Clock(), Clock(1_600_000_000_000))
    alone, shared = (SpoolConfig(path=str(folder / name)) for name in ("alone.db", "shared.db"))
    with (
        log_of(log_length),
        closing(SqliteSpool(alone)) as single,
        closing(SqliteSpool(shared)) as one,
        closing(SqliteSpool(shared)) as other,
    ):
        reference = ConsentStore(single, {}, 100, clocks[0])
        spools = zip((one, other), clocks, strict=True)
        two = [ConsentStore(spool, {}, people_max, clock) for spool, clock in spools]
        followed = [store.follow() for store in two]
        for at, first, second, what in steps:
            for store in (reference, two[at]):
                if store.is_stale:  # as an intake asks before each event
                    store.refresh()
                user = {**first, **second}
                if what is None:
                    store.identify(user)
                elif what == "forget":
                    store.erase(store.keys_of(user))
                else:
                    store.record_consent({"a": bool(what)}, user)
        assert canonical(two[0]) == canonical(two[1]) == canonical(reference)
        for key in canonical(reference):
            assert two[0].base(key) == two[1].base(key) == reference.base(key)
            assert two[0].all_keys([key]) == two[1].all_keys([key]) == reference.all_keys([key])
        if all(what != "forget" for *_, what in steps):
            for joins, store in zip(followed, two, strict=True):
                assert all(store.canonical(key) == store.canonical(by) for key, by in joins)
            if log_length == 10_000:  # whoever follows hears of every join
                moved = {key for key in names() if reference.canonical(key) != key}
                assert all(moved <= {key for key, _ in joins} for joins in followed)
