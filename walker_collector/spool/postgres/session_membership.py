"""The membership of a process in a spool in PostgreSQL: leases, claims, and news of others."""

import time
from collections.abc import Callable, Collection, Set
from contextlib import suppress
from typing import Final

import psycopg

from walker_collector.errors import SpoolError
from walker_collector.spool.base import Deliveries, Lease
from walker_collector.spool.deliverer import NOBODY, Deliverer, DestinationHealth
from walker_collector.spool.postgres.lease_session import BEAT, IDLE, LeaseSession, sign
from walker_collector.spool.postgres.listener import Watcher
from walker_collector.spool.postgres.outage import Outage
from walker_collector.spool.postgres.queries import Queries
from walker_collector.spool.postgres.roster import RosterObserver
from walker_collector.spool.postgres.server_errors import ServerTrouble
from walker_collector.spool.postgres.session_claims import Claims
from walker_collector.spool.postgres.session_leases import SessionLeases
from walker_collector.spool.postgres.session_members import SessionMembers
from walker_collector.spool.postgres.sessions import Database, pauses
from walker_collector.spool.postgres.spool_core import SpoolCore
from walker_collector.spool.postgres.spool_place import Place
from walker_collector.spool.postgres.watchdog import Watchdog
from walker_collector.spool.processes.keeper import LeaseKeeper

_INTERVAL: Final = 0.5
"""Seconds between looks at the leases: a question to the server, and half the time to a takeover.
"""
_CALM: Final = 5.0
"""Seconds between looks at every process where all is as before: one may have become silent."""


class AcceptingMembership:
    """Only looks on, in the session of the writer: this process delivers nothing."""

    claims = None

    def __init__(
        self,
        core: SpoolCore,
        on_change: Callable[[], None],
        on_look: Callable[[], None],
    ) -> None:
        self._session = core.session
        self._observer = RosterObserver(core.session)
        self._shards = core.shards
        self._sign = AcceptingSign(core.sender)
        self._watcher = Watcher(
            core.session,
            core.figures,
            on_change,
            listens=False,
            sign=self._sign.give,
            on_look=on_look,
        )

    def start(self) -> None:
        """Begin to watch for commits of others."""
        self._watcher.start()

    def deliverers(self, destination: str) -> list[Deliverer]:
        """Return the deliverer of each shard to a destination, and its health or the last known."""
        found: dict[int, Deliverer] = {}
        with suppress(SpoolError):  # told elsewhere
            found = self._observer.deliverers(destination)
        return [found.get(shard, NOBODY) for shard in range(self._shards)]

    def publish_health(self, destination: str, health: DestinationHealth) -> None:
        """Publish nothing, as there is nothing."""

    def leave(self) -> set[str]:
        """Return the destinations that other processes can deliver to."""
        with suppress(SpoolError):
            members = [member for member, _ in self._observer.deliveries(())]
            return {id_ for member in members if not member.silent for id_ in member.delivers}
        return set()

    def take_rest(self) -> bool:
        """Take nothing."""
        return True

    def stop(self) -> None:
        """Look no more."""
        self._watcher.close()

    def close(self) -> None:
        """Look no more, and be no member."""
        self._watcher.close()
        if self._session.database is not None:
            with suppress(SpoolError):  # it counts as ended after a while
                self._session.run(self._sign.take_back)

    def pause(self) -> None:
        """Do nothing before a fork: the session is that of the writer."""

    def resume(self) -> None:
        """Do nothing, as nothing was paused."""

    def abandon(self) -> None:
        """Look no more, in a forked child."""
        self._watcher.abandon()


class AcceptingSign:
    """The sign of life of an accepting process, for lists of processes."""

    def __init__(self, token: str) -> None:
        self._token = token
        self._since: float | None = None
        self._signed_at = -BEAT

    def give(self, database: Database) -> None:
        """Give the sign, if it is time to."""
        now = time.monotonic()
        if now >= self._signed_at + BEAT:
            self._signed_at = now
            with suppress(psycopg.Error):  # the server is read-only, or full: told elsewhere
                self._since = sign(database, self._token, self._since)

    def take_back(self, database: Database) -> None:
        """Delete the sign: this process ends."""
        database.run("delete_members", ([self._token],))


class DeliveringMembership:
    """Takes part in the deliveries of a spool, until it is closed.

    `watcher` is started and closed with it. `claims` are those of this process. `wait`: how long
    (s) to wait for the server at the start. `idle`, `outage`, `watchdog`: see `LeaseSession`.
    Raises SpoolError if the server cannot be reached, or only through a pooler.
    """

    def __init__(
        self,
        place: Place,
        queries: Queries,
        watcher: Watcher,
        destinations: Collection[str],
        shards: int,
        deliveries: Deliveries,
        *,
        wait: float = 5.0,
        idle: float = IDLE,
        outage: Outage | None = None,
        watchdog: Watchdog | None = None,
    ) -> None:
        self._watcher = watcher
        self._wait = wait
        self._session = session = LeaseSession(place, queries, destinations, idle, outage, watchdog)
        self._destinations = frozenset(destinations)
        self._shards = shards
        members, self._leases = SessionMembers(session), SessionLeases(session)
        self._keeper = LeaseKeeper(
            session.name,
            members,
            self._leases,
            destinations,
            shards,
            deliveries,
            interval=_INTERVAL,
            calm=_CALM,
        )
        self.claims = Claims(session, shards, self._hold)
        session.on_renamed = self.claims.keep
        session.join(wait)

    @property
    def token(self) -> str:
        """The name of this process among the others; "" while it has no session."""
        return self._session.token

    def start(self) -> None:
        """Take the free leases, and begin to watch for commits of others."""
        self._watcher.start()
        self._session.start()
        deadline = time.monotonic() + self._wait
        for pause in pauses():
            try:
                self._keeper.start()
                break
            except ServerTrouble:
                if time.monotonic() + pause > deadline:
                    raise
                time.sleep(pause)

    def _hold(self, leases: Set[Lease]) -> bool:
        return not self._keeper.gives_up(leases) and self._leases.hold(leases)

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
        try:
            return self._keeper.take_rest()
        except SpoolError:  # the server is away; it is asked again
            return False

    def stop(self) -> None:
        """Look no more, and keep the leases."""
        self._watcher.close()
        self._keeper.stop()

    def close(self) -> None:
        """Give up all leases, and leave. Their deliveries have ended."""
        self._watcher.close()
        self._keeper.stop()
        self.claims.close()
        self._keeper.close()

    def pause(self) -> None:
        """Let no thread use the session of the leases, before a fork."""
        self._keeper.pause()
        self._session.pause()

    def resume(self) -> None:
        """Let threads use the session again, in the parent."""
        self._session.resume()
        self._keeper.resume()

    def abandon(self) -> None:
        """Leave the session to the parent process, in a forked child."""
        self._watcher.abandon()
        self._keeper.abandon()
