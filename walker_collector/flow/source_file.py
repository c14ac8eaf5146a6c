"""Read the text of a flow file: a regular file or a pipe, within bounds of size and time."""

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


def read_text(path: Path) -> str:
    """Return the text of a flow file, without its byte-order mark.

    Raises `ConfigError` for a file that cannot be read, is too large, or is not UTF-8.
    """
    name = str(path)
    try:
        body = _read_bytes(path, name)
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"cannot read the file: {reason}", name) from None
    if len(body) > LARGEST:
        raise ConfigError(f"the file has more than {LARGEST:,} bytes; that is no flow", name)
    if not body.strip():
        raise ConfigError("the file is empty", name)
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"not UTF-8 text (line {line}, byte {error.start})", name) from None


def _read_bytes(path: Path, name: str) -> bytes:
    # Without waiting: to open a pipe would wait for its writer.
    file = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        kind = os.fstat(file).st_mode
        if stat.S_ISFIFO(kind):
            return _read_pipe(file, name)
        if not stat.S_ISREG(kind):
            raise ConfigError("cannot read the file: it is neither a file nor a pipe", name)
        with os.fdopen(file, "rb", closefd=False) as stream:
            return stream.read(LARGEST + 1)
    finally:
        os.close(file)


def _read_pipe(file: int, name: str) -> bytes:
    deadline = time.monotonic() + _WAIT
    body = b""
    poll = select.poll()
    poll.register(file, select.POLLIN)
    while len(body) <= LARGEST:
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1000):
            raise ConfigError(f"nothing came through the pipe for {_WAIT:g} s", name)
        piece = os.read(file, _PIECE)
        if not piece:
            break
        body += piece
    return body
