"""The calls of hooks that are under way, each process's in a file of its own.

Others look there for people whose calls they must wait for. A call is over when its process ends,
so nothing of it need outlast the memory of the machine: a file is written without a transaction,
which costs less than a hundredth of one.
"""

import os
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from struct import Struct
from typing import Final, NamedTuple
from zlib import crc32

from walker_collector.spool.processes.files import locks_folder, locks_path, open_file, unwritable

_SUFFIX: Final = ".calls"
_MARK: Final = "I"
_HEAD: Final = Struct("<II")
"""The checksum of the content, and its length."""
_CALL: Final = Struct("<QII")
"""The number of a call, and the lengths of its destination and its marks, which follow."""
_TRIES: Final = 100
"""Attempts to read a file while its process writes it, which takes microseconds."""


class Call(NamedTuple):
    """A call under way: its process, its number there, and the marks of its people."""

    process: str
    number: int
    destination: str
    people: "array[int]"


class CallsFile:
    """The calls of this process; `process` is its name among the others.

    Written by the one who has the write lock, so that a call comes before or after every commit.
    """

    def __init__(self, spool: Path, process: str) -> None:
        self._spool = spool
        self._path = locks_folder(spool) / f"{process}{_SUFFIX}"
        self._calls: dict[int, bytes] = {}
        self._descriptor = open_file(spool, self._path)

    def begin(self, number: int, destination: str, people: Iterable[int]) -> None:
        """Note a call with the marks of its people. Raises SpoolError, with nothing noted."""
        name, marks = destination.encode(), array(_MARK, people).tobytes()
        self._calls[number] = _CALL.pack(number, len(name), len(marks)) + name + marks
        try:
            self._write()
        except BaseException:
            del self._calls[number]
            raise

    def end(self, numbers: Iterable[int]) -> None:
        """Note that calls are over."""
        for number in numbers:
            self._calls.pop(number, None)
        if self._descriptor >= 0:
            self._write()

    def _write(self) -> None:
        content = b"".join(self._calls.values())
        data = _HEAD.pack(crc32(content), len(content)) + content
        try:
            if os.pwrite(self._descriptor, data, 0) == len(data):
                return
            raise OSError("written in part")
        except OSError as error:
            raise unwritable(self._spool, self._path, error) from None

    def close(self) -> None:
        """Delete the file: no call is under way any more."""
        if self._descriptor >= 0:
            self._path.unlink(missing_ok=True)
            self.abandon()

    def abandon(self) -> None:
        """Close this copy of the file, in a forked child: the calls are the parent's."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def calls_under_way(spool: Path) -> list[Call]:
    """Return the calls that are noted, those of processes that were killed among them."""
    return [call for path in locks_path(spool).glob(f"*{_SUFFIX}") for call in _calls_in(path)]


def forget_calls_of_others(spool: Path, living: Callable[[], Collection[str]]) -> None:
    """Delete the files of all processes but the living ones, as `living` returns them."""
    found = [*locks_path(spool).glob(f"*{_SUFFIX}")]
    # Only then: one that comes at this moment is there before its file is.
    kept = living()
    for path in found:
        if path.stem not in kept:
            path.unlink(missing_ok=True)


def _calls_in(path: Path) -> Iterator[Call]:
    content = _content(path)
    at = 0
    while at < len(content):
        number, name_length, marks_length = _CALL.unpack_from(content, at)
        name_at = at + _CALL.size
        marks_at = name_at + name_length
        at = marks_at + marks_length
        name, marks = content[name_at:marks_at].decode(), array(_MARK, content[marks_at:at])
        yield Call(path.stem, number, name, marks)


def _content(path: Path) -> bytes:
    """Return the content of a file; nothing of one that is not finished, or gone."""
    for _ in range(_TRIES):
        try:
            data = path.read_bytes()
        except (FileNotFoundError, PermissionError):  # of another user: nobody can tell here
            break
        if len(data) >= _HEAD.size:
            checksum, length = _HEAD.unpack_from(data)
            content = data[_HEAD.size : _HEAD.size + length]
            if len(content) == length and crc32(content) == checksum:
                return content
        elif not data:
            break
    return b""
