"""Keeps the leases of this process fair, and takes over those of processes that have ended."""

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from contextlib import suppress
from typing import Final, Protocol

from walker_collector.errors import SpoolError
from walker_collector.spool.base import Deliveries, Lease
from walker_collector.spool.deliverer import Deliverer, DestinationHealth, Member
from walker_collector.spool.processes.assignment import assign
from walker_collector.spool.processes.files import Loss
from walker_collector.text import LastTrouble, describe

_INTERVAL: Final = 0.25
"""Seconds between looks: the lease of a killed process is taken over after one of them."""
_WHOLE: Final = 1.0
"""Seconds after which a look is at every process, though none has come or gone."""
_LOOKS: Final = 2
"""Looks for which a free lease is left to the process that should have it."""
_JOIN: Final = 10.0
"""Seconds to wait for a look that is under way, at the end."""
_LOSSES: Final = {
    Loss.SPOOL: "its file was deleted, moved, replaced or emptied; this process can store nothing "
    "more in it",
    Loss.LOCKS: "its lock files were deleted or replaced; this process can neither store nor "
    "deliver anything more",
}

logger = logging.getLogger("walker_collector")


class Members(Protocol):
    """The processes of a spool, this one among them."""

    @property
    def token(self) -> str:
        """The name of this process among the others; a new one where it has to join anew."""

    @property
    def version(self) -> int:
        """Another value than before: processes have come or gone, and a look is due at once.

        It may miss some: a look is due every second.
        """

    def sign(self) -> None:
        """Give a sign of life; join anew where this process counts as ended."""

    def living(self) -> list[Member]:
        """Return the living processes, the one that came first first."""

    def leave(self) -> None:
        """Take no part in sharing out leases any more, and stay a living process."""

    def close(self) -> None:
        """End the membership."""

    def abandon(self) -> None:
        """Leave the membership to the parent process, in a forked child."""


class Leases(Protocol):
    """The leases that this process has taken."""

    @property
    def held(self) -> frozenset[Lease]:
        """The leases that were acquired and not released, those that are lost among them."""

    def holds(self, lease: Lease) -> bool:
        """Return whether a lease is held, and not lost. Asks no other process."""

    def acquire(self, lease: Lease) -> bool:
        """Take a lease unless another process has it; return whether it is held now."""

    def release(self, lease: Lease) -> None:
        """Give a lease up."""

    def holders(self, leases: Iterable[Lease]) -> dict[Lease, str]:
        """Return the tokens of the processes that hold leases, of those that are held."""

    def are_held(self, leases: Collection[Lease]) -> bool:
        """Return whether some process holds each of these leases. Asked several times a second."""

    def health(self, leases: Iterable[Lease]) -> Mapping[Lease, DestinationHealth]:
        """Return how deliveries under leases go, or went last, of those that was told of."""

    def publish_health(self, destination: str, health: DestinationHealth) -> None:
        """Write how deliveries to a destination go beside its leases."""

    def close(self) -> None:
        """Give all leases up."""

    def abandon(self) -> None:
        """Leave the leases to the parent process, in a forked child."""


