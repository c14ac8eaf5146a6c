"""The engines that the contract is checked with; run as a program, a process that uses one.

The program joins as one that delivers to "crm", claims an event of each person that it is given,
says "ready", and waits to be killed.
"""

import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

import pytest
from attrs import define, field, frozen

from tests.postgres_server import PostgresServer
from walker_collector.config import SpoolConfig
from walker_collector.spool import Deliveries, DurableSpool, Lease, Membership, NewEvent, State
from walker_collector.spool.postgres import Place, open_spool
from walker_collector.spool.sqlite import SqliteSpool


@frozen
class Engine:
    """A kind of spool. `place` returns where a new one is to be, `open` opens it with shards.

    service: the service that it needs, if any.
    """

    place: Callable[[pytest.FixtureRequest], str]
    open: Callable[[str, int], DurableSpool]
    service: str = ""


def _sqlite_file(request: pytest.FixtureRequest) -> str:
    folder: Path = request.getfixturevalue("tmp_path")
    return str(folder / "spool.db")


def _open_sqlite(place: str, shards: int) -> DurableSpool:
    return SqliteSpool(SpoolConfig(path=place), shards=shards)


def _postgres_schema(request: pytest.FixtureRequest) -> str:
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return f"{server.url('postgres')} {server.new_schema()}"


def _open_postgres(place: str, shards: int) -> DurableSpool:
    url, schema = place.split()
    return open_spool(Place(url, schema), shards=shards)


ENGINES: Final = {
    "sqlite": Engine(_sqlite_file, _open_sqlite),
    "postgres": Engine(_postgres_schema, _open_postgres, "PostgreSQL"),
}


@define
class Process:
    """A spool as one process sees it, and what it was told as one that delivers."""

    spool: DurableSpool
    busy: bool = False
    """Whether something is in flight, so that it gives up no lease."""
    leases: set[Lease] = field(factory=set)
    changes: int = 0
    foreign: int = 0
    membership: Membership | None = None

    def deliver(self, *destinations: str) -> Membership:
        """Take part in deliveries."""
        self.membership = self.spool.join(
            destinations,
            Deliveries(self._take_over, self._abandon),
            self._on_foreign,
            self._on_change,
        )
        self.membership.start()
        return self.membership

    def _take_over(self, lease: Lease) -> None:
        self.spool.end_calls_of_the_dead()
        self.leases.add(lease)

    def _abandon(self, lease: Lease) -> bool:
        if not self.busy:
            self.leases.discard(lease)
        return not self.busy

    def _on_foreign(self) -> None:
        self.foreign += 1

    def _on_change(self) -> None:
        self.changes += 1

    def accept(self, *people: str, state: State = State.WAITING) -> list[int]:
        """Accept an event of each of these people for "crm"; return the numbers."""
        events = [NewEvent(person, 1_000, b'{"a":1}', {"crm": state}) for person in people]
        return list(self.spool.append(events, lambda runs: None))

    def version(self) -> int:
        """Return the version of what is known of people."""
        return self.spool.people_since(0).version

    def claim(self, *people: str, seqs: Collection[int] = ()) -> int:
        """Claim a call for these people; return its number."""
        entries = dict(zip(seqs or self.accept(*people), people, strict=True))
        return self.spool.claim("crm", entries, self.version()).number

    def close(self) -> None:
        """End as a process does that closes."""
        if self.membership is not None:
            self.membership.close()
        self.spool.close()


def main() -> None:
    engine, place, shards, *people = sys.argv[1:]
    process = Process(ENGINES[engine].open(place, int(shards)))
    process.deliver("crm")
    if people:
        process.claim(*people)
    print("ready", flush=True)
    sys.stdin.read()  # until it is killed, or the test has ended


if __name__ == "__main__":
    main()
