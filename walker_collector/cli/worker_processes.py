"""The processes of `walker run --workers`: lines go out to them, and figures come in."""

import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, Pipe, wait
from typing import Any, Final, NoReturn

import attrs
from attrs import define, field

from walker_collector.cli.options import verbose
from walker_collector.cli.partition import EVERY
from walker_collector.cli.prefork import how_ended
from walker_collector.cli.reader import bad_lines
from walker_collector.cli.signals import StopSignal
from walker_collector.cli.summary import Death, DestinationSummary, Summary
from walker_collector.delivery.status import DestinationStatus
from walker_collector.errors import WalkerError
from walker_collector.sources.file.line_reader import GROUP

_LOOK: Final = 0.1
"""Seconds between two looks for a signal."""

Statuses = Mapping[str, DestinationStatus]


@define
class _Process:
    """A worker as its parent sees it: the lines sent to it, and its reports."""

    pid: int
    lines: Connection
    reports: Connection
    numbers: list[int] = field(factory=list)
    texts: list[bytes] = field(factory=list)
    handed: int = 0
    statuses: Statuses = field(factory=dict)
    summary: Summary | None = None

    def add(self, number: int, text: bytes) -> None:
        """Hand on a line, in groups; raises OSError if the worker has ended."""
        self.numbers.append(number)
        self.texts.append(text)
        if len(self.texts) >= GROUP:
            self.flush()

    def flush(self) -> None:
        """Hand on the lines that are left."""
        if self.texts:
            self.lines.send_bytes(pickle.dumps((self.numbers, self.texts)))
            self.handed += sum(number > 0 for number in self.numbers)
            self.numbers, self.texts = [], []


class Workers:
    """The workers of a run, forked when this is made; all of them end with this process.

    failed: an error of theirs, after which nothing more is read.
    """

    def __init__(self, count: int, work: Callable[["Channel"], None], stop: StopSignal) -> None:
        self.failed = ""
        self._is_cut = False
        """Whether a line could not be handed on: no later one may be."""
        self.deaths: list[Death] = []
        self.bad = bad_lines(all_shown=verbose())
        self._stop = stop
        self._processes: list[_Process] = []
        self._lifeline, self._own_end = os.pipe()
        for number in range(count):
            self._processes.append(self._start(number, work))
        stop.on_signal = self._send
        stop.before_exit = lambda: self._send(signal.SIGKILL)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _start(self, number: int, work: Callable[["Channel"], None]) -> _Process:
        lines, lines_end = Pipe(duplex=False)
        reports, reports_end = Pipe(duplex=False)
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if not pid:
            os.close(self._own_end)
            for end in (lines_end, reports, *self._ends()):
                end.close()
            _work_and_exit(Channel(number, lines, reports_end), self._lifeline, work, self._stop)
        lines.close()
        reports_end.close()
        return _Process(pid, lines_end, reports)

    def _ends(self) -> list[Connection]:
        return [end for item in self._processes for end in (item.lines, item.reports)]

    def _send(self, number: signal.Signals) -> None:
        for process in self._processes:
            if process.pid:
                os.kill(process.pid, number)

    # --- lines out -------------------------------------------------------------------------

    def hand_on(self, numbered: Sequence[tuple[int, bytes]], places: bytes) -> None:
        """Hand each line on to the worker in its place; to all of them where that is EVERY.

        A number below zero says that another worker counts the line.
        """
        processes = self._processes
        if self._is_cut:
            return
        try:
            for (number, text), place in zip(numbered, places, strict=False):
                if place != EVERY:
                    processes[place].add(number, text)
                    continue
                for process in processes:
                    process.add(number if process is processes[0] else -number, text)
        except OSError:  # the listener tells of the worker that has ended
            self._is_cut = True

    def finish(self, on_signal: Callable[[signal.Signals], None]) -> Summary:
        """Hand on the last lines, wait for all workers, and return the sum of their figures.

        `on_signal` is called with a signal, also one that came before.
        """
        announced = False
        for process in self._processes:
            with suppress(OSError):
                process.flush()
                process.lines.send_bytes(b"")
        while self._listener.is_alive():
            self._listener.join(_LOOK)
            if self._stop.signal and not announced:
                announced = True
                on_signal(self._stop.signal)
        for end in self._ends():
            end.close()
        os.close(self._lifeline)
        os.close(self._own_end)
        summaries = [item.summary or Summary(read=item.handed) for item in self._processes]
        return Summary(
            read=sum(item.read for item in summaries),
            accepted=sum(item.accepted for item in summaries),
            left_out=sum(item.left_out for item in summaries),
            commands=sum(item.commands for item in summaries),
            bad=self.bad.count,
            bad_lines=tuple(self.bad.numbers),
            destinations=_sums([item.destinations for item in summaries]),
        )

    # --- figures in ------------------------------------------------------------------------

    def statuses(self) -> Statuses:
        """Return the status of each destination, over all workers."""
        found: dict[str, DestinationStatus] = {}
        for process in self._processes:
            for id_, status in process.statuses.items():
                found[id_] = _plus(found[id_], status) if id_ in found else status
        return found

    def _listen(self) -> None:
        """Take the reports of the workers, until all of them have ended."""
        going = {process.reports: process for process in self._processes}
        while going:
            for end in wait(list(going)):
                assert isinstance(end, Connection)
                try:
                    self._take(going[end], *end.recv())
                except (EOFError, OSError):
                    self._note_end(going.pop(end))

    def _take(self, process: _Process, kind: str, content: Any) -> None:
        if kind == "bad":
            for number, reason in content:
                self.bad.note(number, reason)
            self.bad.report()
        elif kind == "statuses":
            process.statuses = content
        elif kind == "failed":
            self.failed = self.failed or content
        else:
            process.summary, deaths = content
            self.deaths += deaths

    def _note_end(self, process: _Process) -> None:
        pid, status = os.waitpid(process.pid, 0)
        process.pid = 0
        if process.summary is None and not self.failed:
            how = how_ended(os.waitstatus_to_exitcode(status))
            self.failed = (
                f"worker {pid} {how}; what it had not delivered of its {process.handed:,} lines is "
                "lost"
            )


