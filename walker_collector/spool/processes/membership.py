"""The membership of a process in its spool: its leases, and news of others."""

import threading
from collections.abc import Callable, Collection
from pathlib import Path

from walker_collector.spool.base import Deliveries, Lease
from walker_collector.spool.deliverer import Deliverer, DestinationHealth
from walker_collector.spool.processes.files import Loss
from walker_collector.spool.processes.keeper import LeaseKeeper
from walker_collector.spool.processes.leases import Leases
from walker_collector.spool.processes.members import Members
from walker_collector.spool.processes.watcher import Watcher
from walker_collector.spool.processes.write_lock import WriteLock


def file_keeper(
    spool: Path,
    destinations: Collection[str],
    shards: int,
    deliveries: Deliveries,
    loss: Callable[[], Loss] = lambda: Loss.NONE,
) -> LeaseKeeper:
    """Return a keeper of leases that are lock files beside a spool file."""
    members = Members(spool, destinations)
    leases = Leases(spool, members.folder, members.token)
    return LeaseKeeper(f"spool {spool}", members, leases, destinations, shards, deliveries, loss)


class SpoolMembership:
    """Takes part in the deliveries of a spool, until it is closed.

    `on_change` is called after commits of other processes, on a thread of its own. `turn` is that
    of the threads that write. `loss` tells whether files of the spool are lost.
    """

    def __init__(
        self,
        spool: Path,
        lock: WriteLock,
        turn: threading.Lock,
        destinations: Collection[str],
        shards: int,
        deliveries: Deliveries,
        on_change: Callable[[], None],
        loss: Callable[[], Loss],
    ) -> None:
        self._keeper = file_keeper(spool, destinations, shards, deliveries, loss)
        self._shards = shards
        self._watcher = Watcher(lock, turn, on_change, self._keeper.has_leases)

    @property
    def token(self) -> str:
        """The name of this process among the others."""
        return self._keeper.token

    def start(self) -> None:
        """Take the free leases, and begin to watch for commits of others."""
        self._watcher.start()
        self._keeper.start()

    def holds(self, lease: Lease) -> bool:
        """Return whether deliveries under a lease may begin in this process."""
        return self._keeper.holds(lease)

    def deliverers(self, destination: str) -> list[Deliverer]:
        """Return the deliverer of each shard to a destination, and its health or the last known."""
        return self._keeper.deliverers([Lease(destination, n) for n in range(self._shards)])

    def publish_health(self, destination: str, health: DestinationHealth) -> None:
        """Publish how deliveries of this process to a destination go, for others to read."""
        self._keeper.publish_health(destination, health)

    def pause(self) -> None:
        """Let no thread open a lock file, before a fork: a child would keep it locked."""
        self._keeper.pause()

    def resume(self) -> None:
        """Go on, in the parent."""
        self._keeper.resume()

    def leave(self) -> set[str]:
        """Take no more leases; return the destinations that other processes can deliver to."""
        return self._keeper.leave()

    def take_rest(self) -> bool:
        """Take the leases that nobody else could take; return whether this process has them."""
        return self._keeper.take_rest()

    def stop(self) -> None:
        """Look no more, and keep the leases."""
        self._watcher.close()
        self._keeper.stop()

    def close(self) -> None:
        """Give up all leases, and leave. Their deliveries have ended."""
        self._watcher.close()
        self._keeper.close()

    def abandon(self) -> None:
        """Close copies of files in a forked child: leases and membership stay the parent's."""
        self._keeper.abandon()
