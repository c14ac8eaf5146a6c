"""`walker run --workers` on a spool in PostgreSQL, killed in the middle."""

import os
import signal
from pathlib import Path

import pytest

from tests.core.cli_support import (
    assert_in_order_and_complete,
    children,
    completed,
    gone,
    many_events,
    serving,
    spawned,
    to_server,
    until_some_came,
    write_flow,
)
from tests.support import wait_until
from walker_collector.spool.postgres import Place


@pytest.mark.parametrize("killed", ["worker", "run"])
def test_run_with_workers_loses_and_doubles_nothing_when_one_is_killed(
    killed: str, place: Place, tmp_path: Path
) -> None:
    with serving() as server:
        spool = {"url": place.url, "schema": place.schema}
        flow = write_flow(tmp_path, {"out": to_server(server.url)}, spool=spool)
        events = many_events(tmp_path, 200)
        arguments = ("run", str(flow), str(events), "--resume", "--workers", "2")
        with spawned(*arguments) as process:
            until_some_came(server, 20)
            workers = children(process.pid)
            os.kill(workers[0] if killed == "worker" else process.pid, signal.SIGKILL)
            process.communicate(timeout=60)
            wait_until(gone(workers))
        assert process.returncode == (0 if killed == "worker" else -signal.SIGKILL)
        rest = completed(*arguments)
        assert rest.returncode == 0, rest.stderr
    assert_in_order_and_complete(server.bodies, 200)
