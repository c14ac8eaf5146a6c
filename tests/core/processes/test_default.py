"""The default consent, which is one for all processes of a spool."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.core.processes.shop import delivered, shop
from tests.core.support import Clock
from tests.support import wait_until
from walker_collector.config import SpoolConfig
from walker_collector.people.consent import ConsentStore
from walker_collector.spool import PeopleUpdate, StalePeople
from walker_collector.spool.sqlite import SqliteSpool

YES, NO = True, False
ANA, BEN = {"id": "ana"}, {"id": "ben"}


@pytest.fixture
def spools(tmp_path: Path) -> Iterator[list[SqliteSpool]]:
    config = SpoolConfig(path=str(tmp_path / "spool.db"))
    with closing(SqliteSpool(config)) as one, closing(SqliteSpool(config)) as other:
        yield [one, other]


def begun(
    spool: SqliteSpool, flow: dict[str, bool] | None = None, *, forked: bool = False
) -> ConsentStore:
    store = ConsentStore(spool, flow or {}, 100, Clock())
    store.begin(forked=forked)
    return store


def defaults(*stores: ConsentStore) -> list[dict[str, bool]]:
    for store in stores:
        store.refresh()
    return [store.default for store in stores]


def test_a_default_counts_for_all_processes_and_those_that_start_later(
    spools: list[SqliteSpool],
) -> None:
    stores = [begun(spool, {"a": True}) for spool in spools]
    news: list[set[str] | None] = []
    stores[1].on_news = news.append
    stores[0].set_default({"a": False, "b": True})
    assert defaults(*stores) == [{"a": False, "b": True}] * 2
    assert news == [{""}]
    assert begun(spools[1], {"a": True}).default == {"a": False, "b": True}


def test_a_change_of_the_flow_replaces_the_default_at_the_next_start(
    spools: list[SqliteSpool], caplog: pytest.LogCaptureFixture
) -> None:
    older = begun(spools[0], {"a": True})
    older.set_default({"a": False})
    newer = begun(spools[1], {"a": True, "b": True})
    assert defaults(older, newer) == [{"a": True, "b": True}] * 2
    older.set_default({"b": False})
    assert begun(spools[1], {"a": True, "b": True}).default == {"a": True, "b": False}
    assert "all processes was {'a': False}, and is now {'a': True, 'b': True}" in caplog.text
    caplog.clear()
    assert begun(spools[1]).default == {}
    assert defaults(older, newer) == [{}, {}]
    assert "all processes was {'a': True, 'b': False}, and is now {}" in caplog.text


def test_a_forked_child_with_an_older_flow_follows(spools: list[SqliteSpool]) -> None:
    begun(spools[0], {"a": True})
    begun(spools[1], {"a": False})
    assert begun(spools[0], {"a": True}, forked=True).default == {"a": False}


def test_changes_of_two_processes_at_once_are_both_kept(spools: list[SqliteSpool]) -> None:
    one, other = (begun(spool) for spool in spools)
    one.set_default({"a": True})
    other.set_default({"b": True})
    assert defaults(one, other) == [{"a": True, "b": True}] * 2


def test_no_call_is_claimed_on_a_default_that_was_withdrawn(spools: list[SqliteSpool]) -> None:
    one, other = (begun(spool, {"a": True}) for spool in spools)
    one.refresh()
    version = one.known_version
    other.set_default({"a": False})
    with pytest.raises(StalePeople):
        spools[0].learn(PeopleUpdate(based_on=version))  # as a claim is refused
    one.refresh()
    assert one.known_version > version


def test_a_default_that_cannot_be_read_is_that_of_the_flow(spools: list[SqliteSpool]) -> None:
    begun(spools[0], {"a": False}).set_default({"a": True})
    for damage in ("x'ff'", "'[]'", "'{\"a\": 1}'"):
        spools[0].core.commits.run(
            lambda db, to=damage: db.execute(f"UPDATE default_consent SET current = {to}")
        )
        assert begun(spools[1], {"a": False}).default == {"a": False}


# --- in real processes -----------------------------------------------------------------------


def numbers(folder: Path) -> list[int]:
    return [n for _, _, n in delivered(folder)]


def test_a_default_granted_in_one_process_releases_what_others_hold(tmp_path: Path) -> None:
    with shop(tmp_path) as one, shop(tmp_path) as other:
        assert one.do("push", [ANA, 0], [BEN, 1]) == ["held", "held"]
        one.do("consent", [BEN, NO])
        other.do("default", YES)
        wait_until(lambda: numbers(tmp_path) == [0])
        assert one.do("push", [ANA, 2], [BEN, 3]) == ["accepted", "held"]
        wait_until(lambda: numbers(tmp_path) == [0, 2])


def test_after_a_default_was_withdrawn_nobody_begins_a_call_on_it(tmp_path: Path) -> None:
    with shop(tmp_path, "grants") as one, shop(tmp_path, "grants") as other:
        (tmp_path / "slow").touch()
        one.do("push", *[[{"id": f"u{n}"}, n] for n in range(20)])
        wait_until(lambda: (tmp_path / "began").exists())
        assert other.do("default", NO) == 1  # the call under way
        began = (tmp_path / "began").read_text()
        (tmp_path / "slow").unlink()
        wait_until(lambda: one.do("status") == {"waiting": 0, "held": 19, "dead": 0})
        assert (tmp_path / "began").read_text() == began
        assert one.do("push", [ANA, 0]) == ["held"]


def test_a_default_outlives_its_processes_until_the_flow_changes(tmp_path: Path) -> None:
    with shop(tmp_path) as one:
        one.do("default", YES)
    with shop(tmp_path) as again:
        assert again.do("push", [ANA, 0]) == ["accepted"]
        again.do("default", NO)
        assert again.do("push", [ANA, 1]) == ["held"]
        with shop(tmp_path, "grants"):
            wait_until(lambda: again.do("push", [BEN, 2]) == ["accepted"])
            wait_until(lambda: {0, 1, 2} <= set(numbers(tmp_path)))
