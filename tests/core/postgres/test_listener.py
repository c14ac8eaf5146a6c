"""News of other processes, and the connections that they come by."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import psycopg
import pytest

from tests.core.spool_contract.engines import Process
from tests.support import wait_until
from walker_collector.errors import SpoolError
from walker_collector.spool import Deliveries
from walker_collector.spool.postgres import Place, listener, open_spool

LONG = 1_000.0
SESSIONS = b"SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'walker-collector %'"

Opens = Callable[[], Process]


@pytest.fixture
def opens(place: Place) -> Iterator[Opens]:
    with ExitStack() as open_ones:

        def opened() -> Process:
            process = Process(open_spool(place, shards=1))
            open_ones.callback(process.close)
            return process

        yield opened


def test_notification_tells_at_once(opens: Opens, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "_LISTENING", LONG)
    process, other = opens(), opens()
    process.deliver("crm")
    wait_until(lambda: other.accept("id:a") and process.changes)  # it may not listen yet
    before = process.changes
    wait_until(lambda: other.accept("id:a") and process.changes > before)


@pytest.mark.parametrize(("destinations", "sessions"), [(["crm"], 3), ([], 1)])
def test_commits_are_noticed_without_notifications(
    destinations: list[str], sessions: int, opens: Opens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "channel_of", lambda schema: "elsewhere")
    process, other = opens(), opens()
    process.deliver(*destinations)
    other.accept("id:a")
    wait_until(lambda: process.changes)
    with psycopg.connect(process.spool.place.url, autocommit=True) as connection:
        ((found,),) = connection.execute(SESSIONS).fetchall()
    assert found == sessions + 1  # the other has one


def test_news_that_could_not_be_taken_are_told_again(
    opens: Opens, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(listener, "_LISTENING", 0.05)
    process, other = opens(), opens()
    told: list[None] = []

    def on_change() -> None:
        told.append(None)
        if len(told) < 3:
            raise SpoolError("no answer")

    membership = process.spool.join(
        [], Deliveries(lambda lease: None, lambda lease: True), lambda: None, on_change
    )
    membership.start()
    other.accept("id:a")
    wait_until(lambda: len(told) == 3)
    membership.close()
    assert caplog.text.count("no answer") == 1
