"""The basis of decisions: the statements of a person, made or learned from events. Pure."""

from typing import Final

from attrs import field, frozen

from walker_collector.config import Consent
from walker_collector.people.gate import granted
from walker_collector.spool import LEARNED, ConsentRecord, later_of

_SAME_FOR: Final = 60 * 1_000_000
"""Microseconds: so often the date of a consent that stays the same is stored."""


@frozen
class Basis:
    """The consent that holds for a person's events: the granted keys, and the dated statements.

    Without statements the default holds.
    """

    granted: Consent
    statements: ConsentRecord = field(factory=dict)

    def of_event(self, own: Consent | None, since: int | None = None) -> Consent:
        """Return the keys granted for an event: by its own consent, else by its person.

        `since`: the event's own consent is everything its person grants at this stamp; of other
        keys only statements made since then count.
        """
        if not own and since is None:
            return self.granted
        return granted({**self.before(since), **(own or {})})

    def before(self, since: int | None) -> Consent:
        """Return the keys granted for an event beside its own; see `of_event`."""
        if since is None:
            return self.granted
        return {key: given for key, (given, at) in self.statements.items() if at >= since}


def learn(record: ConsentRecord, consent: Consent, at: int) -> ConsentRecord | None:
    """Return a record after an event with the whole consent granted at stamp `at`.

    None: there is nothing to learn, since the event is older than the last one; or it says the
    same, and is so young that nobody needs its stamp.
    """
    last = record.get(LEARNED, (False, -1))[1]
    if at < last:
        return None
    stated = {key: item for key, item in record.items() if not key.startswith(LEARNED)}
    learned = {LEARNED: False, **{LEARNED + key: bool(given) for key, given in consent.items()}}
    known = {key: given for key, (given, _) in record.items() if key.startswith(LEARNED)}
    between = any(stamp >= last for _, stamp in stated.values())
    if learned == known and not between and at - last < _SAME_FOR:
        return None
    return {**stated, **{key: (given, at) for key, given in learned.items()}}


def latest_of(record: ConsentRecord) -> ConsentRecord:
    """Return the statement that counts of each key: the later of a statement and one learned."""
    if LEARNED not in record:
        return record
    stated = {key: item for key, item in record.items() if not key.startswith(LEARNED)}
    learned = {
        key.removeprefix(LEARNED): item
        for key, item in record.items()
        if key.startswith(LEARNED) and key != LEARNED
    }
    return later_of(stated, learned)


def state_of(record: ConsentRecord) -> dict[str, bool]:
    """Return the consent that statements amount to."""
    return {key: value for key, (value, _) in latest_of(record).items()}
