"""Views of stored events for the page: held ones by person and reason, dead letters, a person."""

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final, cast

from attrs import asdict

from walker_collector.collector import Collector
from walker_collector.delivery.worker import DestinationWorker
from walker_collector.events import MARKS, decode
from walker_collector.inspector.consent_statements import statements_under
from walker_collector.inspector.masking import masked, public_values
from walker_collector.inspector.memory_events import MemoryStore
from walker_collector.inspector.traces import Delivery, EventTrace, Tracer
from walker_collector.people.identity import identifiers
from walker_collector.spool import DeadLetter, State, StoredDelivery, StoredSpool
from walker_collector.spool.person_keys import is_claimed, unclaimed

_HELD: Final = 1_000
"""Held events of a destination that are looked at, the oldest ones."""
_LETTERS: Final = 10_000
_GROUPS: Final = 200
"""Rows of held events that are shown."""
_SHOWN: Final = 25
"""Dead letters of a reason that are shown one by one, and events of a row of held ones."""
_OF_PERSON: Final = 200
"""Events of a person that are shown, the latest ones."""
_Groups = dict[tuple[str, str, str], dict[str, Any]]


def held_events(collector: Collector) -> dict[str, Any]:
    """Return the held events by person, destination and missing consent, the oldest first.

    complete: whether all of them were looked at.
    """
    workers, tracer = collector._life.own_runtime().workers, tracer_of(collector)
    groups: _Groups = {}
    complete = True
    for worker in workers.values():
        found = _held(worker)
        complete = complete and len(found) < _HELD
        for trace in tracer.traces_of(found):
            _add_held(groups, trace, trace.deliveries[0])
    rows = sorted(groups.values(), key=lambda item: item["oldest"])
    return {"groups": rows[:_GROUPS], "complete": complete and len(rows) <= _GROUPS}


def _held(worker: DestinationWorker) -> list[StoredDelivery]:
    """Return the oldest held events of a destination."""
    state = worker.pending.state
    if state.leased or not state.spool.durable:
        with state.lock:
            entries = list(islice(state.held.entries.values(), _HELD))
    else:  # another process has them in memory
        entries = [item.entry for item in state.spool.held(worker.id)[:_HELD]]
    return [
        StoredDelivery(entry, 0, worker.id, State.HELD, 0, 0, entry[2], "", {}) for entry in entries
    ]


def _add_held(
    groups: dict[tuple[Any, ...], dict[str, Any]], trace: EventTrace, item: Delivery
) -> None:
    missing = item.missing.as_object() if item.missing else None
    reason = repr(missing)
    key = (trace.person, item.destination, reason)
    group = groups.setdefault(
        key,
        {
            "person": unclaimed(trace.person),
            "claimed": is_claimed(trace.person),
            "destination": item.destination,
            "missing": missing,
            "oldest": trace.accepted,
            "count": 0,
            "events": [],
        },
    )
    group["count"] += 1
    group["oldest"] = min(group["oldest"], trace.accepted)
    if len(group["events"]) < _SHOWN:
        group["events"].append({"id": trace.id, "event": trace.event, "at": trace.accepted})


def dead_letters(collector: Collector, *, with_values: bool) -> dict[str, Any]:
    """Return the dead letters by destination and reason, the most frequent reason first."""
    runtime = collector._life.own_runtime()
    letters = runtime.spool.dead(None, _LETTERS)
    reasons: dict[tuple[str, str], list[DeadLetter]] = {}
    for letter in letters:
        reasons.setdefault((letter.destination, letter.reason), []).append(letter)
    found = [
        {
            "destination": destination,
            "reason": reason,
            "count": len(each),
            "first": min(letter.died_at for letter in each),
            "last": max(letter.died_at for letter in each),
            "messages": _has_messages(runtime.workers.get(destination)),
            "letters": [_letter(item, with_values=with_values) for item in each[:_SHOWN]],
        }
        for (destination, reason), each in reasons.items()
    ]
    found.sort(key=lambda item: -cast(int, item["count"]))
    return {"reasons": found, "complete": len(letters) < _LETTERS}


