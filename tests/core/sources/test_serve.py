"""`walker serve` as a process of its own, with real sockets, signals and kills."""

import json
import socket
import struct
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.core.cli_support import completed, spawned, walker, write_flow
from tests.forms import form
from tests.support import PATIENCE, wait_until

OUT = {"package": "file", "config": {"settings": {"path": "out.ndjson"}}}


def flow_in(folder: Path, sources: Any = None, **collector: Any) -> Path:
    collector = {"spool": {"path": "spool.db"}, **collector}
    flow = write_flow(folder, {"out": OUT}, **collector)
    raw = json.loads(flow.read_text())
    flow.write_text(json.dumps({**raw, "sources": sources or {}}))
    return flow


@contextmanager
def serving(
    flow: Path, *options: object, sources: int = 1, verbose: Sequence[str] = ()
) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """Serve a flow; yield the process and the URL of each source."""
    command = [*verbose, "serve", flow, *(options or ("--port", 0))]
    with spawned(*command, cwd=flow.parent) as process:
        assert process.stderr is not None
        urls: list[str] = []
        lines: list[str] = []
        while len(urls) < sources:
            line = process.stderr.readline()
            assert line, "".join(lines)
            lines.append(line)
            if "http://" in line:
                urls.append(line[line.index("http://") :].strip())
        yield process, urls


def post(url: str, body: Any, **headers: str) -> tuple[int, Any]:
    """Post JSON; return the status and the answer."""
    headers = {"Content-Type": "application/json", **headers}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


def delivered(folder: Path) -> list[str]:
    """Return the ids of the events in the file of the destination."""
    file = folder / "out.ndjson"
    return (
        [json.loads(line)["id"] for line in file.read_text().splitlines()] if file.exists() else []
    )


def ended(process: subprocess.Popen[str]) -> int:
    """Send SIGTERM; return the exit status."""
    process.terminate()
    return process.wait(PATIENCE)


def test_posted_event_is_delivered(tmp_path: Path) -> None:
    with serving(flow_in(tmp_path)) as (process, (url,)):
        status, answer = post(url, {"name": "page view", "user": {"id": "u1"}})
        assert (status, answer["success"]) == (200, True)
        wait_until(lambda: delivered(tmp_path) == [answer["id"]])
        assert ended(process) == 0


def test_flow_with_sources_starts_each_with_its_own_steps(tmp_path: Path) -> None:
    policy = {"data.door": {"value": "express"}}
    sources = {
        "a": {
            "package": "@walkeros/server-source-express",
            "config": {"settings": {"port": 0, "path": "/in"}, "policy": policy},
        },
        "b": {"package": "http", "config": {"settings": {"port": 0}}},
        "c": {"package": "not-installed", "disabled": True},
    }
    flow = flow_in(tmp_path, sources)
    with serving(flow, "--flow", "default", sources=2) as (process, urls):
        for url in urls:
            assert post(url, {"name": "page view"})[0] == 200
        assert {urlsplit(url).path for url in urls} == {"/in", "/collect"}
        assert ended(process) == 0
    lines = (tmp_path / "out.ndjson").read_text().splitlines()
    assert sorted(json.loads(line)["data"].get("door", "") for line in lines) == ["", "express"]


def test_address_of_the_command_goes_before_that_of_the_flow(tmp_path: Path) -> None:
    source = {"web": {"package": "http", "config": {"settings": {"port": 1, "host": "nowhere"}}}}
    flow = flow_in(tmp_path, source)
    with serving(flow, "--port", 0, "--host", "localhost") as (process, (url,)):
        assert post(url, {"name": "page view"})[0] == 200
        assert ended(process) == 0


