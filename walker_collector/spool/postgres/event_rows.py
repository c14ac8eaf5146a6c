"""Events and their deliveries as rows, written within a transaction."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from walker_collector.spool.base import (
    DeadLetter,
    Entry,
    EntryRun,
    SpoolUpdate,
    State,
    StoredEntry,
    UpdateKind,
)
from walker_collector.spool.letters import entry_of, requeued
from walker_collector.spool.person_keys import owner_of
from walker_collector.spool.postgres.transactions import Transaction
from walker_collector.spool.rows import STATES_AFTER, delivery_row, parts_column
from walker_collector.spool.shards import shard_of

Numbers = Mapping[str, int]
"""The numbers of destinations by id."""


def subscribers_of(numbers: Numbers, destinations: Iterable[str]) -> tuple[int, ...]:
    """Return destinations as their numbers, in one order."""
    return tuple(sorted(numbers[id_] for id_ in destinations))


def add(tx: Transaction, numbers: Numbers, runs: Sequence[EntryRun], shards: int) -> None:
    """Add events, each to the shard of its person as the tables know them."""
    shard = _shard_in(tx, shards)
    for entries, states in runs:
        tx.add_events(subscribers_of(numbers, states), entries, list(map(shard, entries)))
        for id_, state in states.items():
            if state is not State.WAITING:
                number = numbers[id_]
                tx.add_states((entry[0], number, int(state)) for entry in entries)


def _shard_in(tx: Transaction, shards: int) -> Callable[[Entry], int]:
    person_of = tx.owners.get

    def shard(entry: Entry) -> int:
        person = entry[1]
        return shard_of(owner_of(person, person_of) if person else "", entry[0], shards)

    return shard if shards > 1 else lambda entry: 0


def settle(tx: Transaction, number: int, updates: Sequence[SpoolUpdate]) -> None:
    """Write updates of entries at the destination of this number."""
    kinds: dict[UpdateKind, list[SpoolUpdate]] = {kind: [] for kind in UpdateKind}
    for update in updates:
        kinds[update.kind].append(update)
    acked = [item.entry[0] for item in kinds[UpdateKind.ACKED]]
    if acked:
        ack(tx, number, acked)
    if progressed := kinds[UpdateKind.PROGRESSED]:
        rows = [delivery_row(item, State.WAITING, number) for item in progressed]
        tx.later("keep_parts", _columns(_last_of_each(rows)))
    # One after the other: of two updates of an entry, the later one counts.
    for kind, state in STATES_AFTER.items():
        if kinds[kind]:
            rows = [delivery_row(item, state, number) for item in kinds[kind]]
            tx.later("keep_states", _columns(_last_of_each(rows)))
    if released := [item.entry[0] for item in kinds[UpdateKind.RELEASED]]:
        tx.later("release", (released, number))


def _last_of_each(rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return the last row of each entry: PostgreSQL changes none twice in a statement."""
    return list({row[-2]: row for row in rows}.values())


def ack(tx: Transaction, number: int, seqs: Sequence[int]) -> bool:
    """Acknowledge events for a destination; delete those without other subscribers.

    Return whether all of them were such.
    """
    values = {"seqs": list(seqs), "destination": number}
    tx.later("delete_deliveries", values)
    # First those of this destination alone, which are most.
    ((count, size),) = tx.rows("delete_events", values)
    tx.count_deleted(count, size)
    if count == len(seqs):
        return True
    # Two destinations that are done at the same time: the later one finds the earlier gone.
    tx.later("unsubscribe", values)
    ((count, size),) = tx.rows("delete_finished", (list(seqs),))
    tx.count_deleted(count, size)
    return False


def requeue(
    tx: Transaction, numbers: Numbers, letters: Sequence[DeadLetter], without: Collection[str]
) -> list[StoredEntry]:
    """Make dead letters wait again; return those that were still dead."""
    made = {
        (item.seq, numbers[item.destination]): requeued(item, without)
        for item in letters
        if item.destination in numbers
    }
    if not made:
        return []
    rows = [(*place, parts_column(entry.delivery)) for place, entry in made.items()]
    found = {(seq, number) for seq, number in tx.rows("requeue", _columns(rows))}
    return [entry for place, entry in made.items() if place in found]


def delete_dead(tx: Transaction, numbers: Numbers, letters: Sequence[DeadLetter]) -> int:
    """Acknowledge dead letters for their destinations; return how many were still dead."""
    wanted = {
        (item.seq, numbers[item.destination]): entry_of(item)
        for item in letters
        if item.destination in numbers
    }
    if not wanted:
        return 0
    found = tx.rows("still_dead", _columns(wanted))
    for number in {number for _, number in found}:
        ack(tx, number, [seq for seq, other in found if other == number])
    return len(found)


def _columns(rows: Iterable[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]
