"""Read the events of `walker run`: as the source `file` does, with reports on stderr."""

import time
from collections.abc import Callable
from typing import Final

from walker_collector.cli.drain import StallDetector
from walker_collector.cli.input_position import InputPosition
from walker_collector.cli.progress_line import BytesRead
from walker_collector.cli.signals import StopSignal
from walker_collector.cli.streams import say
from walker_collector.cli.summary import Summary
from walker_collector.collector import Collector
from walker_collector.results import Status
from walker_collector.sources.file import lines
from walker_collector.sources.file.line_reader import BadLines, HasNoRoom, LineReader
from walker_collector.sources.file.lines import Stream, read_lines, read_so_far
from walker_collector.sources.file.selection import ALL, Selection
from walker_collector.text import counted

_MORE: Final = (
    "more bad lines are counted, not shown; `walker -v run` shows all, --json has their numbers"
)


def open_events(path: str) -> Stream:
    """Open a file of events, or stdin for "-". On a terminal, say that input is expected."""
    stream = lines.open_events(path)
    if path == "-" and stream.isatty():
        say("Reading events from the terminal, one per line; Ctrl-D ends.", err=True)
    return stream


def bad_lines(*, all_shown: bool) -> BadLines:
    """Return a report of bad lines on stderr."""
    return BadLines(lambda text: say(text, err=True, level="warning"), _MORE, all_shown=all_shown)


class EventReader:
    """Pushes the events of a stream to a collector, and reports bad lines.

    lines: has the figures. pause: waits for a number of seconds. all_shown: show every bad line.
    selection: the events to push. position: follows the reading; None: it is not kept. bad: takes
    the bad lines; None: they are shown. status: the figures by which it keeps pace with deliveries;
    None: those of the collector.
    """

    def __init__(
        self,
        collector: Collector,
        stop: StopSignal,
        pause: Callable[[float], object] = time.sleep,
        all_shown: bool = False,
        selection: Selection = ALL,
        position: InputPosition | None = None,
        bad: BadLines | None = None,
        status: Callable[[], Status] | None = None,
    ) -> None:
        self.stop = stop
        self._position = position
        self.lines = LineReader(
            accept=collector.push_many,
            status=status or collector.status,
            max_bytes=collector.flow.collector.max_bytes,
            bad=bad or bad_lines(all_shown=all_shown),
            stopped=lambda: stop.signal is not None,
            patience=_patience,
            pause=pause,
            selection=selection,
            follower=position,
        )

    @property
    def keeps_position(self) -> bool:
        """Whether a later run can go on where this one stops."""
        return self._position is not None

    def run(self, stream: Stream, progress: BytesRead) -> None:
        """Push all events of a stream, until its end or a signal; raises as `LineReader` does."""
        for some in read_lines(stream, self.stop.read):
            if self.stop.signal:  # the last line may be a part of one
                return
            self.lines.hand_on(some)
            progress.count = read_so_far(stream)
            if not self.lines.read:
                progress.passed = progress.count
        if self._position is not None and not self.stop.signal:
            self._keep_end(self._position)

    def _keep_end(self, position: InputPosition) -> None:
        """Keep the position at the end: after it there may be lines that no event came from."""
        (result,) = self.lines.accept([position.end()])
        if isinstance(result, Exception):
            raise result
        if position.resumed and not self.lines.read:
            say(
                f"{position.events}: an earlier run has accepted all of its "
                f"{counted(self.lines.passed, 'line')}; there is nothing left to read",
                err=True,
            )

    def summary(self, complete: bool) -> Summary:
        """Return the figures of reading. `complete` says whether it came to the end."""
        return Summary(
            read=self.lines.read,
            accepted=self.lines.accepted,
            commands=self.lines.commands,
            passed=self.lines.passed,
            left_out=self.lines.left_out,
            bad=self.lines.bad.count,
            bad_lines=tuple(self.lines.bad.numbers),
            complete=complete,
        )


def _patience() -> HasNoRoom:
    """Return a function that gives up on a full spool that nothing can be expected to leave."""
    detector = StallDetector()
    nothing_waited = False

    def gives_up(status: Status) -> bool:
        nonlocal nothing_waited
        # With nothing waiting, held events and dead letters fill the spool, and stay. Look twice:
        # the last waiting event may have left after the push.
        if nothing_waited or detector.gave_up(status.destinations):
            return True
        nothing_waited = not any(item.waiting for item in status.destinations.values())
        return False

    return gives_up
