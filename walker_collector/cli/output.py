"""Output of commands: JSON for programs; tables for people."""

import os
import sys
from collections.abc import Iterable, Sequence
from contextlib import nullcontext, suppress
from typing import Any, Final

from walker_collector.cli.folding import cells as cells_of
from walker_collector.cli.folding import columns_of
from walker_collector.cli.streams import say
from walker_collector.text import counted, harmless, visible

_WIDE: Final = 100_000
"""Columns of a table that is not printed on a terminal: programs read its lines."""
_ROW: Final = "    "
"""Indentation below the heading of a row."""


def duration(seconds: float) -> str:
    """Return a duration (s) as text in its largest fitting unit."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"


def outbox_line(waiting: int, age: float, reason: str) -> str:
    """Return the line about events in the outbox, the first of them pushed `age` seconds ago.

    `reason`: why nobody accepts them; "": somebody does.
    """
    what, why = counted(waiting, "event"), reason and f"; {reason}"
    return f"outbox: {what} to be accepted, the oldest for {duration(age)}{why}"


def print_table(
    headers: Sequence[str], rows: Iterable[Sequence[Any]], *, err: bool = False
) -> None:
    """Print a table; columns of numbers are aligned to the right.

    Where a terminal is too narrow for it, each row is printed as a heading and lines.
    """
    from rich import box  # here, as most commands print no table
    from rich.console import Console
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

    stream = sys.stderr if err else sys.stdout
    cells = [list(row) for row in rows]
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for at, header in enumerate(headers):
        number = bool(cells) and all(isinstance(row[at], int) for row in cells)
        table.add_column(header, justify="right" if number else "left", no_wrap=True)
    for row in cells:
        table.add_row(*(Text(_cell(value)) for value in row))
    columns = columns_of(stream)
    console = Console(
        file=stream,
        width=columns or _WIDE,
        height=25,  # with it rich takes the width for a dumb terminal too
        color_system=None if os.environ.get("NO_COLOR") else "auto",
    )
    wide = console.options.update(width=_WIDE)
    if columns and cells and Measurement.get(console, wide, table).maximum > columns:
        _print_rows(headers, cells, columns, err=err)
        return
    with suppress(OSError) if err else nullcontext():
        console.print(table)


def _print_rows(
    headers: Sequence[str], rows: Iterable[Sequence[Any]], columns: int, *, err: bool
) -> None:
    """Print the first cell of each row as a heading, and the others below it, several to a line."""
    for first, *rest in rows:
        say(_cell(first), err=err)
        named = [(header, _cell(value)) for header, value in zip(headers[1:], rest, strict=True)]
        line = ""
        for text in (f"{header} {value}" for header, value in named if value):
            if line and len(_ROW) + cells_of(line) + 2 + cells_of(text) > columns:
                say(_ROW + line, err=err)
                line = ""
            line = f"{line}, {text}" if line else text
        if line:
            say(_ROW + line, err=err)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else harmless(visible(str(value)))
