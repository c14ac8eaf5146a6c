"""`walker serve` as a process of its own, with real sockets, signals and kills."""

import json
import os
import signal
import socket
import struct
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import trustme

from tests.core.cli_support import completed, spawned, to_server, walker, write_flow
from tests.core.cli_support import serving as receiving
from tests.core.sources.serve_support import (
    answer_of,
    delivered,
    ended,
    figures,
    flow_in,
    half_sent,
    post,
    serving,
)
from tests.forms import form
from tests.support import PATIENCE, wait_until

ALONE_OR_TOGETHER = pytest.mark.parametrize("workers", [1, 2])


def test_posted_event_is_delivered(tmp_path: Path) -> None:
    with serving(flow_in(tmp_path)) as (process, (url,)):
        status, answer = post(url, {"name": "page view", "user": {"id": "u1"}})
        assert (status, answer["success"]) == (200, True)
        wait_until(lambda: delivered(tmp_path) == [answer["id"]])
        assert ended(process) == 0


def test_answer_to_a_command_has_no_id(tmp_path: Path) -> None:
    command = {"name": "walker consent", "data": {"ads": True}, "user": {"session": "s1"}}
    with serving(flow_in(tmp_path)) as (process, (url,)):
        status, answer = post(url, command)
        assert (status, sorted(answer)) == (200, ["success", "timestamp"])
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


@ALONE_OR_TOGETHER
def test_sigterm_answers_all_that_is_in_flight(workers: int, tmp_path: Path) -> None:
    body = json.dumps({"name": "page view"}).encode()
    flow = flow_in(tmp_path)
    with serving(flow, "--port", 0, "--workers", workers) as (process, (url,)), ExitStack() as rest:
        connections = [rest.enter_context(half_sent(url, body)) for _ in range(50)]
        process.terminate()
        assert process.stderr is not None
        assert any("SIGTERM: stopping" in line for line in process.stderr)
        for connection in connections:
            connection.sendall(body[-1:])
        answers = [answer_of(connection) for connection in connections]
        assert process.wait(PATIENCE) == 0
    assert [status for status, _ in answers] == [200] * 50
    assert sorted(delivered(tmp_path)) == sorted(answer["id"] for _, answer in answers)


@ALONE_OR_TOGETHER
def test_request_sent_just_before_sigterm_is_answered(workers: int, tmp_path: Path) -> None:
    flow = flow_in(tmp_path)
    with serving(flow, "--port", 0, "--workers", workers) as (process, (url,)), ExitStack() as rest:
        connections = [rest.enter_context(half_sent(url, b"[]")) for _ in range(20)]
        for connection in connections:
            connection.sendall(b"]")
        process.terminate()
        assert [answer_of(connection)[0] for connection in connections] == [200] * 20
        assert process.wait(PATIENCE) == 0


@pytest.mark.long
@ALONE_OR_TOGETHER
def test_event_answered_before_a_kill_is_delivered_by_the_next_start(
    workers: int, tmp_path: Path
) -> None:
    flow, ids = flow_in(tmp_path), []
    options = ("--port", 0, "--workers", workers)
    for number in range(form(2, 1_000)):
        with serving(flow, *options) as (process, (url,)):
            status, answer = post(url, {"name": "page view"})
            time.sleep(number * 7 % 21 / 1000)  # 0 to 20 ms after the answer
            os.killpg(process.pid, signal.SIGKILL)  # the workers as well
            assert status == 200
            ids.append(answer["id"])
            process.wait(PATIENCE)
    with serving(flow, *options) as (process, _):
        wait_until(lambda: set(delivered(tmp_path)) >= set(ids))
        assert ended(process) == 0


@ALONE_OR_TOGETHER
def test_full_spool_refuses_and_loses_nothing_that_was_acknowledged(
    workers: int, tmp_path: Path
) -> None:
    with receiving(status=503) as service:
        flow = flow_in(tmp_path, spool={"path": "spool.db", "maxEvents": 30}, queueWait=1)
        raw = json.loads(flow.read_text())
        retry = {"attempts": 1_000_000, "base": 1, "cap": 5}
        out = to_server(service.url, retry=retry, breaker={"threshold": 1, "cooldown": 1})
        flow.write_text(json.dumps({**raw, "destinations": {"out": out}}))
        with serving(flow, "--port", 0, "--workers", workers) as (process, (url,)):
            ids = []
            for _ in range(40):
                status, answer = post(url, {"name": "page view"})
                if status != 200:
                    break
                ids.append(answer["id"])
            assert (status, len(ids)) == (429, 30)
            request = urllib.request.Request(url, b'[{"name": "page view"}, {"name": "cart add"}]')
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(request, timeout=PATIENCE)
            with refused.value as full:
                assert (full.code, full.headers["Retry-After"]) == (429, "1")
            service.status = 204
            wait_until(lambda: figures(url)["walker_destination_delivered_total"] == 30)
            assert {body["id"] for body in service.bodies} == set(ids)
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
    trustme.CA().cert_pem.write_to_path(tmp_path / "cert.pem")
    files = {"tlsCert": str(tmp_path / "cert.pem"), "tlsKey": "absent.pem"}
    flow = flow_in(tmp_path, {"web": {"package": "http", "config": {"settings": files}}})
    assert "settings.tlsKey: there is no such file" in walker("validate", flow, "--serve").stdout


def test_private_key_in_the_place_of_its_file_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "cert.pem")
    key = authority.private_key_pem.bytes().decode()
    monkeypatch.setenv("TLS_KEY", key)
    files = {"tlsCert": str(tmp_path / "cert.pem"), "tlsKey": "$env.TLS_KEY"}
    flow = flow_in(tmp_path, {"web": {"package": "http", "config": {"settings": files}}})
    for command in (("validate", flow, "--serve"), ("serve", flow)):
        done = walker(*command)
        told = done.stdout + done.stderr
        assert "must be the path of a file, not what it holds" in told
        assert key.splitlines()[1] not in told


def test_problems_beside_the_sources_name_the_file_and_the_remedy(tmp_path: Path) -> None:
    folder = tmp_path / "absent"
    web = {"web": {"package": "http", "config": {"settings": {"port": 0}}}}
    flow = flow_in(tmp_path, web, spool={"path": str(folder / "spool.db")})
    remedy = f"there is no folder {folder}; create it, or correct the path (line 1)"
    expected = f"Error: {flow}: 1 problem\n  collector.spool.path: {remedy}\n"
    assert walker("serve", flow).stderr == expected


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
        with half_sent(url, b'{"secret": 1}') as gone:
            gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        with half_sent(url, b"") as odd:
            odd.sendall(b"secret\0\r\n\r\n")
            while odd.recv(1_000):
                pass
        process.terminate()
        out, err = process.communicate(timeout=PATIENCE)
    assert "Traceback" not in out + err
    assert "secret" not in out + err
    assert "127.0.0.1" not in out + err
