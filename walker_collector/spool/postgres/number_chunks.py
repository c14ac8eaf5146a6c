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
    firsts: list[int] = []
    flags: list[bytes] = []
    members: list[int] = []
    first = last = -_APART
    for seq in sorted(seqs):
        if seq - last > _APART:
            flags += [_flags(first, members)] if members else []
            firsts.append(seq)
            first, members = seq, []
        members.append(seq)
        last = seq
    flags += [_flags(first, members)] if members else []
    return {"firsts": firsts, "flags": flags}


def _flags(first: int, members: list[int]) -> bytes:
    flags = bytearray(members[-1] - first + 1)
    for seq in members:
        flags[seq - first] = 1
    return bytes(flags)
