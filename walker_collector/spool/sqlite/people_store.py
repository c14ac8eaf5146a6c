"""Identities, consent and erasures in a spool file."""

import json
import sqlite3
from collections.abc import Collection, Iterable, Sequence

from attrs import evolve

from walker_collector.offsets import Position
from walker_collector.spool import damage, people_log
from walker_collector.spool.base import (
    ConsentRecord,
    DefaultConsent,
    Erased,
    KnownKeys,
    PeopleNews,
    PeopleUpdate,
)
from walker_collector.spool.processes.page import ERASURES, PEOPLE
from walker_collector.spool.rows import default_of, known_keys
from walker_collector.spool.sqlite import event_tables, people_tables, position_tables
from walker_collector.spool.sqlite.file_core import FileCore
from walker_collector.spool.sqlite.open_files import LAST_STAMP
from walker_collector.spool.sqlite.sample_tables import DELETE_SAMPLES


class FilePeopleStore:
    """Implements `PeopleStore`, and the erasure of people."""

    core: FileCore

    def learn(self, update: PeopleUpdate, positions: Sequence[Position] = ()) -> None:
        def work(db: sqlite3.Connection) -> PeopleUpdate:
            self.core.learn(db, update)
            position_tables.advance(db, positions)
            return update

        self.core.commits.run(work, self.core.learned)

    @property
    def people_changes(self) -> int:
        return self.core.words[PEOPLE]

    def people_since(self, version: int) -> PeopleNews:
        return people_log.news_of(version, self.core.rows(people_tables.SINCE, (version,)))

    def consent_of(self, person: str) -> ConsentRecord:
        rows = self.core.rows(people_tables.CONSENT, (person,))
        return {key: (granted == 1, damage.number(at, LAST_STAMP)) for key, granted, at in rows}

    def default_consent(self) -> DefaultConsent | None:
        return default_of(self.core.rows(people_tables.DEFAULT))

    def has_consent(self) -> bool:
        return bool(self.core.rows("SELECT 1 FROM consents LIMIT 1"))

    def has_claimed_people(self) -> bool:
        return bool(self.core.rows(people_tables.HAS_CLAIMED))

    def last_stamp(self) -> int:
        return self.core.page.last_stamp

    def link(self, key: str) -> tuple[str | None, str | None]:
        ((owner, signed_in),) = self.core.rows(people_tables.LINK, (key,))
        return owner, signed_in

    def aliases_of(self, person: str) -> list[str]:
        rows = self.core.rows("SELECT alias FROM aliases WHERE person = ?", (person,))
        return [alias for (alias,) in rows]

    def known_of(self, keys: Collection[str]) -> KnownKeys:
        rows = self.core.rows(people_tables.KNOWN_OF, (json.dumps(list(keys)),))
        return known_keys(keys, rows, LAST_STAMP)

    # --- erasure ---------------------------------------------------------------------------

    @property
    def erasures(self) -> int:
        return self.core.words[ERASURES]

    def begin_erasure(self) -> str:
        return self.core.files.erasure_locks.begin()

    def schedule_erasure(self, keys: Iterable[str], erasure: str = "") -> None:
        rows = [(key, erasure) for key in keys]
        # Counted as news of people: claims are made again, and others look after it.
        self.core.commits.run(
            lambda db: db.executemany(event_tables.SCHEDULE_ERASURE, rows),
            lambda _: self.core.page.people_changed(),
        )

    def cancel_erasure(self, erasure: str) -> None:
        self.core.commits.run(lambda db: db.execute(event_tables.CANCEL_ERASURE, (erasure,)))

    def end_erasure(self, erasure: str) -> None:
        self.core.files.erasure_locks.end(erasure)

    def adopt_erasures(self, erasure: str) -> set[str]:
        locks = self.core.files.erasure_locks
        found = {str(name) for (name,) in self.core.rows(event_tables.ERASURES)} - {erasure}
        ended = [name for name in found if not locks.is_under_way(name)]

        def work(db: sqlite3.Connection) -> set[str]:
            # Of several processes that look at once, one finds them.
            db.executemany(event_tables.ADOPT_ERASURE, [(erasure, name) for name in ended])
            return {key for (key,) in db.execute(event_tables.ERASED_BY, (erasure,)).fetchall()}

        adopted: set[str] = self.core.commits.run(work) if ended else set()
        return adopted

    def pending_erasures(self) -> set[str]:
        return {person for (person,) in self.core.rows("SELECT person FROM pending_erasures")}

    def erase(self, keys: Iterable[str]) -> Erased:
        core, wanted = self.core, list(keys)

        def work(db: sqlite3.Connection) -> tuple[Erased, int]:
            # An event of the same transaction must not pass unnoticed.
            core.uncounted_erasures = 1
            db.execute(DELETE_SAMPLES)  # of everybody: they are for those who watch just now
            return event_tables.erase(db, wanted)

        def count(_: object) -> None:
            core.page.erased()
            core.uncounted_erasures = 0

        erased: Erased
        try:
            erased, _ = core.commits.run(
                work, count, lambda result: (-len(result[0].seqs), -result[1])
            )
        finally:
            core.uncounted_erasures = 0
        return evolve(erased, scrubbed=core.checkpointer.scrub())

    def scrub(self) -> bool:
        return self.core.checkpointer.scrub()