@define
class Channel:
    """A worker's way to its parent: lines come in, and figures go out."""

    number: int
    _lines: Connection
    _reports: Connection
    _lock: threading.Lock = field(factory=threading.Lock)

    def receive(self) -> tuple[list[int], list[bytes]] | None:
        """Return lines with their numbers; None after the last ones."""
        some = self._lines.recv_bytes()
        return pickle.loads(some) if some else None

    def report(self, kind: str, what: Any) -> None:
        """Send figures, or an error, to the parent."""
        with self._lock:
            self._reports.send((kind, what))


def _work_and_exit(
    channel: Channel, lifeline: int, work: Callable[[Channel], None], stop: StopSignal
) -> NoReturn:
    """Work, and end the process. It ends at once if its parent does."""
    stop.on_signal = lambda received: None
    stop.before_exit = lambda: None

    def watch() -> None:
        os.read(lifeline, 1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    status = 1
    try:
        work(channel)
        status = 0
    except WalkerError as error:
        channel.report("failed", str(error))
    except Exception:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _plus(one: DestinationStatus, other: DestinationStatus) -> DestinationStatus:
    """Return the status of a destination over two processes; the worse of them has the word."""
    worse = other if other.reason or one.state in ("idle", "ready") else one
    numbers = {
        item.name: getattr(one, item.name) + getattr(other, item.name)
        for item in attrs.fields(DestinationStatus)
        if item.type is int
    }
    return attrs.evolve(worse, **numbers)


def _sums(summaries: Sequence[Mapping[str, DestinationSummary]]) -> dict[str, DestinationSummary]:
    found: dict[str, DestinationSummary] = {}
    for summary in summaries:
        for id_, item in summary.items():
            found[id_] = found[id_].plus(item) if id_ in found else item
    return found
