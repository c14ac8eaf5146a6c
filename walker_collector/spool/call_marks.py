"""Marks of people, which stand for them in the table of the calls under way."""

from collections.abc import Iterable
from functools import lru_cache
from zlib import crc32

from walker_collector.spool.person_keys import ordering_key


@lru_cache(10_000)
def mark_of_person(key: str) -> int:
    """Return a short stand-in for a person's key, which leaves no trace of it on disk.

    Two people may share one: then a statement of one waits for a call of the other, too.
    """
    return crc32(ordering_key(key).encode("utf-8", "surrogatepass"))


def marks_of_people(people: Iterable[str]) -> list[int]:
    """Return the marks of people, in their order."""
    return list(map(mark_of_person, people))
