"""The leases of a spool in PostgreSQL, for the keeper: locks of the session."""

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress

import psycopg

from walker_collector.errors import SpoolError
from walker_collector.spool.base import Lease
from walker_collector.spool.deliverer import DestinationHealth
from walker_collector.spool.postgres import roster
from walker_collector.spool.postgres.lease_session import LeaseSession, lease_key
from walker_collector.spool.postgres.sessions import Database
from walker_collector.spool.processes.lease_health import LeaseHealth, health_of


class SessionLeases:
    """The leases that this process has taken, each with the name of its session of that moment."""

    def __init__(self, session: LeaseSession) -> None:
        self._session = session
        self._schema = session.schema
        self._tokens: dict[Lease, str] = {}
        self._health = LeaseHealth()
        self._held_at: int | None = None
        """The digest of the locks with which all wanted leases were held."""

    @property
    def held(self) -> frozenset[Lease]:
        """The leases that were acquired and not released, those of a lost session among them."""
        return frozenset(self._tokens)

    def holds(self, lease: Lease) -> bool:
        """Return whether a lease is one of the session that there is."""
        token = self._tokens.get(lease)
        return bool(token) and token == self._session.token

    def hold(self, leases: Iterable[Lease]) -> bool:
        """Return whether all of these leases are of the session that there is."""
        tokens = {self._tokens.get(lease) for lease in leases}
        return bool(token := self._session.token) and tokens <= {token}

    def acquire(self, lease: Lease) -> bool:
        """Take a lease unless another process has it; return whether it is held now."""
        if lease in self._tokens:
            return self.holds(lease)
        token = self._session.run(lambda database: self._acquire(database, lease))
        if token:
            self._tokens[lease] = token
        return bool(token)

    def _acquire(self, database: Database, lease: Lease) -> str:
        ((taken,),) = database.rows("lock", (lease_key(self._schema, lease),))
        token = self._session.token
        if not taken:
            return ""
        with suppress(psycopg.Error):  # the disk is full: deliveries make room
            ((left,),) = database.rows("note_lease", (*lease, token))
            self._health.note_left(lease.destination, health_of(left or ""))
            self._write_health(database, lease.destination)
        return token

    def release(self, lease: Lease) -> None:
        """Give a lease up."""
        if self.holds(lease):
            key = lease_key(self._schema, lease)
            self._session.run(lambda database: database.rows("unlock", (key,)))
        self._tokens.pop(lease, None)

    def holders(self, leases: Iterable[Lease]) -> dict[Lease, str]:
        """Return the names of the processes that hold leases, of those that are held."""
        return self._session.run(lambda database: roster.holders(database, leases))

    def are_held(self, leases: Collection[Lease]) -> bool:
        """Return whether some process holds each of these leases."""
        session = self._session
        ((digest,),) = session.run(lambda database: database.rows("locks_digest"))
        if self._held_at == digest:
            return True
        locks = session.run(lambda database: database.rows("locks"))
        held = {lease_key(self._schema, lease) for lease in leases} <= {key for _, key in locks}
        # A lock that goes in between makes another digest, and is missed at the next question.
        session.locks_seen, self._held_at = digest, digest if held else None
        return held

    def health(self, leases: Iterable[Lease]) -> Mapping[Lease, DestinationHealth]:
        """Return how deliveries under leases go, or went last, of those that was told of."""
        ids = {lease.destination for lease in leases}
        return self._session.run(lambda database: roster.health(database, ids))

    def publish_health(self, destination: str, health: DestinationHealth) -> None:
        """Write how deliveries to a destination go beside its leases."""
        self._health.note_own(destination, health)
        with suppress(SpoolError):  # written with the next lease
            self._session.run(lambda database: self._write_health(database, destination))

    def _write_health(self, database: Database, destination: str) -> None:
        text = self._health.text(destination).decode()
        if text:
            database.run("set_health", (text, destination, self._session.token))

    def close(self) -> None:
        """Give all leases up: they go with the session, which ends next."""
        self._tokens.clear()

    def abandon(self) -> None:
        """Leave the leases to the parent process, in a forked child."""
        self._tokens.clear()
