"""The shards of a spool: parts of its people, each delivered by one process at a time."""

from collections.abc import Mapping
from functools import lru_cache
from zlib import crc32

from walker_collector.spool.person_keys import unclaimed


def shard_of(person: str, seq: int, shards: int) -> int:
    """Return the shard of an event, by its person's key; without a person, by its number.

    The same in every process and version: it decides who delivers what waits in a file.
    """
    if shards == 1:
        return 0
    if not person:
        return seq % shards
    return _hash_of(person) % shards


def shards_of(entries: Mapping[int, str], shards: int) -> set[int]:
    """Return the shards of several events, given the person's key of each, by its number."""
    # As `shard_of` says, and written out, as there is one for each event of a batch.
    hash_of = _hash_of
    return {(hash_of(person) if person else seq) % shards for seq, person in entries.items()}


@lru_cache(10_000)
def _hash_of(person: str) -> int:
    """Return a number that stands for a person; asked several times for each event."""
    # A claim of a person belongs where the person's own events are.
    return crc32(unclaimed(person).encode("utf-8", "surrogatepass"))
