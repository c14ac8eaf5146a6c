"""Everything of a collector that a forked child makes anew: spool, people, workers, intake."""

from collections.abc import Callable

from walker_collector.config import CollectorConfig, FlowConfig
from walker_collector.delivery.destination import Host, announce, build_destinations
from walker_collector.delivery.workers import DestinationWorkers
from walker_collector.events import Defaults
from walker_collector.intake.accept import Intake
from walker_collector.intake.commands import Commands
from walker_collector.intake.in_flight import Door
from walker_collector.intake.room import Room
from walker_collector.people.consent import ConsentStore
from walker_collector.people.erasure import Erasure
from walker_collector.plugins import Registry
from walker_collector.spool import Spool
from walker_collector.spool.memory import MemorySpool


def open_spool(config: CollectorConfig, *, forked: bool = False) -> Spool:
    """Open the spool of a configuration; in a forked child one that no other process holds."""
    if config.spool is None:
        return MemorySpool()
    # Imported here: a collector in memory needs neither SQLite nor file locks.
    from walker_collector.spool.sqlite.slots import open_free_slot, open_own

    return open_free_slot(config.spool) if forked else open_own(config.spool)


class Runtime:
    """The working parts of a collector, over one spool."""

    def __init__(
        self,
        flow: FlowConfig,
        spool: Spool,
        registry: Registry | None,
        host: Host,
        defaults: Defaults,
        door: Door,
        now: Callable[[], int],
        random: Callable[[], float],
    ) -> None:
        config = flow.collector
        self.spool = spool
        self._registry = registry
        self._destinations = build_destinations(flow, registry, host)
        self.consents = ConsentStore(spool, config.consent, config.people_max, now)
        self.workers = DestinationWorkers(self._destinations, spool, self.consents, now, random)
        self.erasure = Erasure(self.workers, self.consents, spool)
        room = Room(config, spool, self.workers, door)
        parts = (config, defaults, spool, self.consents, self.workers, room, now)
        self.intake = Intake(*parts)
        self.commands = Commands(*parts)

    def start(self) -> None:
        """Tell the extensions, finish the erasures of a process before, begin to deliver."""
        announce(self._destinations, self._registry)
        self.erasure.finish()
        self.workers.start()
