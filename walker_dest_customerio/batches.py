"""Grouping of operations into requests: stages in time, then by size. Pure."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Final, TypeVar

from walker_dest_customerio import limits

T = TypeVar("T")

REQUEST_BYTES: Final = limits.BATCH
OPERATION_BYTES: Final = limits.OPERATION
_FRAME_BYTES: Final = len(b'{"batch":[]}')


Keys = Callable[[T], Collection[str]]


def stages(tasks: Sequence[T], fences: Keys[T], people: Keys[T], objects: Keys[T]) -> list[list[T]]:
    """Split tasks into stages; each stage is settled before the next starts.

    Customer.io does not promise an order within a request. So a task is the only one in its stage
    with any key of its `fences` (the person of a delete or a merge, a relationship, an object that
    is removed): everything with that key before it is in an earlier stage, everything after it in
    a later one. Other tasks go into the first stage that this allows. Tasks of the same `people`
    stay in the order given; those of the same `objects` need not.
    """
    if not any(map(fences, tasks)):
        return [list(tasks)] if tasks else []
    last: dict[str, int] = {}  # per key: the last stage with a task that has it
    free: dict[str, int] = {}  # per key: the first stage for the next task that has it
    found: list[list[T]] = []
    for task in tasks:
        fenced, named = fences(task), people(task)
        keys = {*fenced, *named, *objects(task)}
        stage = max(
            (last.get(key, -1) + 1 if key in fenced else free.get(key, 0) for key in keys),
            default=0,
        )
        for key in keys:
            last[key] = max(stage, last.get(key, -1))
            if key in fenced or key in named:
                free[key] = max(stage + (key in fenced), free.get(key, 0))
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


def requests_of(stage: Sequence[T], size_of: Callable[[T], int]) -> Iterator[list[T]]:
    """Yield the tasks of each request of a stage; a task of no size has a request of its own."""
    yield from split_by_size([task for task in stage if size_of(task)], size_of)
    yield from ([task] for task in stage if not size_of(task))
