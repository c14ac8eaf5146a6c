"""The membership of a process that delivers from a spool in PostgreSQL: its leases and claims."""

from collections.abc import Collection

from walker_collector.errors import SpoolError
from walker_collector.spool.base import Deliveries, Lease
from walker_collector.spool.deliverer import NOBODY, Deliverer, DestinationHealth
from walker_collector.spool.postgres.claims import Claims
from walker_collector.spool.postgres.lease_session import IDLE, LeaseSession
from walker_collector.spool.postgres.leases import SessionLeases
from walker_collector.spool.postgres.members import SessionMembers
from walker_collector.spool.postgres.queries import Queries
from walker_collector.spool.postgres.spool_place import Place
from walker_collector.spool.processes.keeper import LeaseKeeper


class DeliveringMembership:
    """Takes part in the deliveries of a spool, until it is closed.

    `claims` are those of this process. `idle`: see `LeaseSession`. Raises SpoolError if the server
    cannot be reached, or only through a pooler.
    """

    def __init__(
        self,
        place: Place,
        queries: Queries,
        destinations: Collection[str],
        shards: int,
        deliveries: Deliveries,
        idle: float = IDLE,
    ) -> None:
        self._session = session = LeaseSession(place, queries, destinations, idle)
        self._destinations = frozenset(destinations)
        self._shards = shards
        members, leases = SessionMembers(session), SessionLeases(session)
        self._keeper = LeaseKeeper(session.name, members, leases, destinations, shards, deliveries)
        self.claims = Claims(session, shards, self._keeper.holds)
        session.on_renamed = self.claims.keep
        session.ensure()

    @property
    def token(self) -> str:
        """The name of this process among the others; "" while it has no session."""
        return self._session.token

    def start(self) -> None:
        """Take the free leases."""
        self._session.start()
        self._keeper.start()

    def holds(self, lease: Lease) -> bool:
        """Return whether deliveries under a lease may begin in this process."""
        return self._keeper.holds(lease)

    def deliverers(self, destination: str) -> list[Deliverer]:
        """Return the deliverer of each shard to a destination, and its health or the last known."""
        try:
            return self._keeper.deliverers([Lease(destination, n) for n in range(self._shards)])
        except SpoolError:  # whoever cannot ask delivers nothing, either
            return [NOBODY] * self._shards

    def publish_health(self, destination: str, health: DestinationHealth) -> None:
        """Publish how deliveries of this process to a destination go, for others to read."""
        self._keeper.publish_health(destination, health)

    def leave(self) -> set[str]:
        """Take no more leases; return the destinations that other processes can deliver to."""
        try:
            return self._keeper.leave()
        except SpoolError:  # the server is away: nothing can be delivered from here
            return set(self._destinations)

    def take_rest(self) -> bool:
        """Take the leases that nobody else could take; return whether this process has them."""
        return self._keeper.take_rest()

    def stop(self) -> None:
        """Look no more, and keep the leases."""
        self._keeper.stop()

    def close(self) -> None:
        """Give up all leases, and leave. Their deliveries have ended."""
        self._keeper.close()

    def pause(self) -> None:
        """Let no thread use the session, before a fork."""
        self._keeper.pause()
        self._session.pause()

    def resume(self) -> None:
        """Let threads use the session again, in the parent."""
        self._session.resume()
        self._keeper.resume()

    def abandon(self) -> None:
        """Leave the session to the parent process, in a forked child."""
        self._keeper.abandon()
