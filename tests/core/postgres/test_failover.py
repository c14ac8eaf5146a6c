"""A failover to a standby: the url names both servers, and whichever takes writes is used."""

import json
import threading
from pathlib import Path

import psycopg
import pytest

from tests.postgres_server import (
    PASSWORD,
    SUPERUSER,
    PostgresServer,
    required_server,
    required_standby,
)
from tests.support import join, wait_until
from walker_collector import Collector
from walker_collector.errors import SpoolError
from walker_collector.spool.postgres import Place, open_spool

pytestmark = pytest.mark.services("PostgreSQL")
BEHIND = "SELECT 1 FROM pg_stat_replication WHERE replay_lsn < pg_current_wal_lsn()"


def push(collector: Collector, *numbers: int) -> None:
    for n in numbers:
        collector.push("page view", data={"n": n}, user={"id": "ines"})


def wait_for_standby(primary: PostgresServer) -> None:
    with psycopg.connect(primary.url("postgres"), autocommit=True) as connection:
        wait_until(lambda: not connection.execute(BEHIND).fetchall())


def test_events_go_to_the_standby_once_it_is_promoted(tmp_path: Path) -> None:
    out = tmp_path / "out.ndjson"
    file = {"settings": {"path": str(out)}, "data": {"map": {"n": "data.n"}}}
    with required_server() as one, required_standby(one) as two:
        with pytest.raises(SpoolError, match="read-only: give the url of the primary"):
            open_spool(Place(two.url("postgres")), wait=0.1)
        hosts = f"127.0.0.1:{one.port},127.0.0.1:{two.port}"
        url = (
            f"postgresql://{SUPERUSER}:{PASSWORD}@{hosts}/postgres?target_session_attrs=read-write"
        )
        flow = {
            "collector": {"spool": {"url": url}, "queueWait": 60_000},
            "destinations": {"log": {"package": "file", "config": file}},
        }
        with Collector.from_config(flow) as collector:
            push(collector, *range(10))
            assert collector.flush(20)
            wait_for_standby(one)
            one.stop("immediate")
            try:
                waiting = threading.Thread(target=push, args=(collector, *range(10, 20)))
                waiting.start()
                two.promote()
                join(waiting, timeout=60)
                assert collector.flush(20)
            finally:
                one.start()  # only to be stopped
    assert [json.loads(line)["n"] for line in out.read_text().splitlines()] == [*range(20)]
