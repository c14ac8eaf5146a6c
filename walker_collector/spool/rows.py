"""From rows to what the collector works with, and back."""

import json
from collections.abc import Mapping
from typing import Any

from walker_collector.config import PartState
from walker_collector.spool import Attempt, Change, DeadLetter, Stored


def stored(row: tuple[Any, ...]) -> Stored:
    """Return a waiting or held entry from its row; nulls where it was never tried."""
    if row[4] is None:
        return Stored(row[:4])
    seq, person, at, body, attempts, due, reason, parts, consent = row
    if not (attempts or due or parts or consent):
        return Stored((seq, person, at, body))
    states, refusals = _states(parts)
    consents = json.loads(consent or "{}")
    attempt = Attempt(attempts, due, reason or "", states, consents, refusals)
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
        parts=_states(parts)[0],
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
        parts_column(attempt),
        json_or_null(attempt.consent),
        change.entry[0],
        number,
    )


def parts_column(attempt: Attempt) -> str | None:
    """Return the parts of a delivery as JSON: the state of each, with the reason of a refusal."""
    refusals = {part: ["rejected", reason] for part, reason in attempt.refusals.items()}
    return json_or_null({**attempt.parts, **refusals})


def _states(column: str | None) -> tuple[dict[str, PartState], dict[str, str]]:
    """Return the state of each part, and the reasons of those that were refused."""
    if column is None:
        return {}, {}
    found = json.loads(column)
    refusals = {part: item[1] for part, item in found.items() if isinstance(item, list)}
    return {**found, **dict.fromkeys(refusals, "rejected")}, refusals


def json_or_null(value: Mapping[str, Any]) -> str | None:
    """Return a mapping as JSON; None where nothing is in it."""
    return json.dumps(dict(value)) if value else None