class LeaseKeeper:
    """Looks every `interval` (s) which leases this process should have; whole looks that find all
    as before have `calm` seconds in between.

    A process that has leases to give up finishes what is in flight first, and whoever should have
    them takes them when they are free. `spool` is its name in messages.
    """

    def __init__(
        self,
        spool: str,
        members: Members,
        leases: Leases,
        destinations: Collection[str],
        shards: int,
        deliveries: Deliveries,
        loss: Callable[[], Loss] = lambda: Loss.NONE,
        interval: float = _INTERVAL,
        calm: float = _WHOLE,
    ) -> None:
        self._spool = spool
        self._members = members
        self._leases = leases
        self._wanted = [Lease(id_, shard) for id_ in destinations for shard in range(shards)]
        self._deliveries = deliveries
        self._loss = loss
        self._told_loss = Loss.NONE
        self._free: dict[Lease, int] = {}
        """How often a lease was looked at and nobody had it."""
        self._trouble = LastTrouble()
        self._leaving: set[Lease] = set()
        self._interval, self._calm = interval, calm
        self._look_due = 0.0
        self._found: object = None
        self._members_version = 0
        self._looking = threading.Lock()
        self._over = threading.Event()
        self._rest: list[Lease] = []
        """The leases that nobody else could take as this process left."""
        self._thread: threading.Thread | None = None

    @property
    def token(self) -> str:
        """The name of this process among the others."""
        return self._members.token

    # --- what others ask -------------------------------------------------------------------

    def holds(self, lease: Lease) -> bool:
        """Return whether deliveries may begin under a lease."""
        return lease not in self._leaving and self._leases.holds(lease)

    def gives_up(self, leases: Set[Lease]) -> bool:
        """Return whether any of these leases is about to be given up."""
        return not self._leaving.isdisjoint(leases)

    def has_leases(self) -> bool:
        """Return whether this process delivers anything."""
        return bool(self._leases.held)

    def living(self) -> list[Member]:
        """Return the living processes of the spool."""
        with self._looking:
            return self._members.living()

    def holders(self, leases: Iterable[Lease]) -> dict[Lease, Member]:
        """Return the process that holds each of these leases, of those that are held."""
        with self._looking:
            members = {member.token: member for member in self._members.living()}
            found = self._leases.holders(leases)
        return {lease: members[token] for lease, token in found.items() if token in members}

    def deliverers(self, leases: Sequence[Lease]) -> list[Deliverer]:
        """Return the deliverer under each of these leases, and its health or the last known."""
        holders = self.holders(leases)
        with self._looking:
            health = self._leases.health(leases)
        return [Deliverer(holders.get(item), health.get(item)) for item in leases]

    def publish_health(self, destination: str, health: DestinationHealth) -> None:
        """Write into the leases of a destination how deliveries to it go."""
        with self._looking:
            self._leases.publish_health(destination, health)

    # --- work ------------------------------------------------------------------------------

    def start(self) -> None:
        """Take the free leases at once; then look on a thread."""
        self.look()
        self._thread = threading.Thread(target=self._run, name="walker-leases", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(self._interval):
            try:
                if not self._is_quiet():
                    self.look()
                self._deliveries.look()
                self._trouble.is_over()
            except Exception as error:  # the next look may find the spool in a better state
                self._tell(error)

    def _tell(self, error: Exception) -> None:
        """Log an error of looks once, not at each of them."""
        if not self._trouble.is_new(error):
            return
        logger.error(
            "%s: the leases of this process could not be looked after: %s",
            self._spool,
            describe(error),
            exc_info=not isinstance(error, SpoolError),  # which says itself what to do
        )

    def _is_quiet(self) -> bool:
        """Return whether there is nothing to do: nobody has come or gone, no lease is free.

        A look opens a file of each process. A killed one matters at once if it had leases.
        """
        with self._looking:
            return (
                time.monotonic() < self._look_due
                and not self._leaving
                and self._loss() is Loss.NONE
                and self._members.version == self._members_version
                and not self._lost()
                and self._leases.are_held(self._wanted)
            )

    def look(self) -> None:
        """Give up leases that others should have, and take those that this process should."""
        with self._looking:
            if self._over.is_set():
                return
            loss = self._loss()
            self._tell_loss(loss)
            if loss is not Loss.NONE:
                if loss is Loss.LOCKS:
                    self._give_all_up()
                return
            lost = self._give_up_lost()  # first: where nothing else can be done, nothing begins
            now, version = time.monotonic(), self._members.version
            self._members.sign()
            members = self._members.living()
            holders = self._leases.holders(self._all(members))
            assigned = assign(self._all(members), members, holders)
            mine = {lease for lease, token in assigned.items() if token == self._members.token}
            mine |= self._left_over(members, holders)
            mine -= lost & self._leases.held  # something is in flight under them still
            for lease in self._leases.held - mine - lost:
                self._give_up(lease)
            # Those to be given up which nobody else should have any more are among them.
            for lease in sorted(mine - self._leases.held | mine & self._leaving):
                self._take(lease)
            found = members, holders, mine
            self._look_due = now + (self._calm if found == self._found else _WHOLE)
            self._found, self._members_version = found, version

    def _lost(self) -> set[Lease]:
        return {lease for lease in self._leases.held if not self._leases.holds(lease)}

    def _give_up_lost(self) -> set[Lease]:
        """Give up the leases that are lost, and return them."""
        lost = self._lost()
        for lease in lost:
            self._give_up(lease)
        return lost

    def _left_over(self, members: Iterable[Member], holders: Mapping[Lease, str]) -> set[Lease]:
        """Return leases that the process which should have them has not taken for some looks.

        It may be busy, or have been stopped just now. A script leaves them to processes that stay.
        """
        free = [lease for lease in self._wanted if lease not in holders]
        self._free = {lease: self._free.get(lease, 0) + 1 for lease in free}
        if any(member.token == self._members.token and member.settled for member in members):
            return {lease for lease, looks in self._free.items() if looks > _LOOKS}
        return set()

    def _tell_loss(self, loss: Loss) -> None:
        """Log which files are lost, once."""
        if loss is not self._told_loss and loss is not Loss.NONE:
            logger.error("%s: %s: restart it", self._spool, _LOSSES[loss])
        self._told_loss = loss

    def _give_all_up(self) -> None:
        for lease in self._leases.held:
            self._give_up(lease)

    def _all(self, members: Iterable[Member]) -> list[Lease]:
        """Return all leases that any process wants: fair shares are about all of them."""
        shards = {lease.shard for lease in self._wanted}
        ids = {id_ for member in members for id_ in member.delivers}
        return sorted(Lease(id_, shard) for id_ in ids for shard in shards)

    def _take(self, lease: Lease) -> None:
        if not self._leases.acquire(lease):
            return
        try:
            self._deliveries.take_over(lease)
        except BaseException:  # the spool cannot be read: another process, or the next look, may
            self._give_up(lease)  # unless something is in flight already, or still
            raise
        self._leaving.discard(lease)

    def _give_up(self, lease: Lease) -> None:
        self._leaving.add(lease)
        if self._deliveries.abandon(lease):
            self._leases.release(lease)
            self._leaving.discard(lease)

    # --- end -------------------------------------------------------------------------------

    def others_deliver(self) -> set[str]:
        """Return the destinations that other processes can deliver to."""
        others = [m for m in self.living() if m.token != self._members.token and not m.silent]
        return {id_ for member in others for id_ in member.delivers}

    def leave(self) -> set[str]:
        """Take no more leases, but those that nobody else could take.

        Returns the destinations that others can deliver to, which is left to them. Of several
        processes that leave at once each finds itself alone, and one gets the leases.
        """
        self.stop()
        with self._looking:
            self._members.leave()
        if (loss := self._loss()) is not Loss.NONE:
            # Without the spool, nobody else has what is in memory.
            return set() if loss is Loss.SPOOL else {lease.destination for lease in self._wanted}
        others = self.others_deliver()
        self._rest = [lease for lease in self._wanted if lease.destination not in others]
        with suppress(SpoolError):  # whoever closes tries again: see `take_rest`
            self.take_rest()
        return others

    def take_rest(self) -> bool:
        """Take the leases that nobody else could take, as far as they are free.

        Returns whether this process has all of them. Another process that leaves has its own until
        it has closed.
        """
        with self._looking:
            if self._give_up_lost() and self._loss() is Loss.NONE:  # else nobody can be a member
                self._members.sign()
            for lease in self._rest:
                if lease not in self._leases.held or lease in self._leaving:
                    self._take(lease)
            return self._leases.held.issuperset(self._rest)

    def stop(self) -> None:
        """Look no more, and keep the leases."""
        self._over.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_JOIN)

    def close(self) -> None:
        """Give up all leases, and leave. Their deliveries have ended."""
        self.stop()
        with self._looking:
            self._leases.close()
            self._members.close()

    def pause(self) -> None:
        """Let no look begin, before a fork."""
        self._looking.acquire()

    def resume(self) -> None:
        """Let looks begin again, in the parent."""
        self._looking.release()

    def abandon(self) -> None:
        """Close copies of files in a forked child: leases and membership stay the parent's."""
        self._leases.abandon()
        self._members.abandon()