def _has_messages(worker: DestinationWorker | None) -> bool:
    return worker is not None and bool(worker.message_parts)


def _letter(letter: DeadLetter, *, with_values: bool) -> dict[str, Any]:
    event = event_in(letter.body)
    return {
        "seq": letter.seq,
        "destination": letter.destination,
        "id": str(event.get("id", f"number {letter.seq}")),
        "event": str(event.get("name", "?")),
        "person": unclaimed(letter.person),
        "attempts": letter.attempts,
        "accepted": letter.accepted_at,
        "died": letter.died_at,
        "parts": dict(letter.parts),
        "payload": _shown(event, with_values=with_values),
    }


def known_person(
    collector: Collector, user: Mapping[str, Any], *, with_values: bool
) -> dict[str, Any]:
    """Return everything known of a person: identifiers, consent, events that are not delivered."""
    runtime, tracer = collector._life.own_runtime(), tracer_of(collector)
    named = identifiers(user)
    keys = runtime.consents.keys_of(user)
    spool = runtime.spool
    events = tracer.of_people(keys, _OF_PERSON)
    surely = {key for key in keys if not is_claimed(key)}
    if spool.durable:
        statements = statements_under(keys, spool.consent_of)
    else:
        owners = {runtime.consents.canonical(key) for key in keys}
        found = statements_under(owners, runtime.consents.statements_of)
        # Those that are known for sure count for claims, too, and are told of both.
        statements = list({(item.key, item.at): item for item in reversed(found)}.values())[::-1]
    counts = Counter[str]()
    for each in tracer.counts(keys).values():
        counts.update(each)
    return {
        "named": named,
        "known": bool(statements or events or surely - set(named)),
        "identifiers": sorted(surely),
        "claimed": sorted({unclaimed(key) for key in keys if is_claimed(key)} - surely),
        "consent": [asdict(item) for item in statements],
        "default": runtime.consents.default,
        "counts": dict(counts),
        "events": [_event(trace, with_values=with_values) for trace in events],
    }


def _event(trace: EventTrace, *, with_values: bool) -> dict[str, Any]:
    made = trace.as_object(with_data=False)
    data = trace.data or {}
    return {**made, "payload": _shown(data, with_values=with_values)}


def _shown(event: Mapping[str, Any], *, with_values: bool) -> Any:
    """Return an event without its empty parts, and with its values or their masks."""
    parts = {key: value for key, value in event.items() if value not in ({}, [], "", None)}
    return parts if with_values else masked(parts, public_values(event))


def letters_of(collector: Collector, wanted: Mapping[str, Any]) -> list[DeadLetter]:
    """Return the dead letters that a request names: one by its number, or all of a reason."""
    destination = str(wanted.get("destination", ""))
    letters: Iterable[DeadLetter] = collector._life.own_runtime().spool.dead(destination)
    if "seq" in wanted:
        return [letter for letter in letters if letter.seq == wanted["seq"]]
    if "reason" in wanted:
        return [letter for letter in letters if letter.reason == wanted["reason"]]
    return []


def tracer_of(collector: Collector) -> Tracer:
    """Return a tracer over the events of a collector at work."""
    runtime = collector._life.own_runtime()
    spool = runtime.spool
    if spool.durable:
        store: Any = cast(StoredSpool, spool)
    else:
        store = MemoryStore(runtime.workers, spool.dead())
    return Tracer(store, "this collector", collector.flow, runtime.consents)


def event_in(body: bytes) -> dict[str, Any]:
    """Return the event of stored JSON, without marks; of damaged JSON an empty one."""
    try:
        event = decode(body)
    except (TypeError, ValueError):
        return {}
    return {key: value for key, value in event.items() if key not in MARKS}
