"""`walker serve --workers`: several processes at one address, with one spool."""

import json
import os
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.core.cli_support import completed, event, to_server, walker, write_events
from tests.core.cli_support import serving as receiving
from tests.core.sources.serve_support import (
    answer_of,
    delivered,
    ended,
    figures,
    flow_in,
    half_sent,
    is_running,
    post,
    serving,
    workers_of,
)
from tests.support import PATIENCE, wait_until
from walker_collector.cli.board import Board
from walker_collector.cli.prefork import Worker

TOGETHER = ("--port", 0, "--workers", 2)
PAGE = {"name": "page view"}
BODY = json.dumps(PAGE).encode()


@contextmanager
def connected_to_each(url: str, pids: list[int]) -> Iterator[dict[int, HTTPConnection]]:
    """Open connections until each worker has accepted one; yield one of each worker's."""
    if not Path("/proc/self/fd").exists():
        pytest.skip("only Linux shows open files so")
    found: dict[int, HTTPConnection] = {}
    with ExitStack() as opened:

        def connect() -> bool:
            before = {pid: sockets_of(pid) for pid in pids}
            connection = opened.enter_context(
                closing(HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE))
            )
            connection.request("GET", "/health")  # of idle workers the same one would take all
            assert connection.getresponse().read()
            found.update((pid, connection) for pid in pids if sockets_of(pid) - before[pid])
            return len(found) == len(pids)

        wait_until(connect)
        yield found


def sockets_of(pid: int) -> set[str]:
    """Return the open sockets of a process. An earlier one may close while a new one is opened."""
    found = set()
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed by now
            found.add(os.readlink(file))
    return {name for name in found if name.startswith("socket:")}


def accepted(connection: HTTPConnection) -> float:
    """Return how many events were accepted, as `/metrics` tells it on a connection."""
    connection.request("GET", "/metrics")
    page = connection.getresponse().read().decode()
    found = re.search(r"^walker_events_accepted_total\S* (\S+)$", page, re.MULTILINE)
    return float(found[1]) if found else 0


def test_each_worker_takes_events_and_tells_the_figures_of_all(tmp_path: Path) -> None:
    with serving(flow_in(tmp_path), *TOGETHER) as (process, (url,)):
        with connected_to_each(url, workers_of(process)) as connections:
            ids = []
            for connection, count in zip(connections.values(), (3, 2), strict=True):
                for _ in range(count):
                    connection.request("POST", "/collect", BODY)
                    ids.append(json.loads(connection.getresponse().read())["id"])
            wait_until(lambda: sorted(delivered(tmp_path)) == sorted(ids))
            assert [accepted(connection) for connection in connections.values()] == [5, 5]
            found = figures(url)
            assert found["walker_events_accepted_total"] == 5
            assert found["walker_http_requests_total"] >= 7
            assert found["walker_destination_delivered_total"] == 5
            assert found["walker_destination_waiting"] == 0
        assert ended(process) == 0


def test_figures_of_a_worker_that_hangs_are_the_last_ones(tmp_path: Path) -> None:
    with serving(flow_in(tmp_path), *TOGETHER) as (process, (url,)):
        with connected_to_each(url, workers_of(process)) as connections:
            (_, one), (hangs, other) = connections.items()
            other.request("POST", "/collect", BODY)
            assert other.getresponse().read()
            assert accepted(one) == 1
            os.kill(hangs, signal.SIGSTOP)
            try:
                assert accepted(one) == 1
            finally:
                os.kill(hangs, signal.SIGCONT)
        assert ended(process) == 0


def test_start_tells_each_source_once_and_the_workers(tmp_path: Path) -> None:
    source = {"package": "http", "config": {"settings": {"port": 0}}}
    flow = flow_in(tmp_path, {"a": source, "b": source})
    with serving(flow, "--workers", 2, sources=2) as (process, _):
        pids = workers_of(process)
        process.terminate()
        out, err = process.communicate(timeout=PATIENCE)
    assert (out, len(pids)) == ("", 2)
    assert err == "SIGTERM: stopping; the same signal again ends at once.\n"


