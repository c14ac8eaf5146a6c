"""The plugin: hands on the events of a file, a named pipe or stdin, and ends with them."""

import select
import threading
from typing import Final

from attrs import field, frozen

from walker_collector.clients import filled
from walker_collector.errors import PluginError
from walker_collector.hookspecs import SourceContext, hookimpl
from walker_collector.results import Status
from walker_collector.sources.file.line_reader import BadLines, LineReader
from walker_collector.sources.file.lines import Stream, open_events, read_lines, read_piece
from walker_collector.text import counted
from walker_collector.validators import names_file

_LOOK: Final = 50
"""Milliseconds between two looks for the stop, while nothing comes."""
_MORE: Final = "more bad lines are counted, not shown"


@frozen(kw_only=True)
class Settings:
    """Settings of the file source.

    path: a file of events, one JSON object per line; or a named pipe; `-` is stdin.
    """

    path: str = field(validator=[filled, names_file], metadata={"present": "file"})


class FileSource:
    """Hands on events and commands, one JSON object per line, and ends with the last one."""

    settings = Settings
    corrects_times = False

    @hookimpl
    def run(self, context: SourceContext) -> None:
        """Read to the end, or until the stop; raises PluginError for a file that cannot be read."""
        path = context.settings.path
        shown = "stdin" if path == "-" else path
        reader = LineReader(
            accept=context.accept,
            status=context.status or _no_figures,
            max_bytes=context.max_bytes,
            bad=BadLines(lambda text: context.logger.warning("%s: %s", shown, text), _MORE),
            stopped=context.stop.is_set,
            finishes=True,
            reads_whole=context.config.has_steps,
            pause=context.stop.wait,
        )
        try:
            with open_events(path, waits=False) as stream:
                context.ready(shown)
                reading = _Reading(context.stop)
                for lines in read_lines(stream, reading):
                    if reading.cut_short:  # what is left is a part of a line
                        break
                    reader.hand_on(lines)
        except OSError as error:
            raise PluginError(f"{path}: {error.strerror or error} (settings.path)") from None
        if reader.bad.count:
            context.logger.warning(
                "%s: %s of %s bad", shown, f"{reader.bad.count:,}", counted(reader.read, "line")
            )
        if context.stop.is_set():
            context.logger.info("%s: stopped after line %d", shown, reader.last)


class _Reading:
    """Reads as `read_piece` does, and ends at the stop; `cut_short` tells that it did."""

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop
        self.cut_short = False

    def __call__(self, stream: Stream) -> bytes:
        poll = select.poll()
        poll.register(stream, select.POLLIN)
        while not self._stop.is_set():
            if poll.poll(_LOOK):
                return read_piece(stream)
        self.cut_short = True
        return b""


def _no_figures() -> Status:
    return Status(accepted=0, durable=False, stored=0, destinations={})
