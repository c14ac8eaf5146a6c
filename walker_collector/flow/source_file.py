"""Read files that a flow consists of or names: regular files and pipes, within bounds."""

import os
import select
import stat
import time
from pathlib import Path
from typing import Final

from walker_collector.errors import ConfigError

LARGEST: Final = 2_000_000
"""Bytes of a flow file. It is configuration, and a larger one takes more than a second to check."""
_WAIT: Final = 5.0
"""Seconds that a pipe may take, such as one of `walker validate <(jq ...)`."""
_PIECE: Final = 65_536


class Unreadable(Exception):
    """A file that cannot be read; the text is the reason."""


def read_text(path: Path) -> str:
    """Return the text of a flow file, without its byte-order mark.

    Raises `ConfigError` for a file that cannot be read, is too large, or is not UTF-8.
    """
    name = str(path)
    try:
        body = read_bounded(path, LARGEST)
    except Unreadable as error:
        raise ConfigError(f"cannot read the file: {error}", name) from None
    if not body.strip():
        raise ConfigError("the file is empty", name)
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"not UTF-8 text (line {line}, byte {error.start})", name) from None


def read_bounded(path: Path, most: int, *, pipes: bool = True) -> bytes:
    """Return the content of a regular file, or of a pipe unless `pipes` is false.

    Raises `Unreadable` beyond `most` bytes.
    """
    try:
        # Without waiting: to open a pipe would wait for its writer.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        file = os.open(path, flags)
        try:
            body = _read(file, most, pipes)
        finally:
            os.close(file)
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        raise Unreadable(getattr(error, "strerror", None) or str(error)) from None
    if len(body) > most:
        raise Unreadable(f"it has more than {most:,} bytes")
    return body


def _read(file: int, most: int, pipes: bool) -> bytes:
    kind = os.fstat(file).st_mode
    if pipes and stat.S_ISFIFO(kind):
        return _read_pipe(file, most)
    if not stat.S_ISREG(kind):
        raise Unreadable("it is neither a file nor a pipe" if pipes else "it is no regular file")
    with os.fdopen(file, "rb", closefd=False) as stream:
        return stream.read(most + 1)


def _read_pipe(file: int, most: int) -> bytes:
    deadline = time.monotonic() + _WAIT
    body = b""
    poll = select.poll()
    poll.register(file, select.POLLIN)
    while len(body) <= most:
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            raise Unreadable(f"nothing came through the pipe for {_WAIT:g} s")
        piece = os.read(file, _PIECE)
        if not piece:
            break
        body += piece
    return body
