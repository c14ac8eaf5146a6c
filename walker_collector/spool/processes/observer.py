"""Who delivers, as somebody sees it who takes no part: a command, or a collector."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from attrs import frozen

from walker_collector.spool.base import DestinationHealth, Member
from walker_collector.spool.processes import leases, members
from walker_collector.spool.processes.files import locks_path

_TROUBLED: Final = ("down", "failing")


@frozen
class Deliverer:
    """The process that delivers a shard of a destination (None: nobody does), and how that goes.

    `health`: as told by that process; or, if there is none, by the last one; None: not told.
    """

    member: Member | None
    health: DestinationHealth | None


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
    found = deliverers(spool, destination).values()
    unwell = [each.health for each in found if each.health and each.health.state in _TROUBLED]
    return trouble([each.member for each in found] or [None]) or next(
        (f"{health.state}: {health.reason}" for health in unwell), ""
    )


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


def trouble(holders: Sequence[Member | None]) -> str:
    """Return the reason why these holders of all shards do not deliver; "" if they do.

    None stands for a shard that nobody holds.
    """
    if missing := holders.count(None):
        shards = f" {missing} of {len(holders)} shards" if missing < len(holders) else ""
        return f"no process delivers{shards} to it now"
    silent = dict.fromkeys(str(member) for member in holders if member and member.silent)
    return f"{', '.join(silent)} has to deliver, and gives no sign of life" if silent else ""