def test_killed_worker_is_replaced_and_no_figure_goes_down(tmp_path: Path) -> None:
    with serving(flow_in(tmp_path), *TOGETHER) as (process, (url,)):
        assert process.stderr is not None
        ids, pids = [], []
        for pid in workers_of(process):
            ids.append(post(url, PAGE)[1]["id"])
            assert figures(url)["walker_events_accepted_total"] == len(ids)
            os.kill(pid, signal.SIGKILL)
            line = process.stderr.readline()
            found = re.fullmatch(
                rf"worker {pid} was ended by SIGKILL; (\d+) takes its place\n", line
            )
            assert found, line
            pids.append(int(found[1]))
            assert figures(url)["walker_events_accepted_total"] == len(ids)
        with connected_to_each(url, pids) as connections:
            assert [accepted(connection) for connection in connections.values()] == [2, 2]
        # An event whose delivery the kill came into is delivered again, under the same id.
        wait_until(lambda: set(delivered(tmp_path)) == set(ids))
        assert ended(process) == 0


def test_worker_that_is_told_to_stop_answers_and_is_replaced(tmp_path: Path) -> None:
    with serving(flow_in(tmp_path), *TOGETHER) as (process, (url,)), ExitStack() as rest:
        assert process.stderr is not None
        connections = [rest.enter_context(half_sent(url, BODY)) for _ in range(10)]
        for pid in workers_of(process):
            os.kill(pid, signal.SIGTERM)
        for connection in connections:
            connection.sendall(BODY[-1:])
        assert {answer_of(connection)[0] for connection in connections} == {200}
        for _ in range(2):
            assert "has ended with exit status 0; " in process.stderr.readline()
        assert post(url, PAGE)[0] == 200
        assert ended(process) == 0


def test_workers_that_end_again_and_again_end_the_server(tmp_path: Path) -> None:
    with serving(flow_in(tmp_path), *TOGETHER) as (process, _):
        assert process.stderr is not None
        pid, other = workers_of(process)
        for _ in range(5):
            os.kill(pid, signal.SIGKILL)
            line = process.stderr.readline()
            pid = int(line.split()[-4]) if "takes its place" in line else 0
        assert line.endswith("was ended by SIGKILL, the 5th in its place within 60 s\n"), line
        assert process.wait(PATIENCE) == 1
        assert not is_running(other)


def test_interrupt_of_the_whole_group_answers_all_that_is_in_flight(tmp_path: Path) -> None:
    with serving(flow_in(tmp_path), *TOGETHER) as (process, (url,)), ExitStack() as rest:
        workers_of(process)
        connections = [rest.enter_context(half_sent(url, BODY)) for _ in range(50)]
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        for connection in connections:
            connection.sendall(BODY[-1:])
        assert {answer_of(connection)[0] for connection in connections} == {200}
        assert process.wait(PATIENCE) == 0
    assert len(delivered(tmp_path)) == 50


def test_events_that_wait_at_the_stop_are_delivered_by_the_last_worker(tmp_path: Path) -> None:
    events = [{**PAGE, "user": {"id": f"u{n}"}} for n in range(500)]
    with receiving() as service:
        out = {"out": to_server(service.url)}
        flow = flow_in(tmp_path, closeTimeout=20_000)
        flow.write_text(json.dumps({**json.loads(flow.read_text()), "destinations": out}))
        with serving(flow, *TOGETHER) as (process, (url,)):
            workers_of(process)
            answers = [post(url, events) for _ in range(2)]
            assert ended(process) == 0
        ids = [id_ for _, answer in answers for id_ in answer["ids"]]
        assert len(ids) == 1_000
        assert sorted(body["id"] for body in service.bodies) == sorted(ids)


def test_second_signal_ends_all_at_once(tmp_path: Path) -> None:
    flow = flow_in(tmp_path, closeTimeout=60_000)
    with serving(flow, *TOGETHER) as (process, (url,)), ExitStack() as rest:
        pids = workers_of(process)
        for _ in range(10):  # for which the workers wait
            rest.enter_context(half_sent(url, BODY))
        process.terminate()
        assert process.stderr is not None
        assert "SIGTERM: stopping" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 130
        wait_until(lambda: not any(is_running(pid) for pid in pids))


