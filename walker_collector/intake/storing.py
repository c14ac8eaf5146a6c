"""Storing events: with their news of people, and again after an erasure."""

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import TypeVar

from walker_collector.errors import Overtaken, SpoolFull, WalkerError
from walker_collector.intake.deciding import Decisions, Prepared, Undecided, keys_of
from walker_collector.intake.sink import Sink
from walker_collector.people.consent import ConsentStore
from walker_collector.people.pending_links import PendingLinks
from walker_collector.spool import NewEvent, StalePeople, State

T = TypeVar("T")

Decided = tuple[list[Prepared | WalkerError], bool]
"""The decisions on events, or why one is refused; and whether they are stored."""


class Storing:
    """Stores events, and counts them.

    `accepted` counts events, `repeated` those that were accepted before under the same id.
    """

    def __init__(self, consents: ConsentStore, sink: Sink, decisions: Decisions) -> None:
        self._consents = consents
        self._sink = sink
        self._decisions = decisions
        self.accepted = 0
        self.repeated = 0

    def store(
        self,
        records: Sequence[NewEvent],
        version: int,
        *,
        waits: bool = True,
        as_of: int | None = None,
    ) -> int:
        """Store events; return the number of the first ones that this is done for.

        `version` is the first of the consents that decided on them. `waits`: for room. `as_of`:
        that of their origin; raises Overtaken if there is one, and an erasure has come since.
        """
        while True:
            try:
                count = self._sink.store(records, waits=waits)
                break
            except Overtaken:
                if as_of is not None:
                    raise
                self._find_people_again(records)
                version = -1
        self._note_stored(records[:count], overtaken=version != self._consents.version)
        return count

    def store_one(self, item: Undecided) -> tuple[Prepared, bool]:
        """Decide on an event, and store it as `store_undecided` does; raise why it is refused."""
        (decided,), is_stored = self.store_undecided([item])
        if isinstance(decided, tuple):
            return decided, is_stored
        raise decided

    def store_undecided(
        self, items: Sequence[Prepared | Undecided], as_of: int | None = None
    ) -> Decided:
        """Decide on events, and store them in one transaction with their news of people.

        They are left to `store` if that is nothing, or if there is no room for all: then what they
        tell is stored by itself. `as_of`: that of their origin; raises Overtaken after another
        erasure.
        """
        decided: list[Prepared | WalkerError] = []
        overtaken = False

        def work(pending: PendingLinks) -> bool:
            nonlocal overtaken
            # What these events tell of people themselves overtakes none of them.
            overtaken = bool(decided) or _version(items) not in (None, self._consents.version)
            self._decisions.find_people_again(_records(decided), pending)
            self._decisions.decide_rest(items, decided, pending)
            return bool(pending) and self._store_learning(_records(decided), pending)

        keys = {key for item in items if not isinstance(item, tuple) for key in item.keys}
        is_stored = self._learn(work, keys, as_of)
        if is_stored:
            self._note_stored(_records(decided), overtaken=overtaken)
        return decided, is_stored

    def _store_learning(self, records: Sequence[NewEvent], pending: PendingLinks) -> bool:
        """Store events together with links; without room only the links. Return which it was."""
        try:
            self._consents.store_pending(pending, partial(self._sink.store_learning, records))
        except SpoolFull:
            self._consents.write_pending(pending)
            return False
        return True

    def _find_people_again(self, records: Sequence[NewEvent]) -> None:
        """Find the people of events again, after an erasure that may have taken their keys."""

        def work(pending: PendingLinks) -> None:
            self._decisions.find_people_again(records, pending)
            self._consents.write_pending(pending)

        self._consents.refresh(surely=True)
        self._learn(work, {key for record in records for key in keys_of(record)})

    def _learn(
        self, work: Callable[[PendingLinks], T], keys: Collection[str], as_of: int | None = None
    ) -> T:
        """Learn of people by `work` on events with these keys; again if others were faster."""
        while True:
            pending: PendingLinks | None = None
            try:
                with self._consents.learning(keys) as pending:
                    return work(pending)
            except StalePeople:
                pass
            except Overtaken:
                if as_of is not None:
                    raise
            finally:  # a merge with statements is stored by itself, also if the rest is not
                if pending is not None:
                    self._decisions.release(pending)
            self._consents.refresh(surely=True)

    def _note_stored(self, records: Sequence[NewEvent], *, overtaken: bool) -> None:
        """Count events that were stored; if consent has changed, release those that it admits."""
        repeated = 0
        if records[0].mark or len(records) > 1:
            repeated = sum([1 for record in records if record.repeats])
        self.repeated += repeated
        self.accepted += len(records) - repeated
        if overtaken:
            people = {item.person for item in records if State.HELD in item.states.values()}
            if people:
                self._sink.release(people)
        self._sink.maintain()  # after the learning: see there


def _version(items: Sequence[Prepared | Undecided]) -> int | None:
    """Return the first version of the consents that decided on any of the events."""
    versions = [item[2] for item in items if isinstance(item, tuple)]
    return min(versions, default=None)


def _records(decided: Sequence[Prepared | WalkerError]) -> list[NewEvent]:
    return [item[0] for item in decided if isinstance(item, tuple)]
