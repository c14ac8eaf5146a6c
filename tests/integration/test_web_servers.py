"""Web servers with several workers and one spool: gunicorn and uvicorn, by real requests."""

import re
import signal
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import Popen
from typing import Any

import pytest
import requests
from attrs import define

from tests.forms import form
from tests.integration.ads import delivered, write_flow
from tests.integration.families import family
from tests.support import program, wait_until

GUNICORN = ("gunicorn", "tests.integration.web_shop:app", "--bind", "127.0.0.1:0", "--workers", "3")
SERVERS = {
    "gunicorn": GUNICORN,
    "gunicorn-preload": (*GUNICORN, "--preload"),
    "uvicorn": ("uvicorn", "tests.integration.web_shop:asgi", "--port", "0", "--workers", "4"),
}
SLOW = 60.0
"""Seconds for a server to start its workers, to answer, or to stop, while other tests run."""
servers = pytest.mark.parametrize("server", SERVERS)


@define
class Answer:
    """The worker that answered, and its result."""

    by: int
    result: Any


@define
class Web:
    """A running server."""

    process: "Popen[str]"
    url: str

    def push(self, person: str, n: int, but: tuple[int, ...] = ()) -> Answer:
        """Push an event, by a worker other than those of `but`."""
        return self._ask({"user": {"id": person}, "n": n, "marketing": None, "but": but})

    def consent(self, person: str, marketing: bool, but: tuple[int, ...] = ()) -> Answer:
        """Record what a person says, by a worker other than those of `but`."""
        return self._ask({"user": {"id": person}, "n": None, "marketing": marketing, "but": but})

    def _ask(self, body: dict[str, Any]) -> Answer:
        found: list[Answer] = []

        def answered() -> bool:
            response = requests.post(self.url, json=body, timeout=SLOW)
            response.raise_for_status()
            found.append(Answer(**response.json()))
            return found[-1].result is not None

        wait_until(answered, "an answer of another worker", SLOW)
        return found[-1]

    def stop(self) -> None:
        """Stop the server as an operator does, and wait until all its processes have ended."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(SLOW)


@contextmanager
def serving(folder: Path, *command: str, **collector: Any) -> Iterator[Web]:
    flow, log = write_flow(folder, **collector), folder / "log"
    with family(command, log, SHOP_FLOW=flow) as process:
        found: list[str] = []

        def listening() -> bool:
            assert process.poll() is None
            found[:] = re.findall(r"http://127.0.0.1:(\d+)", log.read_text("utf-8"))
            with suppress(ConnectionRefusedError):  # uvicorn names its port before it listens
                if found:
                    socket.create_connection(("127.0.0.1", int(found[0]))).close()
                    return True
            return False

        wait_until(listening, timeout=SLOW)
        yield Web(process, f"http://127.0.0.1:{found[0]}")


@servers
def test_what_one_worker_hears_of_consent_counts_for_the_events_of_all(
    server: str, tmp_path: Path
) -> None:
    with serving(tmp_path, *SERVERS[server]) as web:

        def visit(n: int) -> None:
            person, agrees = f"u{n}", n % 3 != 0
            first = web.push(person, 0)
            second = web.push(person, 1, but=(first.by,))
            said = web.consent(person, agrees, but=(second.by,))
            third = web.push(person, 2, but=(said.by,))
            assert (first.result, second.result) == ("held", "held")
            assert third.result == ("accepted" if agrees else "held")
            if n % 3 == 2:
                said = web.consent(person, False, but=(third.by,))
                assert web.push(person, 3, but=(said.by,)).result == "held"

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(visit, range(12)))
        web.stop()
    arrived = delivered(tmp_path)
    for n in range(12):
        found = arrived.get(f"u{n}", [])
        if n % 3 == 0:
            assert found == []
        elif n % 3 == 1:
            assert found == [0, 1, 2]
        else:  # those that still waited at the withdrawal are held
            assert found == list(range(len(found)))
            assert len(found) <= 3


@pytest.mark.long
@pytest.mark.parametrize("server", ["gunicorn", "gunicorn-preload"])
def test_workers_that_are_replaced_lose_nothing(server: str, tmp_path: Path) -> None:
    with serving(tmp_path, *SERVERS[server], "--max-requests", "20") as web:
        workers: set[int] = set()
        events = form(14, 300)

        def visit(person: int) -> None:
            workers.add(web.consent(f"u{person}", True).by)
            workers.update(web.push(f"u{person}", n).by for n in range(events))

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(visit, range(8)))
        web.stop()
        assert len(workers) > 3
        assert delivered(tmp_path) == {f"u{n}": list(range(events)) for n in range(8)}


@servers
def test_server_that_is_stopped_delivers_what_it_has_accepted(server: str, tmp_path: Path) -> None:
    with serving(tmp_path, *SERVERS[server]) as web:
        accepted: dict[str, list[int]] = {f"u{n}": [] for n in range(4)}
        for person in accepted:
            web.consent(person, True)

        def visit(person: str) -> None:
            while True:  # bounded: the server is stopped below
                n = len(accepted[person])
                try:
                    web.push(person, n)
                except requests.RequestException:
                    return
                accepted[person].append(n)

        with ThreadPoolExecutor(4) as pool:
            visits = [pool.submit(visit, person) for person in accepted]
            wait_until(lambda: all(len(found) > 10 for found in accepted.values()), timeout=SLOW)
            web.stop()
            for item in visits:
                item.result(20)
    arrived = delivered(tmp_path)
    for person, numbers in accepted.items():
        # The answer to the last event may have been lost on its way.
        assert arrived[person] in (numbers, [*numbers, len(numbers)])


@contextmanager
def delivering(folder: Path) -> Iterator["Popen[str]"]:
    command = [sys.executable, "-m", "walker_collector", "deliver", folder / "flow.json"]
    with (folder / "deliverer").open("w") as log, program(command, stderr=log) as process:
        yield process


def test_deliverer_of_web_workers_that_is_killed_is_replaced(tmp_path: Path) -> None:
    with serving(tmp_path, *GUNICORN, deliver=False) as web:
        web.consent("u1", True)

        def push_and_wait(until: int) -> None:
            """Push one event more; wait until all are delivered, though maybe twice."""
            assert web.push("u1", until).result == "accepted"
            expected = list(range(until + 1))
            wait_until(
                lambda: list(dict.fromkeys(delivered(tmp_path).get("u1", []))) == expected,
                timeout=SLOW,
            )

        web.push("u1", 0)
        with delivering(tmp_path) as first:
            push_and_wait(1)
            first.kill()
            first.wait(20)
        web.push("u1", 2)
        with delivering(tmp_path) as second:
            push_and_wait(3)
            second.send_signal(signal.SIGTERM)
            assert second.wait(20) == 0
        web.stop()
