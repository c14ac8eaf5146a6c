"""Fold lines to the width of a terminal, which would break words, numbers, paths and times.

Pure, apart from the width. Output that is not a terminal's stays on one line: programs read lines.
"""

import os
import re
import shutil
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final, TextIO

_BREAK: Final = re.compile(r"(?<=\S) +|(?<=,)(?=[\"{\[])")
"""Places where a line may be broken: spaces, and in JSON before the next key or value."""
_COMMAND: Final = re.compile(r"`[^`]+`")
"""A command in backticks, which somebody copies as a whole."""
_INDENT: Final = 4
_NARROWEST: Final = 20

Span = tuple[int, int]


def columns_of(stream: TextIO) -> int | None:
    """Return the columns of a terminal; None for any other stream."""
    try:
        if not stream.isatty():
            return None
        if (columns := os.environ.get("COLUMNS", "")).isdecimal() and int(columns):
            return max(int(columns), _NARROWEST)
        return max(os.get_terminal_size(stream.fileno()).columns, _NARROWEST)
    except (OSError, ValueError):  # a stream that has no number, or is closed
        return max(shutil.get_terminal_size().columns, _NARROWEST)


def fold_points(text: str, columns: int) -> list[tuple[Span, str]]:
    """Return the spans of a line to replace, each with its line end and indentation.

    A word that is longer than a line stays whole, on a line of its own; so does a command in
    backticks, if it fits into one.
    """
    leading = len(text) - len(text.lstrip(" "))
    indent = leading + _INDENT if leading + _INDENT <= columns // 2 else 0
    found: list[tuple[Span, str]] = []
    column, at, gap = leading, leading, (leading, leading)
    for span in (*_breaks(text, columns - indent), (len(text), len(text))):
        word = cells(text[at : span[0]])
        if at > leading and column + (gap[1] - gap[0]) + word > columns:
            found.append((gap, "\n" + " " * indent))
            column = indent + word
        else:
            column += gap[1] - gap[0] + word
        gap, at = span, span[1]
    return found


def _breaks(text: str, room: int) -> Iterator[Span]:
    """Yield the places where a line may be broken: not in a command that fits into `room`."""
    commands = (span for match in _COMMAND.finditer(text) if (span := _word(text, match, room)))
    command = next(commands, None)
    for match in _BREAK.finditer(text):
        while command and command[1] <= match.start():
            command = next(commands, None)
        if not (command and command[0] < match.end()):
            yield match.span()


def _word(text: str, command: re.Match[str], room: int) -> Span | None:
    """Return the span of a command and its punctuation; None if that does not fit into `room`."""
    first, last = command.span()
    if last - first > room:
        return None
    first = text.rfind(" ", max(0, first - room), first) + 1 or max(0, first - room)
    end = text.find(" ", last, last + room)
    last = end if end >= 0 else min(len(text), last + room)
    return (first, last) if cells(text[first:last]) <= room else None


def folded(parts: Sequence[str], columns: int | None) -> list[str]:
    """Return the parts of one line, folded together to `columns`; None: as they are."""
    if columns is None:
        return list(parts)
    changes = fold_points("".join(parts), columns)
    result, start = [], 0
    for part in parts:
        text, at, end = "", 0, start + len(part)
        for (first, last), put in changes:
            if start <= first < end and last <= end:
                text += part[at : first - start] + put
                at = last - start
        result.append(text + part[at:])
        start = end
    return result


def cells(text: str) -> int:
    """Return the columns that a text takes: two for each wide letter."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in "WF")
        for char in text
    )
