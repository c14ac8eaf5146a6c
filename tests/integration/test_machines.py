"""A spool in PostgreSQL: any of its processes may end, and the server as well."""

import random
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from subprocess import PIPE

import psycopg
import pytest
from attrs import Factory, define

from tests.emulator import Emulator
from tests.emulator.arrivals import doubles, inversions, numbers
from tests.forms import form
from tests.integration.storm import PACE, Storm
from tests.integration.test_processes import write_flow
from tests.postgres_server import PostgresServer, required_server
from tests.support import ROOT, program

pytestmark = pytest.mark.services("PostgreSQL")


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """A server of the test's own, to be stopped and started."""
    with required_server() as started:
        yield started


@define(eq=False)
class Outages(Storm):
    """Kills processes, stops them for a moment, and restarts the server."""

    server: PostgresServer = Factory(lambda: NotImplemented)
    chance: random.Random = Factory(lambda: random.Random(1))

    def _kill(self, struck: int) -> None:
        worker = self.chance.choice([*self._workers.values()])
        if struck % 3 == 0:
            self.server.stop("immediate" if struck % 2 else "fast")
            self.server.start()
        elif struck % 3 == 1:
            worker.process.send_signal(signal.SIGSTOP)
            self._pause.wait(PACE / 2)
            worker.process.send_signal(signal.SIGCONT)
        else:
            worker.kill()


@contextmanager
def deliverers(flow: Path, count: int) -> Iterator[None]:
    """Run `walker deliver` in so many processes on the side."""
    command = [sys.executable, "-m", "walker_collector", "deliver", str(flow)]
    with ExitStack() as stack:
        for _ in range(count):
            started = stack.enter_context(program(command, 3_000, cwd=ROOT, stderr=PIPE, text=True))
            stack.callback(started.send_signal, signal.SIGTERM)
        yield


@pytest.mark.long
def test_ends_of_processes_and_of_the_server_lose_double_and_reorder_nothing(
    tmp_path: Path, server: PostgresServer
) -> None:
    with Emulator(tmp_path) as emulator:
        flow = write_flow(tmp_path, emulator.settings(), spool={"url": server.url("postgres")})
        with deliverers(flow, 2):
            storm = Outages(
                flow,
                emulator,
                events=form(2_000, 50_000),
                people=form(100, 1_000),
                kills=form(4, 30),
                server=server,
            )
            storm.run(3)
    assert emulator.violations == []
    assert storm.accepted - numbers(emulator.accepted) == set()
    assert doubles(emulator.accepted) == []
    assert inversions(emulator.accepted) == []
    assert rows(server) == {"events": 0, "deliveries": 0}


def rows(server: PostgresServer) -> dict[str, int]:
    """Return the number of rows that are left."""
    with psycopg.connect(server.url("postgres"), autocommit=True) as db:
        return {
            name: db.execute(f"SELECT count(*) FROM walker.{name}".encode()).fetchall()[0][0]
            for name in ("events", "deliveries")
        }