def test_workers_of_a_server_that_was_killed_answer_and_end(tmp_path: Path) -> None:
    flow = flow_in(tmp_path)
    with serving(flow, *TOGETHER) as (process, (url,)), ExitStack() as rest:
        pids = workers_of(process)
        connections = [rest.enter_context(half_sent(url, BODY)) for _ in range(10)]
        process.kill()
        for connection in connections:
            connection.sendall(BODY[-1:])
        assert {answer_of(connection)[0] for connection in connections} == {200}
        wait_until(lambda: not any(is_running(pid) for pid in pids))
    assert len(delivered(tmp_path)) == 10
    parts = urlsplit(url)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((parts.hostname, parts.port or 0), timeout=PATIENCE)


def test_source_without_a_socket_runs_in_one_of_the_workers(tmp_path: Path) -> None:
    events = write_events(tmp_path, *(event(n) for n in range(5)))
    sources = {
        "web": {"package": "http", "config": {"settings": {"port": 0}}},
        "lines": {"package": "file", "config": {"settings": {"path": str(events)}}},
    }
    with serving(flow_in(tmp_path, sources), "--workers", 2) as (process, (url,)):
        workers_of(process)
        assert post(url, PAGE)[0] == 200
        wait_until(lambda: len(delivered(tmp_path)) >= 6)
        assert figures(url)["walker_events_accepted_total"] == 6
        assert ended(process) == 0
    assert len(delivered(tmp_path)) == 6


def test_what_is_wrong_with_a_flow_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "uvicorn.py").write_text("raise ModuleNotFoundError('no', name='uvicorn')")
    flow = flow_in(tmp_path)
    done = completed("serve", flow, *TOGETHER, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 1
    assert done.stderr.count("Error: source http: the server needs uvicorn") == 1
    (tmp_path / "spool.db").unlink()
    (tmp_path / "spool.db").mkdir()
    done = completed("serve", flow, *TOGETHER, cwd=tmp_path)
    assert done.returncode == 1
    assert (done.stderr.count("Error"), "Traceback" in done.stderr) == (1, False)


def test_workers_need_a_spool(tmp_path: Path) -> None:
    done = walker("serve", flow_in(tmp_path, spool=None), *TOGETHER)
    assert done.exit_code == 2
    assert "--workers 2 needs a spool that the processes share" in done.stderr


def test_all_that_workers_lack_is_told_at_once(tmp_path: Path) -> None:
    lines = {"package": "file", "config": {"settings": {"path": "-"}}}
    done = walker("serve", flow_in(tmp_path, {"lines": lines}, spool=None), "--workers", 2)
    assert done.exit_code == 2
    assert "needs a spool that the processes share" in done.stderr
    assert "is for sources that workers can share; there are only: lines" in done.stderr


def test_worker_copies_its_counts_though_nobody_asks() -> None:
    board = Board(1)
    read_end, write_end = os.pipe()  # its other end, which only the parent has, is open
    with open(read_end, "rb"), open(write_end, "wb"):
        worker = Worker(0, True, board, read_end)
        figures = worker.figures(lambda: None)
        for count in (1, 2):
            figures.add(("accepted", "web"))
            copied = {("accepted", "web"): count}
            wait_until(lambda copied=copied: worker.wait(figures) and board.read(0) == copied)
    assert Worker(0, False, board, -1).figures(lambda: None).own() == {("accepted", "web"): 2}


def test_workers_need_a_source_that_listens(tmp_path: Path) -> None:
    events = write_events(tmp_path, PAGE)
    lines = {"package": "file", "config": {"settings": {"path": str(events)}}}
    done = walker("serve", flow_in(tmp_path, {"lines": lines}), "--workers", 2)
    assert done.exit_code == 2
    assert "--workers 2 is for sources that workers can share; there are only: lines" in done.stderr
