"""Waits of all tests: each has a bound, and its failure says what was waited for."""

import inspect
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PATIENCE = 20.0
"""How long (s) a test waits for what must happen, before it fails."""
LIFETIME = 100.0
"""How long (s) a program that a test starts may live: less than a test may take."""

_pause = threading.Event()


def wait_until(
    holds: Callable[[], object],
    what: str | Callable[[], str] = "",
    timeout: float = PATIENCE,
) -> None:
    """Wait until a condition holds; a failure names `what`, or else shows the condition's code.

    A `what` that is called tells the state at the failure.
    """
    deadline = time.monotonic() + timeout
    while not holds():
        if time.monotonic() > deadline:
            told = what() if callable(what) else what or _code(holds)
            raise AssertionError(f"did not happen in {timeout:g} s: {told}")
        _pause.wait(0.002)


def _code(function: Callable[[], object]) -> str:
    try:
        return " ".join(inspect.getsource(function).split())
    except (OSError, TypeError):  # of an interactive shell, or built in
        return repr(function)


def join(*threads: threading.Thread, timeout: float = PATIENCE) -> None:
    """Wait until threads have ended; a failure names those that go on."""
    deadline = time.monotonic() + timeout
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    going_on = [thread.name for thread in threads if thread.is_alive()]
    assert not going_on, f"did not end in {timeout:g} s: {', '.join(going_on)}"


@contextmanager
def program(
    command: Sequence[object], timeout: float = LIFETIME, **options: Any
) -> Iterator["subprocess.Popen[str]"]:
    """Start a program. It is killed at the end of the block, or after `timeout` (s).

    Reading from a program needs no bound of its own, therefore.
    """
    process = subprocess.Popen([str(part) for part in command], **{"text": True, **options})
    watch = threading.Timer(timeout, process.kill)
    watch.daemon = True
    watch.start()
    try:
        yield process
    finally:
        watch.cancel()
        end(process)


def end(process: "subprocess.Popen[str]") -> None:
    """Kill a process if it goes on, and close the pipes to it."""
    process.kill()
    process.wait(PATIENCE)
    for pipe in (process.stdin, process.stdout, process.stderr):
        with suppress(BrokenPipeError):
            if pipe:
                pipe.close()


class Driven:
    """The other end of a program that takes commands, JSON on a line, and answers with lines."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def do(self, *command: Any) -> Any:
        """Have it do something; return the result."""
        self.send(*command)
        return self.answer()

    def send(self, *command: Any) -> None:
        """Tell it what to do next, without waiting for it."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()

    def answer(self) -> Any:
        """Return the next line that it says."""
        answer = self.line()
        assert answer is not None, "the process has ended"
        return answer

    def line(self) -> Any:
        """Return the next line that it says; None: it has ended before the end of one."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()  # bounded: `program` ends it
        return json.loads(line) if line.endswith("\n") else None


def python(code: str, *arguments: object, **options: Any) -> "subprocess.CompletedProcess[str]":
    """Run code in an interpreter of its own, from the root of the repository, to its end.

    It must succeed, but for `check=False`.
    """
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    done = subprocess.run(
        command,
        **{"cwd": ROOT, "capture_output": True, "text": True, "timeout": 60, "check": False}
        | {name: value for name, value in options.items() if name != "check"},
    )
    if options.get("check", True):
        assert done.returncode == 0, done.stderr
    return done


def run_until(
    command: Sequence[object], start: int, kill_at: int | None, timeout: float = LIFETIME
) -> tuple[int, str]:
    """Run a program that prints how far it has come, a number a line, from `start` on.

    It is killed once it has come to `kill_at`. Return how far it had come, and its last line.
    """
    done, line = start, ""
    with program(command, timeout, cwd=ROOT, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for line in map(str.strip, process.stdout):
            if line.isdigit():
                done = int(line)
            if kill_at is not None and done >= kill_at:
                process.kill()  # what it had done by then is in the pipe: read on
    return done, line


def in_fork(child: Callable[[], object]) -> int:
    """Run a function in a forked child; return the child's process id."""
    pid = os.fork()
    if pid == 0:
        try:
            child()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return pid


def exit_status(pid: int, timeout: float = PATIENCE) -> int:
    """Return how a child process ended, as `subprocess` tells it; kill one that does not end."""
    statuses: list[int] = []

    def ended() -> bool:
        found, status = os.waitpid(pid, os.WNOHANG)
        statuses.append(status)
        return found == pid

    try:
        wait_until(ended, f"the end of process {pid}", timeout)
    except AssertionError:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    return os.waitstatus_to_exitcode(statuses[-1])
