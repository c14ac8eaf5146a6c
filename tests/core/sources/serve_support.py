"""`walker serve` in tests: a process of its own that takes events over HTTP."""

import json
import os
import re
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from prometheus_client.parser import text_string_to_metric_families

from tests.core.cli_support import spawned, write_flow
from tests.support import PATIENCE

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
    with spawned(*command, cwd=flow.parent, start_new_session=True) as process:
        assert process.stderr is not None
        urls: list[str] = []
        lines: list[str] = []
        while len(urls) < sources:
            line = process.stderr.readline()
            assert line, "".join(lines)
            lines.append(line)
            if found := re.search(r"https?://\S+", line):
                urls.append(found[0])
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


def half_sent(url: str, body: bytes) -> socket.socket:
    """Open a connection, and send a request without the last byte of its body."""
    parts = urlsplit(url)
    connection = socket.create_connection((parts.hostname, parts.port or 0), timeout=PATIENCE)
    head = (
        f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    connection.sendall(head.encode() + body[:-1])
    return connection


def answer_of(connection: socket.socket) -> tuple[int, Any]:
    """Return the status and the body of the one answer that comes on a connection, to its end."""
    with connection.makefile("rb") as stream:
        head, _, body = stream.read().partition(b"\r\n\r\n")
    assert head, "the connection was closed without an answer"
    return int(head.split(b" ")[1]), json.loads(body)


def workers_of(process: "subprocess.Popen[str]") -> list[int]:
    """Read on until the server tells the process ids of its workers."""
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.fullmatch(r"\d+ workers: ([\d, ]+)\n", line):
            return [int(pid) for pid in found[1].split(", ")]
    raise AssertionError("no workers were told")


def figures(url: str) -> dict[str, float]:
    """Return what `/metrics` of a server tells, by name; all labels of a name are added."""
    parts = urlsplit(url)
    page = f"{parts.scheme}://{parts.netloc}/metrics"
    found: dict[str, float] = {}
    with urllib.request.urlopen(page, timeout=PATIENCE) as answer:
        for family in text_string_to_metric_families(answer.read().decode()):
            for sample in family.samples:
                found[sample.name] = found.get(sample.name, 0) + sample.value
    return found


def is_running(pid: int) -> bool:
    """Return whether a process runs; one that has ended may be left for its parent to see."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
