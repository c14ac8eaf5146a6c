"""The command line in tests: in this process, or as one of its own."""

import json
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import click
from attrs import define, field
from click.testing import CliRunner, Result

from tests.support import program
from walker_collector.cli import main

PEOPLE = [f"u{n}" for n in range(20)]
COMMAND = [sys.executable, "-m", "walker_collector"]


def walker(*arguments: object, input: str | bytes | None = None) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(main, [str(item) for item in arguments], input=input)


def completed(*arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command as a process of its own, to its end."""
    command = [*COMMAND, *(str(item) for item in arguments)]
    options = {"timeout": 60, **options}
    return subprocess.run(command, capture_output=True, text=True, **options)


@contextmanager
def spawned(*arguments: object, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Run a command as a process of its own, with pipes; it does not outlive the block."""
    with program(
        [*COMMAND, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        **options,
    ) as process:
        yield process


def below(group: click.Group) -> dict[str, click.Command]:
    """Return the commands of a group, imported, by name."""
    context = click.Context(group)
    found = {name: group.get_command(context, name) for name in group.list_commands(context)}
    return {name: command for name, command in found.items() if command is not None}


def objects(text: str) -> list[Any]:
    """Return the JSON value of each line."""
    return [json.loads(line) for line in text.splitlines()]


def write_flow(folder: Path, destinations: Mapping[str, Any], **collector: Any) -> Path:
    """Write a flow file; the destinations by id are their entries."""
    path = folder / "flow.json"
    path.write_text(json.dumps({"collector": collector, "destinations": destinations}), "utf-8")
    return path


def write_events(folder: Path, *lines: Mapping[str, Any] | str) -> Path:
    """Write lines of events; a string is a line as it stands."""
    path = folder / "events.ndjson"
    path.write_text(ndjson(lines), "utf-8")
    return path


def many_events(folder: Path, count: int) -> Path:
    """Write lines of twenty people."""
    return write_events(folder, *(event(n, PEOPLE[n % 20]) for n in range(count)))


def ndjson(lines: Iterable[Mapping[str, Any] | str]) -> str:
    """Return lines of events."""
    return "".join(f"{x if isinstance(x, str) else json.dumps(x)}\n" for x in lines)


def to_file(path: Path, **config: Any) -> dict[str, Any]:
    """Return the entry of a destination that writes a file."""
    return {"package": "file", "config": {"settings": {"path": str(path)}, **config}}


def to_server(url: str, **config: Any) -> dict[str, Any]:
    """Return the entry of a destination that posts to a URL, and tries again quickly."""
    retry = {"base": 1, "cap": 5}
    return {"package": "http", "config": {"settings": {"url": url}, "retry": retry, **config}}


def event(n: int, person: str | None = "u1", **parts: Any) -> dict[str, Any]:
    """Return a numbered event of a person; None: of nobody."""
    user = {} if person is None else {"id": person}
    return {"name": "order complete", "data": {"n": n}, "user": user, **parts}


def consent(person: str | None = "u1", **update: bool) -> dict[str, Any]:
    """Return the command by which a person says something; None: the default."""
    told = {"name": "walker consent", "data": update}
    return told if person is None else {**told, "user": {"id": person}}


def numbers(path: Path) -> list[int]:
    """Return the numbers of the events in a file that a destination wrote."""
    return [item["data"]["n"] for item in objects(path.read_text("utf-8"))]


def children(pid: int) -> list[int]:
    """Return the processes that a process has started and not yet waited for, by age."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in found.split()]


def gone(processes: Sequence[int]) -> Callable[[], bool]:
    """Return a function that tells whether none of these processes lives."""
    return lambda: not any(Path(f"/proc/{pid}/exe").exists() for pid in processes)


@define
class Server:
    """A web server that answers every request with a status, and tells what came."""

    url: str
    status: int
    bodies: list[Any] = field(factory=list)
    came: threading.Semaphore = field(factory=lambda: threading.Semaphore(0))


def until_some_came(server: Server, count: int) -> None:
    """Wait until so many more events have come."""
    for _ in range(count):
        assert server.came.acquire(timeout=60)


def assert_in_order_and_complete(bodies: Sequence[Any], count: int) -> None:
    """Each event came, under one id, and each person's first in order; some may have come twice."""
    ids: dict[int, set[str]] = {}
    first: dict[str, list[int]] = {}
    for body in bodies:
        n, person = body["data"]["n"], body["user"]["id"]
        if n not in ids:
            first.setdefault(person, []).append(n)
        ids.setdefault(n, set()).add(body["id"])
    assert first == {person: list(range(at, count, 20)) for at, person in enumerate(PEOPLE)}
    assert all(len(found) == 1 for found in ids.values())


@contextmanager
def serving(status: int = 204, *, asked: bool = False) -> Iterator[Server]:
    """Answer requests with a status until the end of the block; `asked`: those without an event."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            server.bodies.append(body)
            server.came.release()
            self._answer()

        def _answer(self) -> None:
            self.send_response(server.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        if asked:
            do_HEAD = do_OPTIONS = _answer  # noqa: N815  # the names that http.server looks for

        def log_message(self, *_: Any) -> None: ...

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    listener.daemon_threads = True
    server = Server(f"http://127.0.0.1:{listener.server_port}/in", status)
    threading.Thread(target=listener.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield server
    finally:
        listener.shutdown()
        listener.server_close()


def no_file_above_a_megabyte() -> None:
    """Let this process write no file beyond it, as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
