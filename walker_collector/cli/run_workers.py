"""`walker run --workers` in memory: one process reads, others deliver, each to its own people.

A worker gets every line about its people, in their order, and no other: it is a whole collector in
memory. Nothing is shared, and nothing has to be moved when a session is merged into a person.
"""

import signal
import sys
import threading
import time
from contextlib import suppress
from typing import Any, Final

import attrs
from attrs import define, field

from walker_collector.cli.flow_run import FlowRun, say_deaths, say_delivering
from walker_collector.cli.heap import relax_gc
from walker_collector.cli.line_workers import LineWorkers
from walker_collector.cli.live_line import live_line
from walker_collector.cli.partition import partition
from walker_collector.cli.progress_line import BytesRead, ProgressLine
from walker_collector.cli.reader import EventReader, open_events
from walker_collector.cli.signals import StopSignal
from walker_collector.cli.streams import say, say_json
from walker_collector.cli.summary import Death, print_summary
from walker_collector.cli.worker_processes import Channel
from walker_collector.config import FlowConfig
from walker_collector.errors import EventError, WalkerError
from walker_collector.plugins import Registry
from walker_collector.secret import revealed
from walker_collector.sources.file.line_reader import BadLines
from walker_collector.sources.file.lines import Lines, Stream, read_lines, read_so_far, size_of
from walker_collector.sources.file.selection import Selection

_SHOW: Final = 0.25
"""Seconds between two figures of a worker, for the line of progress."""


class _WorkerRun(FlowRun):
    """The run of one worker; its parent prints the messages, once."""

    def __init__(self, flow: FlowConfig, registry: Registry, stop: StopSignal) -> None:
        super().__init__(flow, registry, stop)
        self.deaths: list[Death] = []

    def take_part(self, share: float) -> None:
        """Use this part of each rate limit alone."""
        for worker in self.collector._life.own_runtime().workers.values():
            worker.destination.share.value = share

    def _say_delivering(self, received: signal.Signals) -> None:
        pass

    def _show_reasons(self, deaths: Any) -> None:
        self.deaths.extend(deaths)


@define
class _SentBadLines(BadLines):
    """Sends bad lines to the parent, which shows them."""

    _channel: Channel = field(kw_only=True)
    _found: list[tuple[int, str]] = field(factory=list)

    def note(self, number: int, error: EventError | str) -> None:
        self._found.append((number, str(error)))

    def report(self) -> None:
        if self._found:
            self._channel.report("bad", self._found)
            self.count += len(self._found)
            self._found = []


def run_in_memory(
    flow: FlowConfig,
    registry: Registry,
    events: str,
    selection: Selection,
    timeout: float | None,
    count: int,
    as_json: bool,
) -> int:
    """Run a file in a number of processes without a spool; return the exit status."""

    def work(channel: Channel) -> None:
        _work(channel, flow, registry, stop, selection, timeout, 1 / count)

    # Opened first, so that every line of it has been seen also where the file grows.
    with open_events(events) as stream, StopSignal() as stop:
        workers = LineWorkers(count, work, stop)
        read = BytesRead(size_of(stream))
        with live_line(ProgressLine(workers.statuses, read)):
            complete = _read(workers, stream, events, flow, count, stop, read)
            read.complete = True
            summary = workers.finish(lambda received: say_delivering(received, flow))
        if workers.failed:
            say(f"Error: {workers.failed}", err=True, level="error")
        received = stop.signal.name if stop.signal else None
        complete = complete and not workers.failed
        summary = attrs.evolve(summary, complete=complete, signal=received)
        say_deaths(workers.deaths, kept=False)
        say_json(summary.as_json()) if as_json else print_summary(summary)
    return stop.exit_status or (0 if summary.ok else 1)


def _read(
    workers: LineWorkers,
    stream: Stream,
    events: str,
    flow: FlowConfig,
    count: int,
    stop: StopSignal,
    read: BytesRead,
) -> bool:
    """Hand on the lines of a stream; return False if an error ended that."""
    at = last = 0
    try:
        with open_events(events) as whole:
            user = revealed(flow.collector.user)
            places = partition(read_lines(whole, stop.read), user, count)
        for some in read_lines(stream, stop.read):
            if stop.signal or workers.failed:  # the last line may be a part of one
                break
            numbered = list(some.numbered())
            workers.hand_on(numbered, places[at : at + len(numbered)])
            at += len(numbered)
            last = numbered[-1][0] if numbered else last
            read.count = read_so_far(stream)
    except WalkerError as error:
        say(f"Error: stopped after line {last}: {error}", err=True)
        return False
    if stop.signal:
        say(f"Stopped after line {last}.", err=True)
    return True


def _work(
    channel: Channel,
    flow: FlowConfig,
    registry: Registry,
    stop: StopSignal,
    selection: Selection,
    timeout: float | None,
    share: float,
) -> None:
    """Deliver the lines that come, and report the figures."""
    channel.end_with_parent()  # what it has is lost in any case
    warnings = flow.warnings if channel.number == 0 else ()
    run = _WorkerRun(attrs.evolve(flow, warnings=warnings), registry, stop)
    run.take_part(share)
    relax_gc()
    if sys.stderr.isatty():
        threading.Thread(target=_report_statuses, args=(channel, run), daemon=True).start()
    bad = _SentBadLines(lambda text: None, "", channel=channel)
    reader = EventReader(run.collector, stop, selection=selection, bad=bad)
    reader.lines.finishes = True
    complete = _push_all(channel, reader)
    summary = run.finish(reader.summary(complete), timeout)
    channel.report("done", (summary, run.deaths))


def _push_all(channel: Channel, reader: EventReader) -> bool:
    """Push the lines that come, until the last one; return False after an error."""
    complete = True
    while (received := channel.receive()) is not None:
        numbers, texts = received
        if not complete:  # what is left is not accepted
            continue
        try:
            _push(reader, numbers, texts)
        except WalkerError as error:
            channel.report("failed", f"stopped after line {reader.lines.last}: {error}")
            complete = False
    return complete


def _push(reader: EventReader, numbers: list[int], texts: list[bytes]) -> None:
    begin = 0
    for at, number in enumerate(numbers):
        if number < 0:  # a command that another worker counts
            reader.lines.hand_on(Lines(0, texts[begin:at], numbers[begin:at]))
            reader.lines.run_uncounted(texts[at])
            begin = at + 1
    reader.lines.hand_on(Lines(0, texts[begin:], numbers[begin:]))


def _report_statuses(channel: Channel, run: FlowRun) -> None:
    with suppress(OSError, WalkerError):
        while True:
            channel.report("statuses", dict(run.statuses()))
            time.sleep(_SHOW)
