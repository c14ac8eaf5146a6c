"""People in the outbox: an erasure reaches their rows, and statements count as of their push."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support import wait_until
from walker_collector import Collector, EventError
from walker_collector.intake.outbox import OutboxReader
from walker_collector.moments import now_ms
from walker_collector.runtime import Runtime
from walker_collector.spool import OutboxRow
from walker_collector.spool.postgres import Place

INES = {"id": "ines"}


class Recorder:
    """Two destinations; the file has the events of the first, which needs no consent."""

    def __init__(self, folder: Path, place: Place) -> None:
        self.path = folder / "arrived.ndjson"
        self.ads = folder / "ads.ndjson"
        self._spool = {"url": place.url, "schema": place.schema}

    def collector(self, *, deliver: bool = False) -> Collector:
        config = {"settings": {"path": str(self.path)}, "data": {"map": {"n": "data.n"}}}
        ads = {**config, "settings": {"path": str(self.ads)}, "consent": {"marketing": True}}
        return Collector.from_config(
            {
                "collector": {"spool": self._spool, "deliver": deliver},
                "destinations": {
                    "log": {"package": "file", "config": config},
                    "ads": {"package": "file", "config": ads},
                },
            }
        )

    def arrived(self) -> list[str]:
        return self.path.read_text().splitlines() if self.path.exists() else []


@pytest.fixture
def recorder(tmp_path: Path, place: Place) -> Recorder:
    return Recorder(tmp_path, place)


@pytest.fixture
def collector(recorder: Recorder) -> Iterator[Collector]:
    """One that only accepts."""
    with recorder.collector() as made:
        yield made


@pytest.fixture
def shop(place: Place) -> Iterator["psycopg.Connection[Any]"]:
    with psycopg.connect(place.url, autocommit=True) as connection:
        yield connection


def post(
    collector: Collector, shop: "psycopg.Connection[Any]", user: dict[str, str], n: int = 0
) -> str:
    return collector.push("page view", data={"n": n}, user=user, connection=shop).id


def runtime_of(collector: Collector) -> Runtime:
    return collector._life.runtime


def waiting_rows(collector: Collector) -> int:
    outbox = runtime_of(collector).outbox
    assert outbox is not None
    return outbox.figures()[0]


def reader(collector: Collector, outbox: Any = None) -> OutboxReader:
    runtime = runtime_of(collector)
    found = outbox or runtime.outbox
    return OutboxReader(found, runtime.intake, runtime.consents, now_ms)


def stored(collector: Collector) -> int:
    return collector.status().stored


def test_erasure_removes_what_is_committed_in_the_outbox(
    collector: Collector, shop: "psycopg.Connection[Any]"
) -> None:
    post(collector, shop, INES)
    post(collector, shop, {"id": "max"})
    collector.push("walker consent", data={"marketing": True}, user=INES, connection=shop)
    assert collector.forget(INES) == 2
    assert waiting_rows(collector) == 1
    assert not runtime_of(collector).consents.state("id:ines")


def test_erasure_follows_the_devices_that_only_the_outbox_names(
    collector: Collector, shop: "psycopg.Connection[Any]"
) -> None:
    collector.push("page view", user={"device": "d-1"})
    post(collector, shop, {"device": "d-1"})
    post(collector, shop, {**INES, "device": "d-1"})
    post(collector, shop, {"device": "d-1", "session": "s-1"})
    post(collector, shop, {"session": "s-1"})
    post(collector, shop, {"id": "max", "device": "d-2"})
    post(collector, shop, {**INES, "device": "d-2"})
    post(collector, shop, {"device": "d-2"})
    assert collector.forget(INES) == 6
    assert waiting_rows(collector) == 2  # a device that somebody else had first is theirs
    assert stored(collector) == 0


def test_erasure_finds_devices_that_are_known_to_be_the_persons(
    collector: Collector, shop: "psycopg.Connection[Any]"
) -> None:
    collector.push("page view", user={**INES, "device": "d-1"})
    post(collector, shop, {"device": "d-1"})
    assert collector.forget({"device": "d-1"}) == 2
    assert waiting_rows(collector) == 0


class ForgettingBetween:
    """A collector's outbox; each time that rows were taken, another collector erases a person."""

    def __init__(self, collector: Collector, other: Collector, user: dict[str, str]) -> None:
        found = runtime_of(collector).outbox
        assert found is not None
        self._outbox = found
        self._forget = lambda: other.forget(user)

    def take(self, limit: int) -> list[OutboxRow]:
        rows = self._outbox.take(limit)
        if rows:
            self._forget()
        return rows

    def remove(self, numbers: Sequence[int]) -> None:
        self._outbox.remove(numbers)


