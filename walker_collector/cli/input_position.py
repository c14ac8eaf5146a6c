"""The position of a run in its file of events, which `walker run --resume` goes on from."""

import os
from contextlib import closing
from pathlib import Path
from zlib import crc32

import click
from attrs import define, field

from walker_collector.cli.streams import say
from walker_collector.config import FlowConfig
from walker_collector.errors import WalkerError
from walker_collector.events import UnreadEvent, new_id
from walker_collector.intake.origin import Placed
from walker_collector.runtime import open_spool
from walker_collector.spool import Position
from walker_collector.text import counted

_NO_SPOOL = (
    "--resume needs a spool, which keeps the position with the events: add "
    '"collector": {"spool": {"path": "spool.db"}} to %s'
)
_NO_FILE = "--resume needs a file: what a pipe, or stdin, has given cannot be read again"


class InputChanged(WalkerError):
    """The lines that an earlier run has accepted are others now."""


@define
class InputPosition:
    """Follows a run through its file: passes over the lines that an earlier run has accepted.

    events: the file as it was given. run: the position that this run has begun at.
    is_passing: whether the lines that come are some that were accepted.
    """

    events: str
    _run: Position
    is_passing: bool = field(init=False)
    _line: int = field(default=0, init=False)
    _checksum: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self.is_passing = self.resumed

    def passes(self, number: int, text: bytes) -> bool:
        """Note a line; return whether an earlier run has accepted it.

        Raises InputChanged if the lines up to its position are others than they were.
        """
        self._line = number
        self._checksum = crc32(text, self._checksum)
        if not self.is_passing:
            return False
        if number >= self._run.offset:
            self.is_passing = False
            if (number, self._checksum) != (self._run.offset, self._run.checksum):
                raise self._changed()
            say(f"{self.events}: going on after line {number:,}", err=True)
        return True

    def place(self, event: UnreadEvent | dict[str, object]) -> Placed:
        """Return the event of the line that was noted last, to be accepted with its position."""
        return Placed(event, self._position())

    def end(self) -> Placed:
        """Return the position at the end of the file.

        Raises InputChanged if the file has fewer lines than were accepted.
        """
        if self.is_passing:
            raise self._changed()
        return Placed(None, self._position())

    def _position(self) -> Position:
        return Position(self._run.input, self._run.run, self._line, self._checksum)

    def _changed(self) -> InputChanged:
        return InputChanged(
            f"{self.events} has changed: its first {counted(self._run.offset, 'line')} are others "
            "than those that the earlier run has accepted. Restore them, or run it without "
            "--resume, from the first line on"
        )

    @property
    def resumed(self) -> bool:
        """Whether this run has gone on from an earlier one."""
        return self._run.offset > 0

    def announce(self) -> None:
        """Say that the run begins at the first line. `passes` says where one goes on."""
        if not self.resumed:
            say(f"{self.events}: no earlier run to go on from; reading all lines", err=True)


def no_spool(flow: FlowConfig) -> str:
    """Return the error of --resume with a flow that has no spool."""
    return _NO_SPOOL % flow.source


def begin(flow: FlowConfig, events: str, *, resume: bool) -> InputPosition | None:
    """Begin a run of a file in the spool; with `resume`, where the last run has stopped.

    Returns None, as no position can be kept, without a spool or for a pipe; with `resume` that is
    an error of usage.
    """
    if events == "-" or not Path(events).is_file():
        if resume:
            raise click.UsageError(_NO_FILE)
        return None
    if flow.collector.spool is None:
        if resume:
            raise click.UsageError(no_spool(flow))
        return None
    with closing(open_spool(flow.collector)) as spool:
        assert spool.durable
        # A name of a file may have bytes that are no text, which a spool cannot have in one.
        path = os.fsencode(os.path.realpath(events)).decode("utf-8", "backslashreplace")
        run = Position(path, new_id())
        before = spool.position_of(run.input)
        if resume and before is not None:
            run = run._replace(offset=before.offset, checksum=before.checksum)
        spool.take_over_position(before, run)
    if before is not None and before.offset and not resume:
        say(
            f"{events}: reading all lines; with --resume it would go on after line "
            f"{before.offset:,}, where an earlier run has ended",
            err=True,
        )
    return InputPosition(events, run)
