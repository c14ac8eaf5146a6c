"""The deliverers of a spool file, as a process without a part in it sees them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from walker_collector.spool.deliverer import Deliverer, Member
from walker_collector.spool.processes import leases, members
from walker_collector.spool.processes.files import locks_path


class LockObserver:
    """Looks at the lock files of a spool file, without taking part."""

    def __init__(self, spool: Path) -> None:
        self._folder: Final = locks_path(spool.resolve())

    def deliverers(self, destination: str) -> dict[int, Deliverer]:
        """Return the deliverer of each shard of a destination for which there ever was one."""
        living = members.seen_from_outside(self._folder)
        return {
            lease.shard: Deliverer(living.get(lease.token), lease.health)
            for lease in leases.seen_from_outside(self._folder, destination)
        }

    def deliveries(self, destinations: Iterable[str]) -> list[tuple[Member, list[str]]]:
        """Return the living processes, oldest first, each with its destinations of now.

        Looked for are these destinations, and those that any of the processes can deliver to.
        """
        living = members.seen_from_outside(self._folder)
        known = sorted({*destinations, *(id_ for each in living.values() for id_ in each.delivers)})
        holders = {
            id_: {lease.token for lease in leases.seen_from_outside(self._folder, id_)}
            for id_ in known
        }
        return [
            (member, [id_ for id_ in known if member.token in holders[id_]])
            for member in sorted(living.values(), key=lambda each: (each.since, each.token))
        ]