def _half_sent(url: str, body: bytes) -> socket.socket:
    """Open a connection, and send a request without the last byte of its body."""
    parts = urlsplit(url)
    connection = socket.create_connection((parts.hostname, parts.port or 0), timeout=PATIENCE)
    head = (
        f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    connection.sendall(head.encode() + body[:-1])
    return connection


def test_sigterm_answers_all_that_is_in_flight(tmp_path: Path) -> None:
    body = json.dumps({"name": "page view"}).encode()
    answers = []
    with serving(flow_in(tmp_path)) as (process, (url,)), ExitStack() as stack:
        connections = [stack.enter_context(_half_sent(url, body)) for _ in range(50)]
        process.terminate()
        assert process.stderr is not None
        assert "SIGTERM: stopping" in process.stderr.readline()
        for connection in connections:
            connection.sendall(body[-1:])
        for connection in connections:
            with connection.makefile("rb") as answer:
                answers.append(answer.read())  # to its end: the server closes the connection
        assert process.wait(PATIENCE) == 0
    assert [answer.split(b" ")[1] for answer in answers] == [b"200"] * 50
    ids = [json.loads(answer.partition(b"\r\n\r\n")[2])["id"] for answer in answers]
    assert sorted(delivered(tmp_path)) == sorted(ids)


def test_request_sent_just_before_sigterm_is_answered(tmp_path: Path) -> None:
    with serving(flow_in(tmp_path)) as (process, (url,)), ExitStack() as stack:
        connections = [stack.enter_context(_half_sent(url, b"[]")) for _ in range(20)]
        for connection in connections:
            connection.sendall(b"]")
        process.terminate()
        for connection in connections:
            with connection.makefile("rb") as answer:
                assert b" 200 OK" in answer.readline()
        assert process.wait(PATIENCE) == 0


@pytest.mark.long
def test_event_answered_before_a_kill_is_delivered_by_the_next_start(tmp_path: Path) -> None:
    flow, ids = flow_in(tmp_path), []
    for number in range(form(3, 1_000)):
        with serving(flow) as (process, (url,)):
            status, answer = post(url, {"name": "page view"})
            time.sleep(number * 7 % 21 / 1000)  # 0 to 20 ms after the answer
            process.kill()
            assert status == 200
            ids.append(answer["id"])
            process.wait(PATIENCE)
    with serving(flow) as (process, _):
        wait_until(lambda: set(delivered(tmp_path)) >= set(ids))
        assert ended(process) == 0


def test_port_that_is_taken_is_an_error_with_its_address(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = completed("serve", flow_in(tmp_path), "--port", port, cwd=tmp_path)
    assert done.returncode == 1
    assert f"source http: cannot listen on 127.0.0.1:{port}: Address already in use" in done.stderr
    assert "Traceback" not in done.stderr


def test_server_that_is_not_installed_is_an_error_with_the_extra(tmp_path: Path) -> None:
    (tmp_path / "uvicorn.py").write_text("raise ModuleNotFoundError('no', name='uvicorn')")
    done = completed(
        "serve", flow_in(tmp_path), "--port", 0, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path)}
    )
    assert done.returncode == 1
    assert "the server needs uvicorn: pip install 'walker-collector[serve]'" in done.stderr


def test_start_names_the_rules_that_anybody_can_reach(tmp_path: Path) -> None:
    crm = {
        "package": "customerio",
        "config": {
            "settings": {"siteId": "s", "apiKey": "k", "trackUrl": "https://127.0.0.1:1"},
            "mapping": {"account": {"leave": {"settings": {"destroy": True}}}},
        },
    }
    flow = write_flow(tmp_path, {"crm": crm})
    with spawned("serve", flow, "--port", 0, cwd=tmp_path) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert "sources.http: anybody can send events" in line
        assert "destinations.crm.config.mapping.account.leave (destroy)" in line
        assert "http://" in process.stderr.readline()
        assert ended(process) == 0


def test_bad_settings_are_problems_with_their_places(tmp_path: Path) -> None:
    settings = {"port": 99_999, "prot": 1}
    flow = flow_in(tmp_path, {"web": {"package": "http", "config": {"settings": settings}}})
    done = walker("serve", flow)
    assert done.exit_code == 1
    assert "sources.web.config.settings.port: must be between 0 and 65,535" in done.stderr
    assert "sources.web.config.settings.prot: unknown key; did you mean port?" in done.stderr
    flow = flow_in(tmp_path, {"web": {"package": "http", "config": {"settings": {"tlsKey": "k"}}}})
    assert "settings: tlsCert and tlsKey belong together" in walker("serve", flow).stderr
    flow = flow_in(
        tmp_path, {"web": {"package": "http", "config": {"settings": {"proxies": ["nginx"]}}}}
    )
    assert "settings.proxies: 'nginx' is no address" in walker("serve", flow).stderr
    files = {"tlsCert": "absent.pem", "tlsKey": "absent.pem"}
    flow = flow_in(tmp_path, {"web": {"package": "http", "config": {"settings": files}}})
    assert "settings.tlsCert: there is no such file" in walker("serve", flow).stderr


def test_source_that_is_not_installed_is_an_error(tmp_path: Path) -> None:
    done = walker("serve", flow_in(tmp_path, {"web": {"package": "nowhere"}}))
    assert done.exit_code == 1
    assert "sources.web.package: no source plugin named nowhere is installed" in done.stderr


def test_port_for_several_sources_is_an_error(tmp_path: Path) -> None:
    one = {"package": "http", "config": {"settings": {"port": 0}}}
    done = walker("serve", flow_in(tmp_path, {"a": one, "b": one}), "--port", 80)
    assert done.exit_code == 2
    assert "one source that listens; it has: a, b" in done.stderr


@pytest.mark.parametrize("verbose", [(), ("-v", "-v")], ids=["usual", "verbose"])
def test_nothing_of_a_request_is_logged(tmp_path: Path, verbose: Sequence[str]) -> None:
    with serving(flow_in(tmp_path), verbose=verbose) as (process, (url,)):
        query = "?name=page+view&user[email]=secret@example.com"
        with urllib.request.urlopen(url + query, timeout=PATIENCE) as response:
            assert response.headers["Content-Type"] == "image/gif"
        assert post(url, {"name": "secret"})[0] == 400
        assert post(url, {"name": "page view"}, X_Forwarded_For="secret")[0] == 200
        with _half_sent(url, b'{"secret": 1}') as gone:
            gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with _half_sent(url, b"") as odd:
            odd.sendall(b"secret\0\r\n\r\n")
            while odd.recv(1_000):
                pass
        process.terminate()
        out, err = process.communicate(timeout=PATIENCE)
    assert "Traceback" not in out + err
    assert "secret" not in out + err
    assert "127.0.0.1" not in out + err
