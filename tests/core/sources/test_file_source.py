"""The source `file`: `walker serve` with real files, named pipes and stdin."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.core.cli_support import completed, spawned, write_events, write_flow
from tests.support import PATIENCE, wait_until
from walker_collector import ConfigError
from walker_collector.flow import load_flow

OUT = {"package": "file", "config": {"settings": {"path": "out.ndjson"}}}


def flow_in(folder: Path, path: object, **config: Any) -> Path:
    flow = write_flow(folder, {"out": OUT})
    source = {"package": "file", "config": {"settings": {"path": str(path)}, **config}}
    flow.write_text(json.dumps({**json.loads(flow.read_text()), "sources": {"lines": source}}))
    return flow


def delivered(folder: Path) -> list[str]:
    file = folder / "out.ndjson"
    lines = file.read_text().splitlines() if file.exists() else []
    return [json.loads(line)["id"] for line in lines]


def event(id: str, name: str = "page view") -> dict[str, Any]:
    return {"name": name, "id": id}


def line(id: str) -> bytes:
    return json.dumps(event(id)).encode() + b"\n"


def test_file_is_read_to_its_end_and_serving_ends_with_it(tmp_path: Path) -> None:
    events = write_events(tmp_path, *(event(f"e{n}") for n in range(1_200)))
    done = completed("serve", flow_in(tmp_path, events), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, f"lines: {events}\n")
    assert delivered(tmp_path) == [f"e{n}" for n in range(1_200)]


def test_bad_line_is_reported_with_its_number_and_the_rest_goes_on(tmp_path: Path) -> None:
    grant = {"name": "walker consent", "data": {"marketing": True}, "user": {"id": "u1"}}
    lines = (event("e1"), '{"name": ', {"name": "cart"}, grant, "", event("e2"))
    events = write_events(tmp_path, *lines)
    done = completed("serve", flow_in(tmp_path, events), cwd=tmp_path)
    assert done.returncode == 0
    assert delivered(tmp_path) == ["e1", "e2"]
    assert f"warning: {events}: line 2: not JSON" in done.stderr
    assert f"warning: {events}: line 3: event name 'cart'" in done.stderr
    assert "2 of 5 lines bad" in done.stderr


def test_events_of_a_file_pass_the_steps_of_their_source(tmp_path: Path) -> None:
    flow = flow_in(
        tmp_path,
        write_events(tmp_path, event("e1"), event("e2", name="debug print")),
        policy={"data.read": {"value": True}},
        mapping={"debug": {"*": {"ignore": True}}},
    )
    assert completed("serve", flow, cwd=tmp_path).returncode == 0
    (only,) = (tmp_path / "out.ndjson").read_text().splitlines()
    assert json.loads(only)["data"]["read"] is True


def test_stdin_is_a_file_named_dash(tmp_path: Path) -> None:
    flow = flow_in(tmp_path, "-")
    done = completed("serve", flow, cwd=tmp_path, input=line("e1").decode() + '{"name": "a b"}')
    assert (done.returncode, done.stderr) == (0, "lines: stdin\n")
    assert len(delivered(tmp_path)) == 2


@pytest.mark.parametrize("way", ["a named pipe", "stdin"])
def test_pipe_is_read_as_it_comes_and_a_signal_ends_the_wait(tmp_path: Path, way: str) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    flow = flow_in(tmp_path, pipe if way == "a named pipe" else "-")
    with spawned("serve", flow, cwd=tmp_path) as process:
        assert process.stderr
        assert process.stdin
        assert process.stderr.readline().startswith("lines: ")
        with open(pipe if way == "a named pipe" else os.dup(process.stdin.fileno()), "wb", 0) as to:
            for id in ("e1", "e2"):
                to.write(line(id))
                wait_until(lambda id=id: id in delivered(tmp_path))  # type: ignore[misc]  # bound now
            to.write(b'{"name": "page vi')  # somebody is writing
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE) == 0
        assert "not JSON" not in process.stderr.read()
    assert delivered(tmp_path) == ["e1", "e2"]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("absent.ndjson", "absent.ndjson: No such file or directory (settings.path)"),
        ("folder", "folder: Is a directory (settings.path)"),
    ],
)
def test_file_that_cannot_be_read_ends_with_an_error(
    tmp_path: Path, path: str, message: str
) -> None:
    (tmp_path / "folder").mkdir()
    done = completed("serve", flow_in(tmp_path, path), cwd=tmp_path)
    assert done.returncode == 1
    assert message in done.stderr


def test_damaged_compressed_file_ends_with_an_error(tmp_path: Path) -> None:
    (tmp_path / "events.gz").write_bytes(b"\x1f\x8b and more\n")
    done = completed("serve", flow_in(tmp_path, "events.gz"), cwd=tmp_path)
    assert done.returncode == 1
    assert "the file, compressed by gzip, is damaged" in done.stderr


def test_line_is_as_long_as_an_event_of_the_flow_may_be(tmp_path: Path) -> None:
    long = {**event("e1"), "data": {"text": "x" * 1_500_000}}
    flow = flow_in(tmp_path, write_events(tmp_path, long))
    raw = json.loads(flow.read_text())
    flow.write_text(json.dumps({**raw, "collector": {"maxBytes": 2_000_000}}))
    assert completed("serve", flow, cwd=tmp_path).returncode == 0
    assert delivered(tmp_path) == ["e1"]


@pytest.mark.parametrize("path", ["", "folder/"])
def test_path_must_name_a_file(path: str) -> None:
    source = {"package": "file", "config": {"settings": {"path": path}}}
    with pytest.raises(ConfigError, match=r"sources\.a\.config\.settings\.path"):
        load_flow({"destinations": {}, "sources": {"a": source}}, serve=True)
