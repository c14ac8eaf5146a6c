"""Lines handed on to worker processes, each of which delivers those of its own people."""

import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import attrs
from attrs import define, field

from walker_collector.cli.options import verbose
from walker_collector.cli.partition import EVERY
from walker_collector.cli.reader import bad_lines
from walker_collector.cli.signals import StopSignal
from walker_collector.cli.summary import Death, DestinationSummary, Summary
from walker_collector.cli.worker_processes import Channel, Statuses, WorkerProcess, WorkerProcesses
from walker_collector.delivery.status import DestinationStatus
from walker_collector.sources.file.line_reader import GROUP

_LOOK: Final = 0.1
"""Seconds between two looks for a signal."""


@define
class _Lines:
    """The lines for one worker: those that were handed on, and those of the next group."""

    worker: WorkerProcess
    numbers: list[int] = field(factory=list)
    texts: list[bytes] = field(factory=list)
    handed: int = 0
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
            self.worker.send((self.numbers, self.texts))
            self.handed += sum(number > 0 for number in self.numbers)
            self.numbers, self.texts = [], []


class LineWorkers:
    """The workers of a run in memory; all of them end with this process.

    failed: an error of theirs, after which nothing more is read.
    """

    def __init__(self, count: int, work: Callable[[Channel], None], stop: StopSignal) -> None:
        self.failed = ""
        self._is_cut = False
        """Whether a line could not be handed on: no later one may be."""
        self.deaths: list[Death] = []
        self.bad = bad_lines(all_shown=verbose())
        self._stop = stop
        self._processes = WorkerProcesses(count, work, stop, self._take, self._note_end)
        self._lines = [_Lines(worker) for worker in self._processes.each]
        stop.on_signal = self._processes.send_signal
        self._processes.listen()

    def hand_on(self, numbered: Sequence[tuple[int, bytes]], places: bytes) -> None:
        """Hand each line on to the worker in its place; to all of them where that is EVERY.

        A number below zero says that another worker counts the line.
        """
        workers = self._lines
        if self._is_cut:
            return
        try:
            for (number, text), place in zip(numbered, places, strict=False):
                if place != EVERY:
                    workers[place].add(number, text)
                    continue
                for lines in workers:
                    lines.add(number if lines is workers[0] else -number, text)
        except OSError:  # `_note_end` tells of the worker that has ended
            self._is_cut = True

    def finish(self, on_signal: Callable[[signal.Signals], None]) -> Summary:
        """Hand on the last lines, wait for all workers, and return the sum of their figures.

        `on_signal` is called with a signal, also one that came before.
        """
        for lines in self._lines:
            try:
                lines.flush()
                lines.worker.send(None)
            except OSError:  # it has ended
                continue
        ended = announced = False
        while not ended:
            ended = self._processes.join(_LOOK)
            if self._stop.signal and not announced:  # also where all end within one look
                announced = True
                on_signal(self._stop.signal)
        self._processes.close()
        summaries = [lines.summary or Summary(read=lines.handed) for lines in self._lines]
        return Summary(
            read=sum(item.read for item in summaries),
            accepted=sum(item.accepted for item in summaries),
            left_out=sum(item.left_out for item in summaries),
            commands=sum(item.commands for item in summaries),
            bad=self.bad.count,
            bad_lines=tuple(self.bad.numbers),
            destinations=_sums([item.destinations for item in summaries]),
        )

    def statuses(self) -> Statuses:
        """Return the status of each destination, over all workers."""
        found: dict[str, DestinationStatus] = {}
        for worker in self._processes.each:
            for id_, status in worker.statuses.items():
                found[id_] = _plus(found[id_], status) if id_ in found else status
        return found

    def _take(self, worker: WorkerProcess, kind: str, content: Any) -> None:
        if kind == "bad":
            for number, reason in content:
                self.bad.note(number, reason)
            self.bad.report()
        elif kind == "failed":
            self.failed = self.failed or content
        else:
            self._lines[worker.number].summary, deaths = content
            self.deaths += deaths

    def _note_end(self, worker: WorkerProcess, pid: int, how: str) -> None:
        lines = self._lines[worker.number]
        if lines.summary is None and not self.failed:
            self.failed = (
                f"worker {pid} {how}; what it had not delivered of its {lines.handed:,} lines is "
                "lost"
            )


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
