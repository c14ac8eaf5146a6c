"""The living processes of a spool in PostgreSQL, and the locks that they hold."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from attrs import frozen

from walker_collector.spool.base import Lease
from walker_collector.spool.deliverer import Deliverer, DestinationHealth, Member
from walker_collector.spool.postgres.lease_session import lease_key, member_key
from walker_collector.spool.postgres.sessions import Database, Session
from walker_collector.spool.processes.lease_health import health_of

_SILENT: Final = 12.0
"""Seconds without a sign of life after which a process counts as stopped: it gives one every 5."""
_GONE: Final = 60.0
"""Seconds without a sign after which a process that only accepts counts as ended: it has no lock,
as its session may be one of a pooler.
"""
_SETTLED: Final = 1.0
"""Seconds after which a process counts where leases are shared out: a script may end before."""


@frozen
class Roster:
    """The living processes by their names, and the keys of locks with the name of the holder.

    leaving: the names of those that take no part in sharing out leases. dead: those of processes
    that have ended.
    """

    members: Mapping[str, Member]
    locks: Mapping[int, str]
    leaving: frozenset[str]
    dead: frozenset[str]


def read_roster(database: Database) -> Roster:
    """Return the roster as of now."""
    # In this order: a process has its lock before it is written among the members.
    rows, locks = database.rows("members"), database.rows("locks")
    schema = database.queries.schema
    keys = {key for _, key in locks}
    living = [row for row in rows if member_key(schema, row[0]) in keys or _accepts_still(row)]
    tokens = {member_key(schema, row[0]): row[0] for row in living}
    # One session has the lock of a process and those of all its leases.
    backends = {pid: tokens[key] for pid, key in locks if key in tokens}
    return Roster(
        {row[0]: _member(*row) for row in living},
        {key: backends[pid] for pid, key in locks if pid in backends},
        frozenset(row[0] for row in living if row[5]),
        frozenset(row[0] for row in rows if not _accepts_still(row)) - {*backends.values()},
    )


def _accepts_still(row: Sequence[Any]) -> bool:
    """Return whether a row is one of a process that only accepts, and lives as far as known."""
    delivers, silence = row[4], row[7]
    return not delivers and bool(silence < _GONE)


def _member(
    token: str,
    pid: int,
    host: str,
    since: float,
    delivers: Iterable[str],
    _: bool,
    age: float,
    silence: float,
) -> Member:
    return Member(
        token=token,
        pid=pid,
        host=host,
        since=since,
        delivers=frozenset(delivers),
        settled=age >= _SETTLED,
        silent=silence > _SILENT,
    )


def living_of(database: Database, tokens: Iterable[str]) -> set[str]:
    """Return those of these names that living processes have."""
    keys = {key for _, key in database.rows("locks")}
    return {token for token in tokens if member_key(database.queries.schema, token) in keys}


def holders(database: Database, leases: Iterable[Lease]) -> dict[Lease, str]:
    """Return the names of the processes that hold leases, of those that are held."""
    locks, schema = read_roster(database).locks, database.queries.schema
    found = ((lease, locks.get(lease_key(schema, lease))) for lease in leases)
    return {lease: token for lease, token in found if token is not None}


def health(database: Database, destinations: Iterable[str]) -> dict[Lease, DestinationHealth]:
    """Return how deliveries to destinations go, or went last, of those that was told of."""
    return {
        Lease(id_, shard): found
        for id_ in destinations
        for shard, text in database.rows("leases_of", (id_,))
        if (found := health_of(text or "")) is not None
    }


def in_order(members: Iterable[Member]) -> list[Member]:
    """Return processes, the one that came first first."""
    return sorted(members, key=lambda member: (member.since, member.token))


class RosterObserver:
    """Looks at the members and leases of a spool, without taking part."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def deliverers(self, destination: str) -> dict[int, Deliverer]:
        """Return the deliverer of each shard of a destination for which there ever was one."""
        return self._session.run(lambda database: _deliverers(database, destination))

    def deliveries(self, destinations: Iterable[str]) -> list[tuple[Member, list[str]]]:
        """Return the living processes, oldest first, each with its destinations of now.

        Looked for are these destinations, and those that any of the processes can deliver to.
        """
        return self._session.run(lambda database: _deliveries(database, destinations))


def _deliverers(database: Database, destination: str) -> dict[int, Deliverer]:
    roster, schema = read_roster(database), database.queries.schema
    found = {}
    for shard, text in database.rows("leases_of", (destination,)):
        token = roster.locks.get(lease_key(schema, Lease(destination, shard)), "")
        found[shard] = Deliverer(roster.members.get(token), health_of(text or ""))
    return found


def _deliveries(database: Database, destinations: Iterable[str]) -> list[tuple[Member, list[str]]]:
    roster, schema = read_roster(database), database.queries.schema
    living = in_order(roster.members.values())
    known = sorted({*destinations, *(id_ for each in living for id_ in each.delivers)})
    held = {
        id_: {
            roster.locks.get(lease_key(schema, Lease(id_, shard)))
            for shard, _ in database.rows("leases_of", (id_,))
        }
        for id_ in known
    }
    return [(each, [id_ for id_ in known if each.token in held[id_]]) for each in living]
