"""Processes that serve together: forked by one that watches over them."""

import os
import select
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

from attrs import define, field, frozen

from walker_collector.cli.board import Board
from walker_collector.cli.signals import StopSignal
from walker_collector.cli.streams import say
from walker_collector.figures import Counts, Figures
from walker_collector.text import counted

_LOOK: Final = 0.05
"""Seconds between two looks: of the parent for workers that have ended, of a worker for news."""
_PAUSE: Final = 0.25
"""Seconds between the end of a worker and the start of another one."""
_MOST: Final = 5
_WITHIN: Final = 60.0
"""A worker that has ended `_MOST` times within so many seconds is not started again."""


class Alone:
    """The one process that serves, as it sees itself."""

    announces: Final = True

    def figures(self, status: Callable[[], Any]) -> Figures:
        """Return the figures of this process."""
        return Figures(status)

    def has_started(self) -> None:
        """Nobody else has to know."""

    def wait(self, figures: Figures) -> bool:
        """Wait a moment; return True, as only a signal stops this process."""
        time.sleep(_LOOK)
        return True

    def stops(self, received: signal.Signals | None) -> None:
        """Print that this process stops, if a signal says so."""
        say_stopping(received)

    def write(self, figures: Figures) -> None:
        """Nobody else has to know."""


@frozen
class Worker:
    """One of several processes that serve, as it sees itself.

    `announces`: it tells where the sources listen, and warns of what the flow has.
    """

    number: int
    announces: bool
    _board: Board
    _lifeline: int
    """The worker's end of a pipe; only the parent has the other one."""

    def figures(self, status: Callable[[], Any]) -> Figures:
        """Return the figures of this process, which go on from those of the one before it."""
        return Figures(status, base=self._board.read(self.number), others=self._others)

    def has_started(self) -> None:
        """Tell the parent that this worker serves."""
        self._board.set_serving(self.number, True)

    def wait(self, figures: Figures) -> bool:
        """Wait a moment, and write the counts if that is due; return False once it has to stop.

        The parent says so by closing its end of the pipe, also by its own end.
        """
        if self._board.is_due(self.number):
            self.write(figures)
        return not select.select([self._lifeline], [], [], _LOOK)[0]

    def stops(self, received: signal.Signals | None) -> None:
        """Tell the other workers to wait for no counts of this one."""
        self._board.set_serving(self.number, False)

    def write(self, figures: Figures) -> None:
        """Write the counts for the other workers, and for the one that comes after this."""
        at = time.monotonic_ns()
        self._board.write(self.number, figures.own(), at)

    def _others(self, own: Counts) -> Sequence[Counts]:
        # Written first: what was shown must not be lost with this process.
        self._board.write(self.number, own, time.monotonic_ns())
        return self._board.others(self.number)


@define
class _Place:
    """The place of one worker: its process, or the time (monotonic, s) when another one starts."""

    number: int
    pid: int = 0
    due: float = 0.0
    ends: list[float] = field(factory=list)
    """Times at which its processes have ended by themselves."""
    ended: str = ""
    """How the last one has ended."""


class Workers:
    """Runs `work` in a number of forked processes, until a signal; then waits for their end.

    The first one starts alone, since what is wrong with a flow is wrong in all of them. A worker
    that ends is replaced. All stop when this process ends, however it does. `patience`: seconds
    that they may take for it.
    """

    def __init__(
        self, count: int, work: Callable[[Worker], int], stop: StopSignal, patience: float
    ) -> None:
        self._work = work
        self._stop = stop
        self._patience = patience
        self._board = Board(count)
        self._places = [_Place(number) for number in range(count)]
        self._read_end, self._write_end = os.pipe()
        stop.before_exit = self._kill

    def run(self, on_stop: Callable[[], None]) -> int:
        """Return the exit status; in a worker, raise SystemExit with its own.

        `on_stop` is called once no worker starts any more.
        """
        well = self._start_first() and self._watch()
        say_stopping(self._stop.signal)
        on_stop()
        return 0 if self._end() and well else 1

    def _start_first(self) -> bool:
        """Start the first worker; return whether it has come to serve, or a signal came before."""
        first = self._places[0]
        self._start(first, announces=True)
        while not self._board.is_serving(first.number) and self._stop.signal is None:
            if (status := _ended(first)) is not None:
                if status <= 0:  # else it has printed why
                    say(f"Error: the first worker {how_ended(status)}", err=True)
                return False
            time.sleep(_LOOK)
        return True

    def _watch(self) -> bool:
        """Start the others, and replace those that end, until a signal; return False if one ends
        again and again.
        """
        shown = False
        while self._stop.signal is None:
            if not all(self._look_after(place) for place in self._places):
                return False
            if not shown and all(self._board.is_serving(place.number) for place in self._places):
                shown = True
                pids = ", ".join(str(place.pid) for place in self._places)
                say(f"{counted(len(self._places), 'worker')}: {pids}", err=True)
            time.sleep(_LOOK)
        return True

    def _start(self, place: _Place, *, announces: bool = False) -> None:
        sys.stdout.flush()
        place.pid = os.fork()
        if place.pid:
            return
        self._places.clear()  # they are the parent's
        os.close(self._write_end)
        worker = Worker(place.number, announces, self._board, self._read_end)
        raise SystemExit(self._work(worker))

    def _look_after(self, place: _Place) -> bool:
        """Replace a worker that has ended; return False if it ends again and again."""
        now = time.monotonic()
        if not place.pid:
            if now >= place.due:
                self._start(place)
                if place.ended:
                    say(f"{place.ended}; {place.pid} takes its place", err=True, level="warning")
            return True
        pid, status = place.pid, _ended(place)
        if status is None:
            return True
        self._board.set_serving(place.number, False)
        place.ends = [at for at in place.ends if at > now - _WITHIN] + [now]
        place.due, place.ended = now + _PAUSE, f"worker {pid} {how_ended(status)}"
        if len(place.ends) < _MOST:
            return True
        say(f"Error: {place.ended}, the {_MOST}th in its place within {_WITHIN:g} s", err=True)
        return False

    def _end(self) -> bool:
        """Let the workers stop, and wait for them; return whether each has ended well."""
        os.close(self._write_end)
        going = [place for place in self._places if place.pid]
        deadline, well = time.monotonic() + self._patience, True
        while going and time.monotonic() < deadline:
            time.sleep(_LOOK / 5)
            for place in list(going):
                if (status := _ended(place)) is not None:
                    going.remove(place)
                    well = well and status == 0
        if going:
            pids = ", ".join(str(place.pid) for place in going)
            say(f"Error: workers did not stop, and had to be killed: {pids}", err=True)
            self._kill()
        return well and not going

    def _kill(self) -> None:
        for place in self._places:
            if place.pid:
                with suppress(ProcessLookupError):  # a signal may come as it is seen to have ended
                    os.kill(place.pid, signal.SIGKILL)


def say_stopping(received: signal.Signals | None) -> None:
    """Print that a signal stops the process, if it was one."""
    if received:
        say(f"{received.name}: stopping; the same signal again ends at once.", err=True)


def _ended(place: _Place) -> int | None:
    """Return the exit status of a worker that has ended, negative for a signal; else None."""
    pid, status = os.waitpid(place.pid, os.WNOHANG)
    if not pid:
        return None
    place.pid = 0
    return os.waitstatus_to_exitcode(status)


def how_ended(status: int) -> str:
    """Return how a process has ended, by its exit status, which is negative for a signal."""
    if status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return f"has ended with exit status {status}"
