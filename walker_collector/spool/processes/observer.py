"""Who delivers, as somebody sees it who takes no part: a command, or a collector."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from walker_collector.spool.base import Member
from walker_collector.spool.processes import leases, members
from walker_collector.spool.processes.files import locks_path


def observe(spool: Path, destination: str) -> str:
    """Return the reason why nobody delivers to a destination of a spool; "" if somebody does."""
    folder = locks_path(spool.resolve())
    living = members.seen_from_outside(folder)
    holders = [living.get(token) for token in leases.seen_from_outside(folder, destination)]
    return trouble(holders or [None])


def deliveries(spool: Path, destinations: Iterable[str]) -> list[tuple[Member, list[str]]]:
    """Return the living processes of a spool, oldest first, each with its destinations of now.

    Looked for are these destinations, and those that any of the processes can deliver to.
    """
    folder = locks_path(spool.resolve())
    living = members.seen_from_outside(folder)
    known = sorted({*destinations, *(id_ for each in living.values() for id_ in each.delivers)})
    holders = {id_: leases.seen_from_outside(folder, id_) for id_ in known}
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
