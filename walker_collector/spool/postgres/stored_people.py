"""Identities, consent and erasures in PostgreSQL."""

import sys
from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from walker_collector.moments import now_ms
from walker_collector.offsets import Position
from walker_collector.spool import people_log
from walker_collector.spool.base import (
    ConsentRecord,
    DefaultConsent,
    Erased,
    KnownKeys,
    PeopleNews,
    PeopleUpdate,
    State,
)
from walker_collector.spool.postgres import mark_rows, people_rows, position_rows
from walker_collector.spool.postgres.erasure_sessions import ErasureSessions
from walker_collector.spool.postgres.spool_core import SpoolCore
from walker_collector.spool.postgres.transactions import Needs, Transaction
from walker_collector.spool.repeats import OutcomeAt
from walker_collector.spool.rows import default_of, known_keys


class StoredPeople:
    """Implements `PeopleStore`, and the erasure of people."""

    core: SpoolCore
    erasure_sessions: ErasureSessions
    _found: dict[str, int]

    def learn(self, update: PeopleUpdate, positions: Sequence[Position] = ()) -> None:
        shards = self.core.shards

        def work(tx: Transaction) -> None:
            people_rows.learn(tx, update, shards)
            position_rows.advance(tx, positions)

        # While it moves events, no new ones of these people may come to the old shard.
        moves = shards > 1 and bool(update.aliases)
        self.core.writes.run(work, needs=Needs(alone=moves, people=True))

    @property
    def people_changes(self) -> int:
        return self.core.figures.current().changes

    def last_stamp(self) -> int:
        return self.core.figures.current().last_stamp

    @property
    def erasures(self) -> int:
        return self.core.figures.current().erasures

    def people_since(self, version: int) -> PeopleNews:
        return people_log.news_of(version, self.core.rows("people_since", (version,)))

    def consent_of(self, person: str) -> ConsentRecord:
        rows = self.core.rows("consent_of", (person,))
        return {key: (granted, stamp) for key, granted, stamp in rows}

    def default_consent(self) -> DefaultConsent | None:
        return default_of(self.core.rows("default_consent"))

    def has_consent(self) -> bool:
        return self._has_any("has_consent")

    def has_claimed_people(self) -> bool:
        return self._has_any("has_claimed_people")

    def _has_any(self, query: str) -> bool:
        """Return whether a query finds a row; what is there stays there until an erasure.

        These are asked for every new person.
        """
        erasures = self.core.figures.current().erasures
        if self._found.get(query) != erasures:
            if not self.core.rows(query):
                return False
            self._found[query] = erasures
        return True

    def link(self, key: str) -> tuple[str | None, str | None]:
        ((owner, signed_in),) = self.core.rows("link", {"key": key})
        return owner, signed_in

    def aliases_of(self, person: str) -> list[str]:
        return [alias for (alias,) in self.core.rows("aliases_of", (person,))]

    def known_of(self, keys: Collection[str]) -> KnownKeys:
        return known_keys(keys, self.core.rows("known_of", {"keys": list(keys)}), sys.maxsize)

    def announce(self) -> None:
        self.core.writes.run(
            lambda tx: people_rows.log(tx, [people_log.MOVED]), needs=Needs(people=True)
        )

    # --- erasure ---------------------------------------------------------------------------

    def begin_erasure(self) -> str:
        return self.erasure_sessions.begin()

    def end_erasure(self, erasure: str) -> None:
        self.erasure_sessions.end(erasure)

    def schedule_erasure(self, keys: Iterable[str], erasure: str = "") -> None:
        people = sorted(set(keys))

        def work(tx: Transaction) -> None:
            tx.later("schedule_erasure", (erasure, people))
            # As news of people: claims that have been made from an older version are refused.
            people_rows.log(tx, [people_log.SCHEDULE])

        self.core.writes.run(work, needs=Needs(people=True))

    def cancel_erasure(self, erasure: str) -> None:
        self.core.writes.run(lambda tx: tx.later("cancel_erasure", (erasure,)))

    def adopt_erasures(self, erasure: str) -> set[str]:
        found = {name for (name,) in self.core.rows("erasures")} - {erasure}
        ended = [name for name in found if not self.erasure_sessions.is_under_way(name)]

        def work(tx: Transaction) -> set[str]:
            # Of several processes that look at once, one finds them.
            tx.later("adopt_erasures", (erasure, ended))
            return {key for (key,) in tx.rows("erased_by", (erasure,))}

        adopted: set[str] = self.core.writes.run(work) if ended else set()
        return adopted

    def pending_erasures(self) -> set[str]:
        return {person for (person,) in self.core.rows("pending_erasures")}

    def erase(self, keys: Iterable[str]) -> Erased:
        wanted = sorted(set(keys))
        needs = Needs(alone=True, people=True)
        erased: Erased = self.core.writes.run(lambda tx: _erase(tx, wanted), needs=needs)
        return erased

    def scrub(self) -> bool:
        """Return True: no row is left. The server's own log is not for this process to empty."""
        return True


def _erase(tx: Transaction, keys: list[str]) -> Erased:
    """Delete everything of these keys."""
    tx.count_erasure()
    rows = tx.rows("erase_events", (keys,))
    sizes = {seq: len(body) for seq, body, _, _ in rows}
    tx.later("erase_deliveries", (list(sizes),))
    tx.later("delete_samples")  # of everybody: they are for those who watch just now
    at_destinations = [row for row in rows if row[2] is not None]
    now = now_ms()
    mark_rows.note_outcomes(
        tx, (OutcomeAt(seq, body, id_, "erased", now) for seq, body, id_, _ in at_destinations)
    )
    tx.count_deleted(len(sizes), sum(sizes.values()))
    counts = Counter((str(id_), State(state)) for _, _, id_, state in at_destinations)
    return Erased({*sizes}, counts, people_rows.erase(tx, keys))
