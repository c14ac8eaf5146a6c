"""Output of commands: JSON for programs; tables, log lines and a progress bar for people."""

import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from walker_collector.cli.streams import say
from walker_collector.hookspecs import PROJECT
from walker_collector.text import harmless, visible

# rich is imported where it is used: most commands need neither a table nor a bar.
if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_WIDE: Final = 200
"""Columns of a table that is not printed on a terminal."""
_LEVELS: Final = (logging.WARNING, logging.INFO, logging.DEBUG)
LONG: Final = 1_000_000
"""Bytes of a file from which on reading it shows a progress bar."""


def counted(count: int, thing: str) -> str:
    """Return `1 event` or `2 events`."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def moment(at: int) -> str:
    """Return a time (ms since 1970) as text to the second, in UTC."""
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def duration(seconds: float) -> str:
    """Return a duration (s) as text in its largest fitting unit."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def print_table(
    headers: Sequence[str], rows: Iterable[Sequence[Any]], *, err: bool = False
) -> None:
    """Print a table; columns of numbers are aligned to the right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    stream = sys.stderr if err else sys.stdout
    cells = [list(row) for row in rows]
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for at, header in enumerate(headers):
        number = bool(cells) and all(isinstance(row[at], int) for row in cells)
        table.add_column(header, justify="right" if number else "left", overflow="fold")
    for row in cells:
        table.add_row(*(Text(_cell(value)) for value in row))
    plain = os.environ.get("NO_COLOR")
    console = Console(
        file=stream,
        width=None if stream.isatty() else _WIDE,
        color_system=None if plain else "auto",
    )
    with suppress(OSError) if err else nullcontext():
        console.print(table)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else harmless(visible(str(value)))


@frozen
class ProgressBar:
    """Progress on stderr: bytes read, then deliveries left. Shows nothing unless told where."""

    _shown: "Progress | None" = None
    _task: "TaskID | None" = None

    def advance(self, size: int) -> None:
        """Note that `size` more bytes are read."""
        if self._shown is not None and self._task is not None:
            self._shown.advance(self._task, size)

    def show_left(self, count: int) -> None:
        """Show the number of deliveries left."""
        if self._shown is not None and self._task is not None:
            self._shown.update(self._task, description=f"{count:,} deliveries left")


@contextmanager
def progress_bar(size: int | None) -> Iterator[ProgressBar]:
    """Show a bar for reading `size` bytes, if these are many and stderr is a terminal."""
    if size is None or size < LONG or not sys.stderr.isatty():
        yield ProgressBar()
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        yield ProgressBar(shown, shown.add_task("reading", total=size))


@contextmanager
def live_line() -> Iterator[Callable[[str], None] | None]:
    """Yield a function that replaces a line on stderr; None if that is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    with Live(console=Console(stderr=True), transient=True, auto_refresh=False) as live:
        yield lambda text: live.update(Text(text), refresh=True)


_FORMATTER: Final = logging.Formatter()


class _StderrHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        lines = [f"{record.levelname.lower()}: {visible(record.getMessage())}"]
        if record.exc_text:
            lines += record.exc_text.split("\n")
        elif record.exc_info:
            lines += (self.formatter or _FORMATTER).formatException(record.exc_info).split("\n")
        for line in lines:
            say(line, err=True)


@contextmanager
def log_to_stderr(verbosity: int) -> Iterator[None]:
    """Show the collector's log, a line per record: warnings; from 1 on info; from 2 on all."""
    logger = logging.getLogger(PROJECT)
    before, handler = logger.level, _StderrHandler()
    logger.addHandler(handler)
    logger.setLevel(_LEVELS[min(verbosity, 2)])
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
