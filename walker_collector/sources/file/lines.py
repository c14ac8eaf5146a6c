"""Lines of events (NDJSON): read from a file or stdin, numbered, parsed."""

import itertools
import json
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from io import BufferedIOBase, BufferedReader, FileIO
from typing import TYPE_CHECKING, Any, Final, cast

import orjson
from attrs import frozen

from walker_collector.errors import EventError, WalkerError
from walker_collector.events import Bounds, UnreadEvent, read_event
from walker_collector.events.long_integers import may_have_long_integer
from walker_collector.sources.file.archives import Archive, unpacked
from walker_collector.sources.file.documents import (
    ADVICE,
    ADVICE_ON_ARRAY,
    is_document,
    split_document,
)
from walker_collector.text import brief

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

PIECE: Final = 256 * 1024
"""Bytes read at once, at most."""
LONGEST: Final = 64 * 1024 * 1024
"""Bytes of a line, or of a document, that are read into memory at most."""
TOO_LONG: Final = b"<a line of more than 64 MiB>"
"""Stands for such a line."""
_LOOSE: Final = 4
"""A line may have this many times the bytes of its event: spaces and escapes are not kept."""
_FOREIGN: Final = {
    b"\x1f\x8b": "compressed by gzip; give it as a file, or unpack it with `gunzip -c`",
    b"\x28\xb5\x2f\xfd": "compressed by zstd; give it as a file, or unpack it with `zstd -dc`",
    b"\xfd7zXZ": "compressed by xz; unpack it with `xz -dc`",
    b"BZh": "compressed by bzip2; unpack it with `bunzip2 -c`",
    b"PK\x03\x04": "a zip archive; unpack it with `unzip -p`",
    b"\xff\xfe": "UTF-16 text; convert it with `iconv -f utf-16 -t utf-8`",
    b"\xfe\xff": "UTF-16 text; convert it with `iconv -f utf-16 -t utf-8`",
}
"""The beginnings of files that hold no lines of UTF-8."""
_BOM: Final = b"\xef\xbb\xbf"
_NAME_SHOWN: Final = 200
"""Characters of a name that are shown of a bad line."""

Stream = BufferedIOBase

Read = Callable[[Stream], bytes]


class _FileAsOpened(FileIO):
    """A file up to its size at opening: one that grows by its own deliveries would never end."""

    def __init__(self, path: str, flags: int) -> None:
        super().__init__(path, opener=lambda path, own: os.open(path, own | flags))
        self._left = os.fstat(self.fileno()).st_size or sys.maxsize  # of a pipe: no end known

    def readinto(self, buffer: "WriteableBuffer") -> int:
        count = super().readinto(memoryview(buffer)[: self._left]) or 0
        self._left -= count
        return count


def open_events(path: str, *, waits: bool = True) -> Stream:
    """Open a file of events, or stdin for "-"; a file is read up to its size at this moment.

    A regular file may be compressed, by gzip or zstd; raises WalkerError without a reader of zstd.
    `waits`: at a named pipe, wait for somebody who writes. Without it, its reader has to poll.
    """
    if path == "-":
        return cast(Stream, sys.stdin.buffer)
    file = BufferedReader(_FileAsOpened(path, 0 if waits else os.O_NONBLOCK))
    return unpacked(file) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else file


