"""From rows to what the collector works with, and back."""

import json
from collections.abc import Mapping
from typing import Any

from walker_collector.config import PartState
from walker_collector.spool import Attempt, Change, DeadLetter, Stored, damage
from walker_collector.text import storable


def stored(row: tuple[Any, ...]) -> Stored:
    """Return a waiting or held entry from its row; nulls where it was never tried."""
    seq, person, at, body, attempts, due, reason, parts, consent = row
    wrong = damage.of_event(person, at, body)
    if not wrong and attempts is not None:
        wrong = damage.of_delivery(attempts, due, reason, parts, consent)
    entry = (seq, damage.text(person), damage.number(at), damage.body(body))
    if wrong:
        return Stored(entry, damage=wrong)
    if not (attempts or due or parts or consent):
        return Stored(entry)
    states, refusals = _states(parts)
    attempt = Attempt(
        damage.number(attempts),
        damage.number(due),
        storable(reason or ""),
        states,
        damage.objects(consent),
        refusals,
    )
    return Stored(entry, attempt)


def letter(row: tuple[Any, ...]) -> DeadLetter:
    """Return a dead letter from its row."""
    seq, destination, reason, attempts, accepted_at, died_at, person, body, consent, parts = row
    return DeadLetter(
        seq=seq,
        destination=destination,
        reason=storable(reason),
        attempts=damage.number(attempts),
        accepted_at=damage.number(accepted_at),
        died_at=damage.number(died_at),
        person=damage.text(person),
        body=damage.body(body),
        consent={key: value is True for key, value in damage.objects(consent).items()},
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
        storable(attempt.reason) or None,
        parts_column(attempt),
        json_or_null(attempt.consent),
        change.entry[0],
        number,
    )


def parts_column(attempt: Attempt) -> str | None:
    """Return the parts of a delivery as JSON: the state of each, with the reason of a refusal."""
    refusals = {part: ["rejected", reason] for part, reason in attempt.refusals.items()}
    return json_or_null({**attempt.parts, **refusals})


def _states(column: Any) -> tuple[dict[str, PartState], dict[str, str]]:
    """Return the state of each part, and the reasons of those that were refused; none of those
    where any is damaged.
    """
    if column is None or damage.of_delivery(0, 0, None, column, None):
        return {}, {}
    found = damage.objects(column)
    refusals = {part: item[1] for part, item in found.items() if isinstance(item, list)}
    return {**found, **dict.fromkeys(refusals, "rejected")}, refusals


def json_or_null(value: Mapping[str, Any]) -> str | None:
    """Return a mapping as JSON; None where nothing is in it."""
    return json.dumps(dict(value)) if value else None
