"""The shards of a spool: parts of its people, each delivered by one process at a time."""

from zlib import crc32


def shard_of(person: str, seq: int, shards: int) -> int:
    """Return the shard of an event, by its person's key; without a person, by its number.

    The same in every process and version: it decides who delivers what waits in a file.
    """
    if shards == 1:
        return 0
    return (crc32(person.encode("utf-8", "surrogatepass")) if person else seq) % shards
