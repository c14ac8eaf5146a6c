"""Which process should have which lease: a pure function, so that all processes agree."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from walker_collector.spool.processes.leases import Lease
from walker_collector.spool.processes.members import Member


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
    living = {member.token for member in members}
    assigned = {
        lease: token
        for lease, token in holders.items()
        if lease in able and token in living and (token in able[lease] or _is_stuck(token, members))
    }
    shares = Counter(assigned.values())
    for lease, tokens in able.items():
        if lease not in assigned and tokens:
            assigned[lease] = min(tokens, key=lambda token: shares[token])  # the first of several
            shares[assigned[lease]] += 1
    while move := _move(assigned, able, shares):
        lease, token = move
        shares[assigned[lease]] -= 1
        shares[token] += 1
        assigned[lease] = token
    return assigned


def _able(lease: Lease, members: Sequence[Member]) -> list[str]:
    """Return the processes that a lease may be given to."""
    able = [m for m in members if lease.destination in m.delivers and not m.silent]
    return [m.token for m in able if m.settled] or [m.token for m in able]


def _is_stuck(token: str, members: Sequence[Member]) -> bool:
    return any(member.token == token and member.silent for member in members)


def _move(
    assigned: Mapping[Lease, str], able: Mapping[Lease, Sequence[str]], shares: Mapping[str, int]
) -> tuple[Lease, str] | None:
    """Return a lease that makes shares fairer, and the process that should have it."""
    for lease, holder in assigned.items():
        if not able[lease] or holder not in able[lease]:
            continue
        least = min(able[lease], key=lambda token: shares[token])
        if shares[holder] - shares[least] >= 2:
            return lease, least
    return None
