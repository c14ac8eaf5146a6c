"""Lines handed on to a collector: in groups, at the pace of delivery, bad ones reported."""

import time
from collections.abc import Callable, Container, Sequence
from contextlib import suppress
from operator import itemgetter
from typing import Any, Final, Protocol

from attrs import define, field

from walker_collector.errors import EventError, SpoolFull
from walker_collector.events import COMMANDS, UnreadEvent, is_command, whole
from walker_collector.results import PushResult, Status
from walker_collector.sources.file.lines import Lines, parse, read
from walker_collector.sources.file.selection import ALL, Selection

GROUP: Final = 500
"""Events handed on at once, at most."""
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

NumberedEvent = tuple[int, bool, Any]
"""The number of a line, whether it has a command, and the event or command to hand on."""
HasNoRoom = Callable[[Status], bool]
"""Told the figures after an event found no room; returns whether to give up."""
_REPEATED: Final = frozenset({"walker user", "walker globals"})
"""Commands that hold for the process alone, so that each run has to be told again."""


class Follower(Protocol):
    """Follows the reading of a file, of which earlier runs may have handed on some lines."""

    def passes(self, number: int, text: bytes) -> bool:
        """Note a line; return whether it was handed on before."""

    def place(self, event: UnreadEvent | dict[str, Any]) -> Any:
        """Return the object to hand on for the event of the last noted line."""


@define
class BadLines:
    """Counts lines without a valid event, and shows the first of them by `say`.

    more: said when lines are counted only. all_shown: show every one. count: how many there are.
    numbers: their line numbers, in order; of millions, the first ones.
    """

    say: Callable[[str], object]
    more: str
    all_shown: bool = False
    count: int = 0
    numbers: list[int] = field(factory=list)
    _unreported: list[tuple[int, EventError | str]] = field(factory=list)

    def note(self, number: int, error: EventError | str) -> None:
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
                self.say(f"line {number}: {error}")
            elif self.count == SHOWN + 1:
                self.say(self.more)
        self._unreported.clear()


@define(kw_only=True)
class LineReader:
    """Hands the events of lines to `accept`, and counts lines.

    accept, status: as of a source's context. max_bytes: size of an event, at most.
    stopped: whether nothing more is to be handed on; with `finishes`, lines that were read still
        are, once: a pipe has them no more.
    patience: returns a function for each group that decides when to give up on a full spool.
    pause: waits for a number of seconds.
    selection: the events that are handed on; commands always are.
    reads_whole: the events are looked at; else only a header is read of the usual ones.
    follower: follows the reading; None: nobody does.

    read: lines that are not blank. passed: those before that an earlier run has handed on.
    left_out: events that are not selected. accepted: events. commands: commands. last: number of
    the last line that was accepted or bad.
    """

    accept: Callable[[Sequence[Any]], Sequence[Any]]
    status: Callable[[], Status]
    max_bytes: int
    bad: BadLines
    stopped: Callable[[], bool]
    finishes: bool = False
    patience: Callable[[], HasNoRoom] = lambda: lambda status: False
    pause: Callable[[float], object] = time.sleep
    selection: Selection = ALL
    follower: Follower | None = None
    reads_whole: bool = False
    read: int = field(default=0, init=False)
    passed: int = field(default=0, init=False)
    left_out: int = field(default=0, init=False)
    accepted: int = field(default=0, init=False)
    commands: int = field(default=0, init=False)
    last: int = field(default=0, init=False)

    def hand_on(self, lines: Lines) -> None:
        """Hand on the events of some lines, and report the bad ones.

        Raises WalkerError if the spool fails, or has no room and none can be expected. Then no line
        after `last` was accepted.
        """
        try:
            self._hand_on(lines)
        finally:
            self.bad.report()

    def _hand_on(self, lines: Lines) -> None:
        group: list[NumberedEvent] = []
        follower, selects = self.follower, bool(self.selection)
        read_line = parse if selects or self.reads_whole else read
        for number, text in lines.numbered():
            if follower is not None and follower.passes(number, text):
                self.passed += 1
                if b"walker " in text:  # seldom
                    self.run_uncounted(text, _REPEATED)
                continue
            self.read += 1
            try:
                event = read_line(text, self.max_bytes)
            except EventError as error:
                self.bad.note(number, error)
                continue
            # A command goes alone, so that a group is accepted as a whole or not at all.
            if not isinstance(event, UnreadEvent) and is_command(event.get("name")):
                handed = event if follower is None else follower.place(event)
                self._push(group)
                self._push([(number, True, handed)])
                group = []
                continue
            if selects and not self.selection.has(whole(event)):
                self.left_out += 1
                continue
            handed = event if follower is None else follower.place(event)
            group.append((number, False, handed))
            if len(group) >= GROUP:
                self._push(group)
                group = []
        self._push(group)

    def run_uncounted(self, text: bytes, commands: Container[object] = COMMANDS) -> None:
        """Run the command of a line that another process has counted, in this one too."""
        with suppress(EventError):
            event = parse(text, self.max_bytes)
            if event.get("name") in commands:
                self.accept([event])

    def _push(self, group: Sequence[NumberedEvent]) -> None:
        """Hand on events. Repeat those that found no room, while events leave the spool."""
        gives_up = self.patience()
        final = self.finishes
        while group and (final or not self.stopped()):
            final = False
            results = self.accept([handed for _, _, handed in group])
            if full := self._count(group, results):
                if gives_up(self.status()):
                    raise full
                self.pause(_PAUSE)
            group = [
                item
                for item, result in zip(group, results, strict=True)
                if isinstance(result, SpoolFull)
            ]
        self._keep_pace()

    def _count(self, group: Sequence[NumberedEvent], results: Sequence[Any]) -> SpoolFull | None:
        """Count the results of a group; return the error of an event that found no room."""
        full = None
        for (number, command, _), result in zip(group, results, strict=True):
            if isinstance(result, PushResult):
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
        while not self.stopped():
            statuses = self.status().destinations.values()
            waiting = [s.waiting for s in statuses if s.state == "ready" and not s.reason]
            if not waiting or min(waiting) <= READ_AHEAD:
                return
            self.pause(_PAUSE)
