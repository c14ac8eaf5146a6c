"""Rows of a database as entries and dead letters, and back."""

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from walker_collector.config import PartState
from walker_collector.spool import damage
from walker_collector.spool.base import (
    DeadLetter,
    DefaultConsent,
    DeliveryState,
    KnownKeys,
    SpoolUpdate,
    State,
    StoredEntry,
    UpdateKind,
)
from walker_collector.text import storable

STATES_AFTER: Final = {
    UpdateKind.RETRIED: State.WAITING,
    UpdateKind.HELD: State.HELD,
    UpdateKind.DEAD: State.DEAD,
}
"""The states that updates leave behind, of those that leave one with the result of an attempt."""


def stored_entry(row: tuple[Any, ...], *, parse: bool = True) -> StoredEntry:
    """Return a waiting or held entry from its row, which has nulls if it was never tried.

    `parse`: check its JSON for damage.
    """
    seq, person, at, body, attempts, due, reason, parts, consent, *rest = row
    held = bool(rest and rest[0])
    plain = type(body) is bytes and type(person) is str and type(at) is int
    if plain and attempts is None and not parse and 0 <= at <= damage.LATEST:
        return StoredEntry((seq, person, at, body))  # as almost every row is, in half the time
    wrong = damage.of_event(person, at, body, parse=parse)
    if not wrong and attempts is not None:
        wrong = damage.of_delivery(attempts, due, reason, parts, consent)
    entry = (seq, damage.text(person), damage.number(at), damage.body(body))
    if wrong:
        return StoredEntry(entry, damage=wrong, held=held)
    if not (attempts or due or parts or consent):
        return StoredEntry(entry, held=held)
    states, refusals = _states(parts)
    delivery = DeliveryState(
        damage.number(attempts),
        damage.number(due),
        storable(reason or ""),
        states,
        damage.objects(consent),
        refusals,
    )
    return StoredEntry(entry, delivery, held=held)


def known_keys(
    keys: Collection[str], rows: Iterable[tuple[Any, ...]], last_stamp: int
) -> KnownKeys:
    """Return the knowledge of keys in rows, each of a kind, a key, and its value.

    That of a consent is its key, with whether it is granted, and its stamp, at most `last_stamp`.
    """
    found: dict[str, dict[str, Any]] = {"owner": {}, "signed_in": {}, "claimed": {}}
    aliases: dict[str, list[str]] = {}
    consents: dict[str, dict[str, tuple[bool, int]]] = {}
    for kind, key, value, granted, stamp in rows:
        if kind == "alias":
            aliases.setdefault(key, []).append(value)
        elif kind == "consent":
            statement = granted == 1, damage.number(stamp, last_stamp)
            consents.setdefault(key, {})[value] = statement
        else:
            found[kind][key] = value
    return KnownKeys(
        frozenset(keys),
        found["owner"],
        found["signed_in"],
        aliases,
        consents,
        any_claimed=bool(found["claimed"]),
    )


def letter_of(row: tuple[Any, ...]) -> DeadLetter:
    """Return a dead letter from its row."""
    seq, destination, reason, attempts, accepted_at, died_at, person, body, *rest = row
    consent, parts, error = rest
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
        error=storable(damage.text(error)),
    )


def delivery_row(update: SpoolUpdate, state: State, number: int) -> tuple[Any, ...]:
    """Return the row of a delivery in a state, at the destination of that number."""
    delivery = update.delivery
    return (
        int(state),
        delivery.count,
        delivery.due,
        update.at,
        storable(delivery.reason) or None,
        parts_column(delivery),
        json_or_null(delivery.consent),
        storable(delivery.error) or None,
        update.entry[0],
        number,
    )


def parts_column(delivery: DeliveryState) -> str | None:
    """Return the parts of a delivery as JSON: the state of each, with the reason of a refusal."""
    refusals = {part: ["rejected", reason] for part, reason in delivery.refusals.items()}
    return json_or_null({**delivery.parts, **refusals})


def parts_of(column: Any) -> dict[str, str]:
    """Return the state of each part of a delivery from its column; nothing if it is damaged."""
    return {part: str(state) for part, state in _states(column)[0].items()}


def _states(column: Any) -> tuple[dict[str, PartState], dict[str, str]]:
    """Return the state of each part, and the reason of each refused one; nothing if damaged."""
    if column is None or damage.of_delivery(0, 0, None, column, None):
        return {}, {}
    found = damage.objects(column)
    refusals = {part: item[1] for part, item in found.items() if isinstance(item, list)}
    return {**found, **dict.fromkeys(refusals, "rejected")}, refusals


def json_or_null(value: Mapping[str, Any]) -> str | None:
    """Return a mapping as JSON; None if it is empty."""
    return json.dumps(dict(value)) if value else None


def default_of(rows: Sequence[tuple[object, object]]) -> DefaultConsent | None:
    """Return the default consent, given its rows; None: there is none, or it cannot be read."""
    for flow, current in rows:
        if (consent := damage.grants(current)) is not None:
            return DefaultConsent(damage.grants(flow) or {}, consent)
    return None
