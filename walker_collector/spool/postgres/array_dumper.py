"""Arrays as parameters of statements, packed at once.

psycopg packs a list item by item, with the dumper of each, and as text unless told otherwise. A
write has several lists with an item for each of its events, so that was a third of its cost.
"""

from collections.abc import Callable, Mapping, Sequence
from struct import pack
from typing import Any, Final

from psycopg.abc import Buffer
from psycopg.postgres import types
from psycopg.types.array import ListBinaryDumper

_HEAD: Final = "!iiIii"
"""One dimension, whether there are nulls, the type of items, their number, the first index."""


class ArrayDumper(ListBinaryDumper):
    """Packs lists of whole numbers, text or bytes at once; any other as psycopg does."""

    def dump(self, obj: list[Any]) -> Buffer | None:
        oid = self.sub_dumper.oid if self.sub_dumper is not None else 0
        packed = _PACKED.get(oid)
        if packed is None or not obj or None in obj:
            return super().dump(obj)
        return pack(_HEAD, 1, 0, oid, len(obj), 1) + packed(obj)


def _numbers(items: Sequence[int]) -> bytes:
    pairs = [8] * (2 * len(items))
    pairs[1::2] = items
    return pack("!" + "iq" * len(items), *pairs)


def _texts(items: Sequence[str]) -> bytes:
    return _bytes([item.encode() for item in items])


def _bytes(items: Sequence[bytes]) -> bytes:
    parts: list[bytes] = [b""] * (2 * len(items))
    parts[::2] = [pack("!i", len(item)) for item in items]
    parts[1::2] = items
    return b"".join(parts)


_PACKED: Final[Mapping[int, Callable[[Any], bytes]]] = {
    types["int8"].oid: _numbers,
    types["text"].oid: _texts,
    types["bytea"].oid: _bytes,
}
