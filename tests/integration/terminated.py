"""Processes that get SIGTERM while they are at work.

    python -m tests.integration.terminated FOLDER KIND HANDLER SEED COUNT

Forks COUNT children, one after the other; each is at work with a collector of its own until a
signal comes, some milliseconds later. Prints a JSON object for each child: its exit status (null
where it hung), how many events its spool still held, which events it had accepted, and which each
destination got, from it or from that spool.
"""

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any, NoReturn

from tests.core.support import config, event, flow, plugin
from walker_collector import Collector, CollectorClosed

PATIENCE = 20.0
"""How long (s) a child may take to end."""
DELAY = 0.02
"""How long (s) a child works at most before the signal."""
NAMES = ("one", "other")
MARKETING = {"marketing": True}


def appended(path: Path, line: object) -> None:
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{line}\n".encode())
    os.close(file)


def writing(path: Path) -> type:
    """Return a destination that writes the number of each event to a file."""

    def push_batch(batch: Any) -> None:
        for item in batch:
            appended(path, item.event["data"]["n"])

    return plugin(push_batch=push_batch, linger=1)


def collector_in(folder: Path, kind: str) -> Collector:
    spool = folder / "spool.db" if kind == "durable" else None
    return Collector(flow({name: (writing(folder / name), config()) for name in NAMES}, spool))


def handlers(collector: Collector, handler: str) -> Callable[..., None]:
    def close(*_: object) -> None:
        collector.close()

    def leave(*_: object) -> None:
        sys.exit(0)

    def close_and_leave(*_: object) -> None:
        collector.close()
        sys.exit(0)

    found = {"close": close, "exit": leave, "close and exit": close_and_leave}
    return found[handler.removesuffix(" twice")]


def work(collector: Collector, folder: Path, seed: int) -> None:
    """Do one thing after the other, and write down what was accepted."""
    chance = random.Random(seed)
    for n in count(step=10):
        what = chance.choice(["push", "push", "push", "wait", "many", "consent", "flush", "status"])
        if what == "push":
            collector.push(event(n, f"u{n % 7}"))
            appended(folder / "accepted", n)
        elif what == "wait":
            collector.push(event(n, f"u{n % 7}"), wait=True)
            appended(folder / "accepted", n)
        elif what == "many":
            results = collector.push_many([event(n + i, f"u{i}") for i in range(5)])
            for i, result in enumerate(results):
                if isinstance(result, CollectorClosed):
                    raise result
                appended(folder / "accepted", n + i)
        elif what == "consent":
            collector.consent(MARKETING, user={"id": f"u{n % 7}"})
        elif what == "flush":
            collector.flush(1)
        else:
            collector.status()


def child(folder: Path, kind: str, handler: str, seed: int, ready: int) -> NoReturn:
    collector = collector_in(folder, kind)
    signal.signal(signal.SIGTERM, handlers(collector, handler))
    os.write(ready, b".")
    try:
        with collector:
            work(collector, folder, seed)
    except CollectorClosed:
        pass
    sys.exit(0)


def ended(pid: int) -> int | None:
    """Return the exit status of a child; None where it does not end in time."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found, status = os.waitpid(pid, os.WNOHANG)  # bounded: does not wait
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)  # bounded: it was killed
    return None


def numbers(path: Path) -> list[int]:
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def drained(folder: Path, kind: str) -> int:
    """Deliver what a spool still holds; return how many events that are."""
    if kind == "memory":
        return 0
    with collector_in(folder, kind) as collector:
        stored = collector.status().stored
        assert collector.flush(PATIENCE)
    return stored


def terminated(
    folder: Path, kind: str, handler: str, seed: int, delays: Sequence[float]
) -> dict[str, Any]:
    """Have a child work until it is terminated; return what became of its events."""
    folder.mkdir()
    readable, ready = os.pipe()
    pid = os.fork()
    if pid == 0:
        child(folder, kind, handler, seed, ready)
    assert os.read(readable, 1) == b"."
    os.close(readable)
    os.close(ready)
    for wait in delays:
        time.sleep(wait)
        os.kill(pid, signal.SIGTERM)  # one that has ended is not forgotten yet
    status = ended(pid)
    return {
        "status": status,
        "stored": drained(folder, kind),
        "accepted": numbers(folder / "accepted"),
        **{name: numbers(folder / name) for name in NAMES},
    }


def main(folder: Path, kind: str, handler: str, seed: int, count: int) -> None:
    chance = random.Random(seed)
    for number in range(count):
        delays = [chance.uniform(0, DELAY)]
        if handler.endswith("twice"):
            delays.append(chance.uniform(0, DELAY / 10))
        found = terminated(folder / str(number), kind, handler, seed + number, delays)
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
