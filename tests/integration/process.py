"""A process with a collector, driven line by line: `Process` is the other end of it.

    python -m tests.integration.process FLOW [MOMENT]

Each command, JSON on a line, is answered by a line; a push by one for each event, as soon as it is
accepted. At a MOMENT the process says so, by a file of that name beside the flow, and does nothing
more until that file is gone: it can be killed there.
"""

import json
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

from tests.integration.moments import stop_at
from tests.support import LIFETIME, ROOT, Driven, program, wait_until
from walker_collector import Collector

BEGAN = 1_700_000_000_000
Event = dict[str, Any]


def numbered(n: int, user: dict[str, str]) -> Event:
    """Return the event of a number; pushed again after a kill, it is the same event."""
    return {
        "name": "cart add",
        "id": f"{n:016x}",
        "timestamp": BEGAN + n,
        "data": {"n": n, "person": user.get("id") or user.get("session")},
        "user": user,
    }


class Process(Driven):
    """A process that is told to push, to record consent, to forget."""

    def __init__(self, process: "Popen[str]", folder: Path) -> None:
        super().__init__(process)
        self.pid = process.pid
        self._folder = folder

    def push(self, events: Sequence[Event]) -> int:
        """Push events; return how many it said to be accepted, before it ended."""
        try:
            self.send("push", events)
        except OSError:
            return 0
        for at in range(len(events)):
            if self.line() is None:
                return at
        return len(events)

    def kill(self) -> None:
        """Kill it at once."""
        self.process.kill()
        self.process.wait(20)

    def close(self) -> None:
        """Close it in an orderly way."""
        self.process.communicate(timeout=20)
        assert self.process.returncode == 0

    def until_at(self, moment: str) -> None:
        """Wait until it has come to its moment."""
        wait_until((self._folder / moment).exists, f"process {self.pid} {moment}")

    def go_on(self, moment: str) -> None:
        """Let it go on from its moment."""
        (self._folder / moment).unlink()


@contextmanager
def process(flow: Path, moment: str = "", timeout: float = LIFETIME) -> Iterator[Process]:
    """Start such a process; its collector is open."""
    command = [sys.executable, "-m", __name__, flow, moment]
    with program(command, timeout, cwd=ROOT, stdin=PIPE, stdout=PIPE) as started:
        it = Process(started, flow.parent)
        assert it.answer() == "open"
        yield it


def main() -> None:
    flow, moment = Path(sys.argv[1]), sys.argv[2]
    if moment:
        stop_at(moment, flow.parent / moment)
    with Collector.from_file(flow) as collector:
        _say("open")
        for line in sys.stdin:
            _do(collector, *json.loads(line))


def _do(collector: Collector, name: str, *args: Any) -> None:
    if name == "push":
        for event in args[0]:
            _say(next(iter(collector.push(event).destinations.values())))
    elif name == "aside":  # on a thread, so that the process goes on where that waits
        threading.Thread(target=_do_quietly, args=(collector, *args), daemon=True).start()
        _say("begun")
    elif name == "consent":
        _say([collector.consent({"marketing": yes}, user=user) for user, yes in args])
    elif name == "forget":
        _say(collector.forget(args[0]))
    elif name == "flush":
        _say(collector.flush(args[0]))
    elif name == "wait":
        _say(next(iter(collector.push(args[0], wait=True, timeout=20).destinations.values())))
    elif name == "replay":
        _say(collector.replay())
    else:
        status = collector.status().destinations["customerio"]
        _say({key: getattr(status, key) for key in ("waiting", "held", "dead", "reason")})


def _do_quietly(collector: Collector, name: str, *args: Any) -> None:
    assert name == "push"
    for event in args[0]:
        collector.push(event)


def _say(answer: Any) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
