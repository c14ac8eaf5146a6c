"""Files that are compressed by gzip or zstd, unpacked while they are read."""

import sys
import zlib
from collections.abc import Callable
from gzip import BadGzipFile, GzipFile
from io import BufferedIOBase, BufferedReader
from typing import Any, Final

from walker_collector.errors import WalkerError

_GZIP: Final = b"\x1f\x8b"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_NO_ZSTD: Final = (
    "compressed by zstd, which this Python cannot read: `pip install 'walker-collector[zstd]'`, or "
    "unpack it with `zstd -dc`"
)


class Archive(BufferedIOBase):
    """Lines of a compressed file, of one part or several. It keeps no more than a piece of them.

    packed: the compressed file.
    Raises WalkerError where the file is damaged, or ends too early.
    """

    def __init__(
        self,
        packed: "BufferedReader[Any]",
        unpacked: BufferedIOBase,
        kind: str,
        damages: tuple[type[BaseException], ...],
    ) -> None:
        self.packed = packed
        self._unpacked = unpacked
        self._kind = kind
        self._damages = damages

    def read1(self, size: int = -1) -> bytes:
        """Return unpacked bytes, b"" at the end."""
        try:
            return self._unpacked.read1(size)
        except EOFError:
            raise WalkerError(
                f"the file, compressed by {self._kind}, ends too early: it was cut off; give the "
                "whole file"
            ) from None
        except self._damages:
            raise WalkerError(
                f"the file, compressed by {self._kind}, is damaged here (byte "
                f"{self.packed.tell():,} at the latest); give an intact copy"
            ) from None

    def fileno(self) -> int:
        """Return the descriptor of the compressed file."""
        return self.packed.fileno()

    def readable(self) -> bool:
        """Return True."""
        return True

    def close(self) -> None:
        """Close the file."""
        self._unpacked.close()
        self.packed.close()
        super().close()


def unpacked(file: "BufferedReader[Any]") -> BufferedIOBase:
    """Return a regular file, unpacked if it is compressed; raises WalkerError without zstd."""
    beginning = file.peek(len(_ZSTD))
    if beginning.startswith(_GZIP):
        plain = GzipFile(fileobj=file, mode="rb")
        return Archive(file, plain, "gzip", (BadGzipFile, zlib.error))
    if beginning.startswith(_ZSTD):
        try:
            open_zstd, damage = _zstd()
        except ImportError:
            file.close()
            raise WalkerError(f"the file is {_NO_ZSTD}") from None
        return Archive(file, open_zstd(file), "zstd", (damage,))
    return file


def _zstd() -> tuple[Callable[["BufferedReader[Any]"], Any], type[BaseException]]:
    """Return the class that unpacks zstd, and its error: of Python 3.14, or of the extra `zstd`."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd.ZstdFile, zstd.ZstdError
