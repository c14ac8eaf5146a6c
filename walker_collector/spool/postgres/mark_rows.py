"""The ids that came with events lately, as rows by their marks.

Marks are evenly spread, so the same maintenance does as in a file: each new one has some old ones
beside it looked at, and those whose time is over deleted.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import orjson

from walker_collector.spool import damage
from walker_collector.spool.base import NewEvent
from walker_collector.spool.postgres.event_rows import Numbers, subscribers_of
from walker_collector.spool.postgres.transactions import MarkRow, Transaction
from walker_collector.spool.repeats import (
    OutcomeAt,
    RecentEvent,
    RecentOutcome,
    Unstored,
    marks_of_event,
    note_repeats,
    without_repeats,
)
from walker_collector.text import storable

_LOOKED_AT: Final = 2
"""Old marks that are looked at for each new one."""
_SEVERAL: Final = 16
"""Of new marks that come one by one, every sixteenth has those of all of them looked at."""
_SHOWN: Final = 200
"""Characters of a reason that are kept."""


def keep_events(
    tx: Transaction, numbers: Numbers, events: Sequence[NewEvent], period: int
) -> tuple[Sequence[NewEvent], range]:
    """Remember the marks of events; return those to store, which are new, with their numbers."""
    now = events[0].at
    marks = [event.mark for event in events if event.mark]
    found = ((mark, tx.known.get(mark)) for mark in marks)
    known = {mark: item[0] for mark, item in found if item and abs(item[1] - now) <= period}
    new = without_repeats(events, known) if known or len({*marks}) < len(marks) else events
    seqs = tx.take(len(new))
    rows = [_row(numbers, event, seq) for event, seq in zip(new, seqs, strict=True) if event.mark]
    tx.add_marks(rows)
    note_repeats(events, {row[0]: row[2] for row in rows}, known)
    if rows:
        forget_some(tx, rows[0][0], now, len(rows), period)
    return new, seqs


def _row(numbers: Numbers, event: NewEvent, seq: int) -> MarkRow:
    outcomes = _left_out(event.left_out, event.at) if event.left_out else None
    return event.mark, event.at, seq, subscribers_of(numbers, event.states), outcomes


def keep_unstored(tx: Transaction, events: Sequence[Unstored], period: int) -> None:
    """Remember events that no destination takes."""
    rows = {mark: (mark, at, _left_out(left_out, at)) for mark, at, left_out in events}
    columns = zip(*(rows[mark] for mark in sorted(rows)), strict=True)
    tx.later("keep_unstored", [list(column) for column in columns])
    forget_some(tx, events[0].mark, events[0].at, len(rows), period)


def forget_some(tx: Transaction, mark: bytes, now: int, count: int, period: int) -> None:
    """Forget some marks that came longer than `period` (ms) ago."""
    if count >= _SEVERAL or mark[0] % _SEVERAL == 0:
        looked_at = _LOOKED_AT * max(_SEVERAL, count)
        times = {"since": now - period, "until": now + period}
        tx.later("forget_marks", {"mark": mark, "count": looked_at, **times})


def note_outcomes(tx: Transaction, outcomes: Iterable[OutcomeAt]) -> None:
    """Note the outcomes of events that are remembered."""
    noted: dict[tuple[bytes, int], dict[str, tuple[str, int, str]]] = {}
    for seq, body, destination, kind, at, reason in outcomes:
        for mark in marks_of_event(body) or ():
            outcome = kind, at, storable(reason, _SHOWN)
            noted.setdefault((mark, seq), {})[destination] = outcome
    if noted:
        rows = [(mark, seq, _json(noted[mark, seq])) for mark, seq in sorted(noted)]
        columns = zip(*rows, strict=True)
        tx.later("note_outcomes", [list(column) for column in columns])


def _left_out(kinds: Mapping[str, str], at: int) -> str:
    return _json({destination: (kind, at) for destination, kind in kinds.items()})


def _json(outcomes: Mapping[str, tuple[str, int] | tuple[str, int, str]]) -> str:
    return orjson.dumps(outcomes).decode()


def recent_event(rows: Sequence[tuple[Any, ...]]) -> RecentEvent | None:
    """Return the trace of an event, given its row; None: there is none."""
    for at, seq, column, destinations in rows:
        outcomes = {
            str(id_): RecentOutcome(str(item[0]), damage.number(item[1]), *map(str, item[2:3]))
            for id_, item in damage.objects(column).items()
            if isinstance(item, list) and len(item) > 1
        }
        return RecentEvent(at, seq, frozenset(destinations), outcomes)
    return None
