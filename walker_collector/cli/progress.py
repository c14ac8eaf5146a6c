"""The progress bar: on stderr, for files that take a while, where somebody looks."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from attrs import define

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

LONG: Final = 1_000_000
"""Bytes from which on a file is worth a bar."""


class Unseen:
    """Shows nothing."""

    def read(self, size: int) -> None:
        return

    def waiting(self, count: int) -> None:
        return


@define
class Bar:
    """A bar of the bytes read, then the number of deliveries that wait."""

    _progress: "Progress"
    _task: "TaskID"

    def read(self, size: int) -> None:
        """Note that `size` more bytes are read."""
        self._progress.advance(self._task, size)

    def waiting(self, count: int) -> None:
        """Show how many deliveries are left."""
        self._progress.update(self._task, description=f"{count:,} deliveries left")


@contextmanager
def progress(size: int | None) -> Iterator[Bar | Unseen]:
    """Show a bar for a file of `size` bytes if it is long and stderr is a terminal."""
    if size is None or size < LONG or not sys.stderr.isatty():
        yield Unseen()
        return
    # Imported here: most runs show no bar.
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        yield Bar(shown, shown.add_task("reading", total=size))
