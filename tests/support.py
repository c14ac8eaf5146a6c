"""Waits of all tests: each has a bound, and its failure says what was waited for."""

import inspect
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

PATIENCE = 20.0
"""How long (s) a test waits for what must happen, before it fails."""
LIFETIME = 100.0
"""How long (s) a program that a test starts may live: less than a test may take."""

_pause = threading.Event()


def wait_until(holds: Callable[[], object], what: str = "", timeout: float = PATIENCE) -> None:
    """Wait until a condition holds; a failure names `what`, or else shows the condition's code."""
    deadline = time.monotonic() + timeout
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"did not happen in {timeout:g} s: {what or _code(holds)}")
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
