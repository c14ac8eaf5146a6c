"""Lines into a collector, in groups, with what is wrong of them reported by number."""

import time
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, Final, Protocol

import click
from attrs import define, field

from walker_collector.cli.drain import StallDetector
from walker_collector.cli.lines import Lines, Stream, parse, read_lines
from walker_collector.cli.signals import StopSignal
from walker_collector.cli.summary import Summary
from walker_collector.collector import Collector
from walker_collector.errors import EventError, SpoolFull, WalkerError
from walker_collector.results import PushResult
from walker_collector.statements import COMMANDS

GROUP: Final = 500
READ_AHEAD: Final = 5_000
"""Events that may wait at each destination at work before reading pauses. What was read long before
its turn takes memory, and is no longer in the processor's cache.
"""
_GLANCE: Final = 0.01
SHOWN: Final = 20
"""Bad lines that are shown one by one."""


class Watcher(Protocol):
    """Is told how far the reading is."""

    def read(self, size: int) -> None:
        """Note that `size` more bytes are read and their events accepted."""


@define
class BadLines:
    """Lines that hold no event: the first are shown on stderr, all are counted.

    all_shown: show them all. numbers: of the lines, in order.
    """

    all_shown: bool = False
    numbers: list[int] = field(factory=list)
    _noted: list[tuple[int, EventError]] = field(factory=list)

    def note(self, number: int, error: EventError) -> None:
        """Note one, to be told in order."""
        self._noted.append((number, error))

    def tell(self) -> None:
        """Show what was noted since the last time, by number."""
        for number, error in sorted(self._noted, key=itemgetter(0)):
            self.numbers.append(number)
            if self.all_shown or len(self.numbers) <= SHOWN:
                click.echo(f"line {number}: {error}", err=True)
            elif len(self.numbers) == SHOWN + 1:
                click.echo(
                    "more bad lines are counted, not shown; `walker -v run` shows all, "
                    "--json has their numbers",
                    err=True,
                )
        self._noted.clear()


Group = list[tuple[int, dict[str, Any]]]
"""Events with their line numbers."""


@define
class EventReader:
    """Pushes the lines of a stream, and counts.

    read: lines that are not blank. accepted: events. commands: changes of state.
    last: number of the last line that was dealt with. `pause` waits for so many seconds.
    """

    collector: Collector
    stop: StopSignal
    pause: Callable[[float], object] = time.sleep
    bad: BadLines = field(factory=BadLines)
    read: int = 0
    accepted: int = 0
    commands: int = 0
    last: int = 0

    def run(self, stream: Stream, watcher: Watcher) -> None:
        """Push all there is, until the end or a signal.

        Raises WalkerError where the spool fails or no destination makes room any more: then
        nothing after line `last` was accepted.
        """
        for lines in read_lines(stream, self.stop.read):
            try:
                self._push_lines(lines)
            finally:
                self.bad.tell()
            watcher.read(sum(map(len, lines.texts)) + len(lines.texts))
            if self.stop.signal:
                return

    def _keep_pace(self) -> None:
        """Wait for the quickest destination; those in trouble hold nobody up."""
        while not self.stop.signal:
            statuses = self.collector.status().destinations.values()
            waiting = [s.waiting for s in statuses if s.state == "ready" and not s.reason]
            if not waiting or min(waiting) <= READ_AHEAD:
                return
            self.pause(_GLANCE)

    def summary(self, complete: bool) -> Summary:
        """Return the figures of the reading; `complete` where it came to its end."""
        return Summary(
            read=self.read,
            accepted=self.accepted,
            commands=self.commands,
            bad=len(self.bad.numbers),
            bad_lines=tuple(self.bad.numbers),
            complete=complete,
        )

    def _push_lines(self, lines: Lines) -> None:
        group: Group = []
        for number, text in lines.numbered():
            self.read += 1
            try:
                event = parse(text)
            except EventError as error:
                self.bad.note(number, error)
                continue
            # A command by itself, so that a group is accepted as a whole or not at all.
            if event.get("name") in COMMANDS:
                self._push(group)
                self._push([(number, event)])
                group = []
                continue
            group.append((number, event))
            if len(group) >= GROUP:
                self._push(group)
                group = []
        self._push(group)

    def _push(self, group: Group) -> None:
        """Push events, again and again where there is no room yet."""
        detector = StallDetector()
        nothing_waited = False
        while group and not self.stop.signal:
            results = self.collector.push_many([event for _, event in group])
            if full := self._note(group, results):
                statuses = self.collector.status().destinations
                # Where nothing waits, what takes the room is held or dead, and stays.
                if nothing_waited or detector.gave_up(statuses):
                    raise full
                nothing_waited = not any(status.waiting for status in statuses.values())
            group = [
                item
                for item, result in zip(group, results, strict=True)
                if isinstance(result, SpoolFull)
            ]
        self._keep_pace()

    def _note(self, group: Group, results: Sequence[PushResult | WalkerError]) -> SpoolFull | None:
        full = None
        for (number, event), result in zip(group, results, strict=True):
            if isinstance(result, PushResult):
                command = event.get("name") in COMMANDS
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
