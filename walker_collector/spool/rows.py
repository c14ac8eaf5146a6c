"""From rows to what the collector works with, and back."""

import json
from collections.abc import Mapping
from typing import Any

from walker_collector.spool import Attempt, Change, DeadLetter, Stored
from walker_collector.spool.memory import done_of


def stored(row: tuple[Any, ...]) -> Stored:
    """Return a waiting or held entry from its row; nulls where it was never tried."""
    if row[4] is None:
        return Stored(row[:4])
    seq, person, at, body, attempts, due, reason, parts, consent = row
    if not (attempts or due or parts or consent):
        return Stored((seq, person, at, body))
    attempt = Attempt(
        attempts, due, reason or "", json.loads(parts or "{}"), json.loads(consent or "{}")
    )
    return Stored((seq, person, at, body), attempt)


def letter(row: tuple[Any, ...]) -> DeadLetter:
    """Return a dead letter from its row."""
    seq, destination, reason, attempts, accepted_at, died_at, person, body, consent, parts = row
    return DeadLetter(
        seq=seq,
        destination=destination,
        reason=reason,
        attempts=attempts,
        accepted_at=accepted_at,
        died_at=died_at,
        person=person,
        body=body,
        consent=json.loads(consent or "{}"),
        parts=done_of(json.loads(parts or "{}")),
    )


def change_row(change: Change, number: int) -> tuple[Any, ...]:
    """Return the row of a delivery that goes on, at the destination of that number."""
    attempt = change.attempt
    return (
        int(change.state or 0),
        attempt.count,
        attempt.due,
        change.at,
        attempt.reason or None,
        json_or_null(attempt.parts),
        json_or_null(attempt.consent),
        change.entry[0],
        number,
    )


def json_or_null(value: Mapping[str, Any]) -> str | None:
    """Return a mapping as JSON; None where nothing is in it."""
    return json.dumps(dict(value)) if value else None
