"""Which operations may share a request: stages in time, requests by size. Pure."""

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
    """Split tasks into stages: each stage is over before the next begins.

    Customer.io does not promise an order within a request. A task that is alone shares its stage
    with nothing else of its people: it comes after all that was before it, and before all that
    follows. Everything else goes as early as that allows, in the order given.
    """
    if not any(map(exclusive, tasks)):
        return [list(tasks)] if tasks else []
    last: dict[str, int] = {}
    free: dict[str, int] = {}
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
    """Group things into requests of at most `limit` bytes; `size_of` is that of one of them."""
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
