"""Who delivers, as somebody sees it who takes no part: a command, or a collector."""

from collections.abc import Iterable
from pathlib import Path

from walker_collector.spool.deliverer import NOBODY, Deliverer, Member, trouble
from walker_collector.spool.processes import leases, members
from walker_collector.spool.processes.files import locks_path


def deliverers(spool: Path, destination: str) -> dict[int, Deliverer]:
    """Return the deliverer of each shard of a destination for which there ever was one."""
    folder = locks_path(spool.resolve())
    living = members.seen_from_outside(folder)
    return {
        lease.shard: Deliverer(living.get(lease.token), lease.health)
        for lease in leases.seen_from_outside(folder, destination)
    }


def observe(spool: Path, destination: str) -> str:
    """Return the reason why nothing is delivered to a destination of a spool; "" if it is."""
    return trouble([*deliverers(spool, destination).values()] or [NOBODY])


def deliveries(spool: Path, destinations: Iterable[str]) -> list[tuple[Member, list[str]]]:
    """Return the living processes of a spool, oldest first, each with its destinations of now.

    Looked for are these destinations, and those that any of the processes can deliver to.
    """
    folder = locks_path(spool.resolve())
    living = members.seen_from_outside(folder)
    known = sorted({*destinations, *(id_ for each in living.values() for id_ in each.delivers)})
    holders = {
        id_: {lease.token for lease in leases.seen_from_outside(folder, id_)} for id_ in known
    }
    return [
        (member, [id_ for id_ in known if member.token in holders[id_]])
        for member in sorted(living.values(), key=lambda each: (each.since, each.token))
    ]
