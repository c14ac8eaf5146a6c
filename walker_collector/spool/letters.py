"""Dead letters: from the update that makes one, and back to an entry."""

from collections.abc import Collection

from walker_collector.config import PartState
from walker_collector.spool.base import DeadLetter, DeliveryState, Entry, SpoolUpdate, StoredEntry


def dead_letter(destination: str, update: SpoolUpdate) -> DeadLetter:
    """Return the dead letter that an update makes of an entry."""
    seq, person, at, body = update.entry
    delivery = update.delivery
    return DeadLetter(
        seq=seq,
        destination=destination,
        reason=delivery.reason,
        attempts=delivery.count,
        accepted_at=at,
        died_at=update.at,
        person=person,
        body=body,
        consent=delivery.consent,
        parts=delivery.parts,
        error=delivery.error,
    )


def entry_of(letter: DeadLetter) -> Entry:
    """Return the entry of a dead letter."""
    return (letter.seq, letter.person, letter.accepted_at, letter.body)


def requeued(letter: DeadLetter, without: Collection[str] = ()) -> StoredEntry:
    """Return a dead letter as an entry that was never tried, except for its finished parts.

    The parts named in `without` count as finished. Parts that were rejected, or begun with an
    unknown end, are tried again.
    """
    parts: dict[str, PartState] = dict.fromkeys(without, "done")
    parts.update((part, state) for part, state in letter.parts.items() if state == "done")
    return StoredEntry(entry_of(letter), DeliveryState(parts=parts))
