"""Read events into a collector: in groups, at the pace of delivery, bad lines reported."""

import time
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, Final

from attrs import define, field

from walker_collector.cli.drain import StallDetector
from walker_collector.cli.lines import Lines, Stream, parse, read_lines
from walker_collector.cli.output import ProgressBar
from walker_collector.cli.signals import StopSignal
from walker_collector.cli.streams import say
from walker_collector.cli.summary import Summary
from walker_collector.collector import Collector
from walker_collector.errors import EventError, SpoolFull, WalkerError
from walker_collector.events import is_command
from walker_collector.results import PushResult

GROUP: Final = 500
"""Events pushed at once, at most."""
READ_AHEAD: Final = 5_000
"""Events that may wait at every ready destination before reading pauses. Events read long before
their turn take memory, and have left the processor's cache when it comes.
"""
_PAUSE: Final = 0.01
"""Seconds of one pause."""
_NUMBERS_MAX: Final = 100_000
"""Numbers of bad lines that are kept."""
SHOWN: Final = 20
"""Bad lines that are shown one by one; more are counted."""

NumberedEvent = tuple[int, dict[str, Any]]


@define
class BadLines:
    """Counts lines without a valid event, and shows the first of them on stderr.

    all_shown: show every one. count: how many there are. numbers: their line numbers, in order;
    of millions, the first ones.
    """

    all_shown: bool = False
    count: int = 0
    numbers: list[int] = field(factory=list)
    _unreported: list[tuple[int, EventError]] = field(factory=list)

    def note(self, number: int, error: EventError) -> None:
        """Keep a bad line for the next report."""
        self._unreported.append((number, error))

    def report(self) -> None:
        """Report the lines noted since the last report, in order of their numbers."""
        # A group is parsed before it is pushed, so errors of parsing are noted too early.
        for number, error in sorted(self._unreported, key=itemgetter(0)):
            self.count += 1
            if self.count <= _NUMBERS_MAX:
                self.numbers.append(number)
            if self.all_shown or self.count <= SHOWN:
                say(f"line {number}: {error}", err=True)
            elif self.count == SHOWN + 1:
                say(
                    "more bad lines are counted, not shown; `walker -v run` shows all, "
                    "--json has their numbers",
                    err=True,
                )
        self._unreported.clear()


@define
class EventReader:
    """Pushes the events of a stream to a collector, and counts lines.

    read: lines that are not blank. accepted: events. commands: commands. last: number of the last
    line that was accepted or bad. `pause` waits for a number of seconds.
    """

    collector: Collector
    stop: StopSignal
    pause: Callable[[float], object] = time.sleep
    bad: BadLines = field(factory=BadLines)
    read: int = 0
    accepted: int = 0
    commands: int = 0
    last: int = 0

    def run(self, stream: Stream, bar: ProgressBar) -> None:
        """Push all events of a stream, until its end or a signal.

        Raises WalkerError if the spool fails, or has no room and none can be expected. Then no line
        after `last` was accepted.
        """
        for lines in read_lines(stream, self.stop.read):
            try:
                self._push_lines(lines)
            finally:
                self.bad.report()
            bar.advance(sum(map(len, lines.texts)) + len(lines.texts))
            if self.stop.signal:
                return

    def summary(self, complete: bool) -> Summary:
        """Return the figures of reading. `complete` says whether it came to the end."""
        return Summary(
            read=self.read,
            accepted=self.accepted,
            commands=self.commands,
            bad=self.bad.count,
            bad_lines=tuple(self.bad.numbers),
            complete=complete,
        )

    def _push_lines(self, lines: Lines) -> None:
        group: list[NumberedEvent] = []
        most = self.collector.flow.collector.max_bytes
        for number, text in lines.numbered():
            self.read += 1
            try:
                event = parse(text, most)
            except EventError as error:
                self.bad.note(number, error)
                continue
            # A command goes alone, so that a group is accepted as a whole or not at all.
            if is_command(event.get("name")):
                self._push(group)
                self._push([(number, event)])
                group = []
                continue
            group.append((number, event))
            if len(group) >= GROUP:
                self._push(group)
                group = []
        self._push(group)

    def _push(self, group: list[NumberedEvent]) -> None:
        """Push events. Repeat those that found the spool full, while events leave it."""
        detector = StallDetector()
        nothing_waited = False
        while group and not self.stop.signal:
            results = self.collector.push_many([event for _, event in group])
            if full := self._count(group, results):
                statuses = self.collector.status().destinations
                # With nothing waiting, held events and dead letters fill the spool, and stay. Look
                # twice: the last waiting event may have left after the push.
                if nothing_waited or detector.gave_up(statuses):
                    raise full
                nothing_waited = not any(status.waiting for status in statuses.values())
            group = [
                item
                for item, result in zip(group, results, strict=True)
                if isinstance(result, SpoolFull)
            ]
        self._keep_pace()

    def _count(
        self, group: list[NumberedEvent], results: Sequence[PushResult | WalkerError]
    ) -> SpoolFull | None:
        """Count the results of a push; return the error of an event that found no room."""
        full = None
        for (number, event), result in zip(group, results, strict=True):
            if isinstance(result, PushResult):
                command = is_command(event.get("name"))
                self.accepted += not command
                self.commands += command
            elif isinstance(result, EventError):
                self.bad.note(number, result)
            elif isinstance(result, SpoolFull):
                full = result
                continue
            else:
                raise result
            self.last = number
        return full

    def _keep_pace(self) -> None:
        """Pause until the quickest ready destination has few events left.

        A destination that fails, or is slower than another, holds up nobody.
        """
        while not self.stop.signal:
            statuses = self.collector.status().destinations.values()
            waiting = [s.waiting for s in statuses if s.state == "ready" and not s.reason]
            if not waiting or min(waiting) <= READ_AHEAD:
                return
            self.pause(_PAUSE)
