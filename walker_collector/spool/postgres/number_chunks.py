"""Numbers of events as parameters of a statement: in chunks of neighbours, not one by one.

Those of a batch are close together. A look into the index for each of them was a third of the cost
of a claim in the server; a chunk takes one, and flags tell which of its numbers are meant.
"""

from collections.abc import Iterable
from typing import Any, Final

_APART: Final = 16
"""Numbers further apart than this are of different chunks: a look costs as much as some rows."""


def chunks_of(seqs: Iterable[int]) -> dict[str, list[Any]]:
    """Return numbers as two lists: the first of each chunk, and a byte of 0 or 1 for each in it."""
    chunks: list[list[int]] = []
    chunk: list[int] = []
    for seq in sorted(seqs):
        if not chunk or seq - chunk[-1] > _APART:
            chunk = []
            chunks.append(chunk)
        chunk.append(seq)
    return {"firsts": [chunk[0] for chunk in chunks], "flags": list(map(_flags, chunks))}


def _flags(chunk: list[int]) -> bytes:
    first = chunk[0]
    flags = bytearray(chunk[-1] - first + 1)
    for seq in chunk:
        flags[seq - first] = 1
    return bytes(flags)