def size_of(stream: Stream) -> int | None:
    """Return the size of a file in bytes; None for a pipe or terminal."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return None
    return status.st_size or None


def read_so_far(stream: Stream) -> int:
    """Return how many bytes of a file are read, of a compressed one its own; 0 for a pipe."""
    try:
        return (stream.packed if isinstance(stream, Archive) else stream).tell()
    except (OSError, ValueError):
        return 0


def read_piece(stream: Stream) -> bytes:
    """Return the bytes a stream has ready, b"" at its end. Wait only while it has none."""
    # Not `read`: it would keep the lines of a slow stream waiting until the piece is full.
    return stream.read1(PIECE)


@frozen
class Lines:
    """Consecutive lines. `first` is the number of the first one, unless `numbers` has them all."""

    first: int
    texts: list[bytes]
    numbers: Sequence[int] | None = None

    def numbered(self) -> Iterable[tuple[int, bytes]]:
        """Return number and text of each line that is not blank."""
        numbers = itertools.count(self.first) if self.numbers is None else self.numbers
        return ((at, text) for at, text in zip(numbers, self.texts, strict=False) if text.strip())


def read_lines(stream: Stream, read: Read = read_piece) -> Iterator[Lines]:
    """Yield the lines of a stream as they arrive, many at a time.

    A JSON array, or objects over several lines, are read whole: each event is a line, numbered by
    its position in the array or by the line it begins at. A line of more than 64 MiB is passed
    over, and `TOO_LONG` takes its place. Raises WalkerError for such a document, and for files that
    hold no text.
    """
    first = 1
    rest = b""
    while piece := read(stream):
        rest += piece
        if first == 1:
            _refuse_foreign(rest)
        if first == 1 and (document := is_document(rest.removeprefix(_BOM))) is not False:
            if document is None and len(rest) <= LONGEST:
                continue
            yield _read_document(stream, read, rest.removeprefix(_BOM))
            return
        if b"\n" not in piece:
            rest += b"".join(_to_newline(stream, read, LONGEST - len(rest)))
        texts = rest.split(b"\n")
        rest = texts.pop()
        if first == 1 and texts:
            texts[0] = texts[0].removeprefix(_BOM)
        if texts:
            yield Lines(first, texts)
        first += len(texts)
        if len(rest) > LONGEST:
            yield Lines(first, [TOO_LONG])
            first += 1
            rest = _after_newline(stream, read)
    if rest:
        texts = rest.split(b"\n")
        yield Lines(first, [texts[0].removeprefix(_BOM) if first == 1 else texts[0], *texts[1:]])


def _refuse_foreign(begun: bytes) -> None:
    for beginning, reason in _FOREIGN.items():
        if begun.startswith(beginning):
            raise WalkerError(f"the file is {reason}")


def _after_newline(stream: Stream, read: Read) -> bytes:
    """Pass over the rest of a line; return the beginning of the next."""
    while piece := read(stream):
        if b"\n" in piece:
            return piece.partition(b"\n")[2]
    return b""


def _to_newline(stream: Stream, read: Read, most: int) -> Iterator[bytes]:
    """Yield pieces up to one with a newline, to be joined at once: a long line has many of them."""
    while most >= 0 and (piece := read(stream)):
        yield piece
        if b"\n" in piece:
            return
        most -= len(piece)


def _read_document(stream: Stream, read: Read, begun: bytes) -> Lines:
    pieces = [begun]
    size = 0
    while pieces[-1]:
        size += len(pieces[-1])
        if size > LONGEST:
            what = "an array" if begun.lstrip().startswith(b"[") else "JSON"
            advice = ADVICE_ON_ARRAY if what == "an array" else ADVICE
            raise WalkerError(f"{what} of more than {LONGEST:,} bytes in one piece; {advice}")
        pieces.append(read(stream))
    values = split_document(b"".join(pieces))
    return Lines(1, [text for _, text in values], [number for number, _ in values])


def read(text: bytes, most: int) -> UnreadEvent | dict[str, Any]:
    """Return the event of a line, unread if it is a usual one; raises as `parse` does."""
    return (len(text) <= most and read_event(text)) or parse(text, most)


def parse(text: bytes, most: int = Bounds().bytes) -> dict[str, Any]:
    """Return the JSON object of a line; `most` is the size (bytes) of an event.

    Raises EventError for other text, for an integer beyond 64 bits, and for a line that is too long
    for an event: its values might take many times its length in memory.
    """
    if text is TOO_LONG:
        raise EventError(f"has more than {LONGEST:,} bytes; {ADVICE}")
    if len(text) > _LOOSE * most:
        raise EventError(
            f"has {len(text):,} bytes; an event has {most:,} at most (collector.maxBytes)"
        )
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise EventError(f"not JSON: {error.msg} (column {error.colno})") from None
    if not isinstance(value, dict):
        raise EventError("not an event: expected a JSON object")
    if "name" not in value and (wrapper := _list_of_objects(value)):
        raise EventError(f"no event, but a list of them; write each on a line: `jq -c '{wrapper}'`")
    # The standard library's parser is slow, so it checks only lines with this many digits.
    if may_have_long_integer(text):
        _check_integers(text)
    return value


def _list_of_objects(value: dict[str, Any]) -> str | None:
    """Return the jq filter of the list in an object such as `{"batch": [{...}]}`, if it has one."""
    for key, item in value.items():
        if isinstance(item, list) and item and isinstance(item[0], dict):
            return (
                f".{key}[]" if key.isidentifier() and key.isascii() else f".[{json.dumps(key)}][]"
            )
    return None


def _check_integers(text: bytes) -> None:
    """Raise EventError for an integer beyond 64 bits.

    orjson makes a rounded float of it, and a rounded id is the id of someone else.
    """
    try:
        json.loads(text, parse_int=_check_integer)
    except RecursionError:
        raise EventError("event is nested too deeply") from None


def _check_integer(digits: str) -> None:
    if not -(2**63) <= int(digits) < 2**64:
        count = len(digits.lstrip("-"))
        raise EventError(
            f"an integer beyond 64 bits ({count:,} digits), which would be rounded; send it as text"
        )


def name_of(event: Any) -> str | None:
    """Return the name of a parsed line, cut; None if it has no name or is no object."""
    name = event.get("name") if isinstance(event, dict) else None
    return brief(name, _NAME_SHOWN) if isinstance(name, str) else None
