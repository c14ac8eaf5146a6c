"""How results are shown: JSON for programs, tables and lines for people."""

import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import click
import orjson

_WIDE: Final = 200
"""Columns of a table that no terminal bounds."""


def print_json(value: Any) -> None:
    """Print one value, on one line."""
    click.echo(to_json(value))


def to_json(value: Any) -> str:
    """Return a value as JSON; what JSON does not know, as text."""
    return orjson.dumps(value, default=str).decode()


def printable(text: str) -> str:
    """Return text without control characters: they could steer the terminal."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def print_table(
    headers: Sequence[str], rows: Iterable[Sequence[Any]], *, err: bool = False
) -> None:
    """Print a table; numbers stand at the right."""
    # Imported here: most commands never show a table.
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
    console = Console(file=stream, width=None if stream.isatty() else _WIDE)
    console.print(table)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else printable(str(value))


def counted(count: int, thing: str) -> str:
    """Return `1 event` or `2 events`."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def moment(at: int) -> str:
    """Return a time (ms since 1970) for people."""
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def duration(seconds: float) -> str:
    """Return a duration (s) for people, in its largest fitting unit."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} s"
