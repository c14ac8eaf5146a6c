"""A process with a collector, told what to do over a pipe; killed and started again at will.

It is forked from a server that has imported everything, so that a start costs little. All of them
write what they deliver to one journal, a line each: see `Line`.
"""

import json
import multiprocessing
import os
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from tests.core.support import MARKETING, config, flow, plugin
from tests.support import PATIENCE
from walker_collector import Collector, DeadLetter, Item, Rejected, RetryLater

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload([__name__, "walker_collector.spool.sqlite"])


class Line(NamedTuple):
    """A line of the journal: a call of a hook has begun with an event, or has delivered it."""

    what: str
    destination: str
    n: int
    id: str


class Actor:
    """The other end of such a process."""

    def __init__(self, folder: Path, *, delivers: bool = True, shards: int = 1) -> None:
        self._start = folder, delivers, shards
        self.start()

    def start(self) -> None:
        self._pipe, theirs = _processes.Pipe()
        self._process = _processes.Process(target=_run, args=(theirs, *self._start), daemon=True)
        self._process.start()
        theirs.close()
        assert self.answer() == "open"

    def do(self, *command: Any) -> Any:
        """Have it do something; return the result."""
        self.send(*command)
        return self.answer()

    def send(self, *command: Any) -> None:
        """Tell it what to do next, without waiting for it."""
        self._pipe.send(command)

    def answer(self) -> Any:
        """Return the result of the first command that has not been answered yet."""
        assert self._pipe.poll(2 * PATIENCE), "no answer"
        result = self._pipe.recv()
        assert not isinstance(result, BaseException), result
        return result

    def kill(self) -> int:
        """Kill it by SIGKILL; return how many commands it has answered that nobody has read."""
        self._process.kill()
        self._process.join(PATIENCE)
        count = 0
        try:
            while self._pipe.poll():
                self._pipe.recv()
                count += 1
        except (EOFError, OSError):
            pass
        self._pipe.close()
        return count

    def close(self) -> None:
        """Close its collector in an orderly way."""
        assert self.do("close")
        self._process.join(PATIENCE)
        assert self._process.exitcode == 0
        self._pipe.close()


class Journal:
    """The lines that all processes have written so far."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "journal"
        self._path.touch()
        self._read = 0

    def more(self) -> list[Line]:
        """Return the lines since the last call."""
        with self._path.open("rb") as file:
            file.seek(self._read)
            text = file.read()
        self._read += len(text)
        return [Line(*json.loads(line)) for line in text.splitlines()]


def _run(pipe: Connection, folder: Path, delivers: bool, shards: int) -> None:
    collector = Collector(_flow(folder, delivers, shards))
    pipe.send("open")
    while True:  # bounded: it ends with its parent
        name, *args = pipe.recv()
        try:
            result = _COMMANDS[name](collector, *args)
        except Exception as error:
            result = AssertionError(f"{name}: {error!r}")
        pipe.send(result)
        if name == "close":
            return


def _flow(folder: Path, delivers: bool, shards: int) -> Any:
    destinations = {
        "all": (plugin(push_batch=_Hook("all", folder).push_batch, linger=0), config()),
        "asks": (plugin(_Hook("asks", folder).push), config(consent=MARKETING)),
    }
    return flow(destinations, folder / "spool.db", deliver=delivers, shards=shards)


class _Hook:
    """The hook of a destination, which writes to the journal.

    It refuses a "bad" event until there is a file for it, and has a "flaky" one come again.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self._name = name
        self._folder = folder
        self._tried: set[int] = set()

    def push(self, event: dict[str, Any], context: Any) -> None:
        self._write("began", [event])
        if (problem := self._problem(event)) is not None:
            raise problem
        self._write("delivered", [event])

    def push_batch(self, batch: Sequence[Item]) -> dict[int, Exception]:
        events = [item.event for item in batch]
        self._write("began", events)
        found: list[Exception | None] = []
        for event in events:
            behind = any(isinstance(problem, RetryLater) for problem in found)
            # Within a batch the order is up to the plugin: nothing goes out behind a retry.
            found.append(RetryLater("behind it") if behind else self._problem(event))
        done = [event for event, problem in zip(events, found, strict=True) if problem is None]
        self._write("delivered", done)
        return {at: problem for at, problem in enumerate(found) if problem is not None}

    def _problem(self, event: dict[str, Any]) -> Exception | None:
        data = event["data"]
        if data["kind"] == "bad" and not (self._folder / f"mended-{data['n']}").exists():
            return Rejected("bad")
        if data["kind"] == "flaky" and data["n"] not in self._tried:
            self._tried.add(data["n"])
            return RetryLater("flaky")
        return None

    def _write(self, what: str, events: Sequence[dict[str, Any]]) -> None:
        lines = [json.dumps((what, self._name, e["data"]["n"], e["id"])) + "\n" for e in events]
        file = os.open(self._folder / "journal", os.O_WRONLY | os.O_APPEND)
        os.write(file, "".join(lines).encode())
        os.close(file)


def _push(
    collector: Collector, user: dict[str, str], data: dict[str, Any], consent: dict[str, bool]
) -> None:
    collector.push({"name": "order complete", "user": user, "data": data, "consent": consent})


def _numbers(letters: Sequence[DeadLetter]) -> list[tuple[str, int]]:
    return [(item.destination, json.loads(item.body)["data"]["n"]) for item in letters]


def _figures(collector: Collector) -> dict[str, Any]:
    """Return what waits, is held and dead at each destination, and how many events are stored."""
    status = collector.status()
    return {
        "stored": status.stored,
        **{id_: (item.waiting, item.held, item.dead) for id_, item in status.destinations.items()},
    }


_COMMANDS: dict[str, Callable[..., Any]] = {
    "push": _push,
    "consent": lambda it, user, yes: it.consent({"marketing": yes}, user=user),
    "forget": lambda it, user: it.forget(user),
    "flush": lambda it: it.flush(PATIENCE),
    "dead": lambda it: _numbers(it.dead()),
    "replay": lambda it: it.replay(it.dead()),
    "figures": _figures,
    "close": lambda it: it.close(PATIENCE),
}