def test_rows_that_another_process_has_in_hand_are_erased_too(
    recorder: Recorder, collector: Collector, shop: "psycopg.Connection[Any]"
) -> None:
    with recorder.collector() as other:
        taking = reader(collector, ForgettingBetween(collector, other, INES))
        post(collector, shop, {**INES, "device": "d-1"})
        post(collector, shop, {"id": "max"})
        assert taking.take()  # nothing of that is accepted
        assert stored(collector) == 0
        assert reader(collector).take()
        assert stored(collector) == 1
        assert not runtime_of(collector).spool.aliases_of("id:ines")
        collector.push("walker consent", data={"marketing": True}, user=INES, connection=shop)
        assert taking.take()
        assert not reader(collector).take()
        assert not runtime_of(collector).consents.state("id:ines")


def test_nothing_is_delivered_after_an_erasure_has_returned(
    recorder: Recorder, collector: Collector, shop: "psycopg.Connection[Any]"
) -> None:
    delivered: list[tuple[int, set[str]]] = []
    with recorder.collector(deliver=True) as delivering:
        for n in range(15):
            post(collector, shop, {"id": f"u-{n}"}, n)
            collector.forget({"id": f"u-{n}"})
            delivered.append((n, set(recorder.arrived())))
        post(collector, shop, INES, 99)
        wait_until(lambda: '{"n":99}' in recorder.arrived())
        assert delivering.flush(10)
    late = [n for n, then in delivered if f'{{"n":{n}}}' in {*recorder.arrived()} - then]
    assert late == []


def test_transaction_that_commits_after_the_erasure_is_of_a_new_person(
    collector: Collector, place: Place
) -> None:
    with psycopg.connect(place.url) as late:
        post(collector, late, INES)
        assert collector.forget(INES) == 0
    assert waiting_rows(collector) == 1


def test_older_grant_from_the_outbox_leaves_a_newer_withdrawal(
    collector: Collector, shop: "psycopg.Connection[Any]"
) -> None:
    statement = {"marketing": True, "analytics": True}
    collector.push("walker consent", data=statement, user=INES, connection=shop)
    collector.consent({"marketing": False}, user=INES)
    assert reader(collector).take()
    state = runtime_of(collector).consents.state("id:ines")
    assert state == {"marketing": False, "analytics": True}


def test_statements_in_the_outbox_count_in_the_order_of_their_pushes(
    collector: Collector, shop: "psycopg.Connection[Any]"
) -> None:
    collector.consent({"marketing": True}, user=INES)
    for granted in (False, True, False):
        collector.push("walker consent", data={"marketing": granted}, user=INES, connection=shop)
        assert reader(collector).take()
        assert runtime_of(collector).consents.state("id:ines") == {"marketing": granted}


def test_default_for_everybody_is_refused_in_a_transaction(
    collector: Collector, shop: "psycopg.Connection[Any]"
) -> None:
    with pytest.raises(EventError, match="name the user, or push it without a connection"):
        collector.push("walker consent", data={"marketing": True}, connection=shop)


def test_row_of_another_program_gets_the_time_of_its_insertion(
    recorder: Recorder, collector: Collector, shop: "psycopg.Connection[Any]", place: Place
) -> None:
    body = b'{"name":"page view","user":{"id":"ines"}}'
    with closing(shop.cursor()) as cursor:
        cursor.execute(
            f"INSERT INTO {place.schema}.outbox (at, body) VALUES (1500000000000000, %s)", (body,)
        )
    assert reader(collector).take()
    ((_, _, at, stored_body),) = [
        entry.entry for entry in runtime_of(collector).spool.load("log", 0, 9)
    ]
    assert b'"timestamp":1500000000000' in stored_body
    assert at > 1_500_000_000_000
