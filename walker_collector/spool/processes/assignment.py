"""Which process should have which lease: a pure function, so that all processes agree."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from walker_collector.spool.base import Lease
from walker_collector.spool.deliverer import Member


def assign(
    leases: Iterable[Lease], members: Sequence[Member], holders: Mapping[Lease, str]
) -> dict[Lease, str]:
    """Return the token of the process that should hold each lease.

    The leases of each destination are shared out fairly, so that every process helps a slow one,
    and then all leases together. A lease stays with its holder, unless another process has two
    fewer: so as few as possible move, and none any more once shares are fair. A process that has
    just come gets only what nobody else can deliver, as a script may soon end; one that gives no
    sign gets nothing, but keeps what it has, since nobody can take it.
    """
    able = {lease: _able(lease, members) for lease in sorted(leases)}
    living = {member.token: member for member in members}
    shares = _Shares()
    for lease, token in holders.items():
        if lease in able and token in living and lease.destination in living[token].delivers:
            shares.give(lease, token)
    for lease, found in able.items():
        tokens = [m.token for m in found if m.settled] or [m.token for m in found]
        if lease not in shares.assigned and tokens:
            shares.give(lease, shares.least(lease, tokens))
    # A lease of a process that gives no sign cannot move, nor one to a process that may soon end.
    movable = {
        lease: tokens
        for lease, token in shares.assigned.items()
        if not living[token].silent and (tokens := [m.token for m in able[lease] if m.settled])
    }
    while move := shares.fairer(movable):
        shares.give(*move)
    return shares.assigned


def _able(lease: Lease, members: Sequence[Member]) -> list[Member]:
    """Return the processes that a lease may be given to."""
    return [m for m in members if lease.destination in m.delivers and not m.silent]


class _Shares:
    """How many leases each process has, of each destination and of all."""

    def __init__(self) -> None:
        self.assigned: dict[Lease, str] = {}
        self._parts: Counter[tuple[str, str]] = Counter()
        self._wholes: Counter[str] = Counter()

    def give(self, lease: Lease, token: str) -> None:
        """Give a lease to a process, from that which has it."""
        before = self.assigned.get(lease)
        self.assigned[lease] = token
        for holder, change in ((before, -1), (token, 1)):
            if holder is not None:
                self._parts[lease.destination, holder] += change
                self._wholes[holder] += change

    def least(self, lease: Lease, tokens: Iterable[str]) -> str:
        """Return the process with the fewest leases of the destination; the first of several."""
        return min(tokens, key=lambda t: (self._parts[lease.destination, t], self._wholes[t]))

    def fairer(self, movable: Mapping[Lease, Sequence[str]]) -> tuple[Lease, str] | None:
        """Return a lease that makes shares fairer, and the process that should have it.

        It ends: each such move makes the shares of a destination more even, or leaves them as even
        and makes those of all leases more so.
        """
        for part, whole in ((2, None), (1, 2)):
            for lease, tokens in movable.items():
                holder, destination = self.assigned[lease], lease.destination
                here, all_here = self._parts[destination, holder], self._wholes[holder]
                for token in tokens:
                    if here - self._parts[destination, token] >= part and (
                        whole is None or all_here - self._wholes[token] >= whole
                    ):
                        return lease, self.least(lease, tokens) if whole is None else token
        return None
