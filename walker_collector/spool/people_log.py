"""The log of changes of identities and consent, by which processes learn those of others."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from walker_collector.errors import Overtaken
from walker_collector.spool.base import NewEvent, PeopleChange, PeopleNews, PeopleUpdate, mark_of

LENGTH: Final = 10_000
"""Rows that are kept."""
CHANGED, JOINED, REPLAYED, ERASED, SCHEDULED = range(5)
"""The kinds of rows. The first two are a `PeopleChange` each. Of an erasure the key is the marks of
the keys, in hexadecimal. That one is scheduled says nothing of anybody."""

LogRow = tuple[int, str, str | None]
"""A kind, with the key and its owner."""

MOVED: Final[LogRow] = (REPLAYED, "", None)
"""Events wait again, or are gone, which other processes have read otherwise."""
SCHEDULE: Final[LogRow] = (SCHEDULED, "", None)


def rows_of(update: PeopleUpdate) -> list[LogRow]:
    """Return the rows that tell of an update."""
    joined: list[LogRow] = [(JOINED, key, owner) for key, owner in update.aliases.items()]
    changed = [*update.signed_in, *update.consents, *([""] if update.default else [])]
    return joined + [(CHANGED, key, None) for key in changed]


def row_of_erasure(keys: Iterable[str]) -> LogRow:
    """Return the row that tells of an erasure of keys, and names none of them."""
    return ERASED, " ".join(f"{mark:x}" for mark in sorted({mark_of(key) for key in keys})), None


def news_of(version: int, rows: Sequence[tuple[int, int, str, str | None]]) -> PeopleNews:
    """Return the changes after a version, given the rows of the log with their versions."""
    last = rows[-1][0] if rows else version
    if last - version > LENGTH:  # the first were trimmed
        return PeopleNews(last, None)
    changes: list[PeopleChange] = []
    erased: frozenset[int] = frozenset()
    moved = False
    for _, kind, key, owner in rows:  # one that lacks named somebody who has been erased since
        if kind in (CHANGED, JOINED):
            changes.append(PeopleChange(key, owner))
        elif kind != SCHEDULED:
            moved = True
            erased |= _marks(key)
    return PeopleNews(last, changes, erased, moved)


def check_not_erased(
    events: Sequence[NewEvent], erasures: int, last_erased: Callable[[int], Sequence[str]]
) -> None:
    """Raise Overtaken if the person of an event may have been erased since they were found.

    `erasures`: their number now. `last_erased` returns the keys of the last so many in the log.
    """
    found = [event.as_of for event in events if event.as_of is not None]
    if not found or min(found) == max(found) == erasures:
        return
    since = erasures - min(found)
    texts = last_erased(since) if since > 0 else []
    # After a kill one is counted that may not have been.
    gone = frozenset[int]().union(*map(_marks, texts))
    if len(texts) < since or any(
        event.person and mark_of(event.person) in gone for event in events
    ):
        raise Overtaken("an erasure has begun since the person of the event was found")


def _marks(text: str) -> frozenset[int]:
    return frozenset(int(mark, 16) for mark in text.split())
