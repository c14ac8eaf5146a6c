"""Which process should have which lease: a pure function, so that all processes agree."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from walker_collector.spool.base import Lease
from walker_collector.spool.deliverer import Member


def assign(
    leases: Iterable[Lease], members: Sequence[Member], holders: Mapping[Lease, str]
) -> dict[Lease, str]:
    """Return the token of the process that should hold each lease.

    A lease stays with its holder, unless another process has two fewer: so as few as possible
    move, and none any more once shares are fair. A process that has just come gets only what
    nobody else can deliver, as a script may soon end; one that gives no sign gets nothing, but
    keeps what it has, since nobody can take it.
    """
    able = {lease: _able(lease, members) for lease in sorted(leases)}
    living = {member.token: member for member in members}
    assigned = {
        lease: token
        for lease, token in holders.items()
        if lease in able and token in living and lease.destination in living[token].delivers
    }
    shares = Counter(assigned.values())
    for lease, found in able.items():
        tokens = [m.token for m in found if m.settled] or [m.token for m in found]
        if lease not in assigned and tokens:
            assigned[lease] = min(tokens, key=lambda token: shares[token])  # the first of several
            shares[assigned[lease]] += 1
    # A lease of a process that gives no sign cannot move, nor one to a process that may soon end.
    movable = {
        lease: [m.token for m in able[lease] if m.settled]
        for lease, token in assigned.items()
        if not living[token].silent
    }
    while move := _move(assigned, movable, shares):
        lease, token = move
        shares[assigned[lease]] -= 1
        shares[token] += 1
        assigned[lease] = token
    return assigned


def _able(lease: Lease, members: Sequence[Member]) -> list[Member]:
    """Return the processes that a lease may be given to."""
    return [m for m in members if lease.destination in m.delivers and not m.silent]


def _move(
    assigned: Mapping[Lease, str], able: Mapping[Lease, Sequence[str]], shares: Mapping[str, int]
) -> tuple[Lease, str] | None:
    """Return a lease that makes shares fairer, and the process that should have it."""
    for lease, tokens in able.items():
        if not tokens:
            continue
        least = min(tokens, key=lambda token: shares[token])
        if shares[assigned[lease]] - shares[least] >= 2:
            return lease, least
    return None
