"""Grouping of operations into requests: stages in time, then by size. Pure."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, TypeVar

from walker_dest_customerio import limits

T = TypeVar("T")

REQUEST_BYTES: Final = limits.BATCH
OPERATION_BYTES: Final = limits.OPERATION
_FRAME_BYTES: Final = len(b'{"batch":[]}')


def stages(
    tasks: Sequence[T], exclusive: Callable[[T], bool], people: Callable[[T], Iterable[str]]
) -> list[list[T]]:
    """Split tasks into stages; each stage is settled before the next starts.

    Customer.io does not promise an order within a request. So an exclusive task (delete,
    merge, ...) is the only one of its people in its stage: everything of theirs before it is in an
    earlier stage, everything after it in a later one. Other tasks go into the first stage that this
    allows, in the order given.
    """
    if not any(map(exclusive, tasks)):
        return [list(tasks)] if tasks else []
    last: dict[str, int] = {}  # per person: the last stage with a task of theirs
    free: dict[str, int] = {}  # per person: the first stage after their last exclusive task
    found: list[list[T]] = []
    for task in tasks:
        names = tuple(people(task))
        if exclusive(task):
            stage = max((last.get(name, -1) + 1 for name in names), default=0)
        else:
            stage = max((free.get(name, 0) for name in names), default=0)
        for name in names:
            last[name] = max(stage, last.get(name, -1))
            free[name] = max(stage + exclusive(task), free.get(name, 0))
        while len(found) <= stage:
            found.append([])
        found[stage].append(task)
    return found


def split_by_size(
    things: Iterable[T], size_of: Callable[[T], int], limit: int = REQUEST_BYTES
) -> Iterator[list[T]]:
    """Group things into requests of at most `limit` bytes, given the bytes of each."""
    group: list[T] = []
    total = _FRAME_BYTES
    for thing in things:
        size = size_of(thing)
        if group and total + size + 1 > limit:
            yield group
            group, total = [], _FRAME_BYTES
        group.append(thing)
        total += size + 1
    if group:
        yield group
