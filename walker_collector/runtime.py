"""The working parts of a collector, which a forked child makes anew."""

from collections.abc import Callable

from walker_collector.config import CollectorConfig, FlowConfig
from walker_collector.delivery.destination import Host, announce, build_destinations
from walker_collector.delivery.workers import DestinationWorkers
from walker_collector.events import Bounds, Defaults
from walker_collector.intake.accept import Intake
from walker_collector.intake.in_flight import InFlight
from walker_collector.intake.sink import SpoolSink
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
    """Intake, people, workers and erasure, over one spool. It closes the spool if it fails."""

    def __init__(
        self,
        flow: FlowConfig,
        spool: Spool,
        registry: Registry | None,
        host: Host,
        defaults: Defaults,
        in_flight: InFlight,
        now: Callable[[], int],
        random: Callable[[], float],
    ) -> None:
        config = flow.collector
        self.spool = spool
        try:
            destinations = build_destinations(flow, registry, host)
            self.consents = ConsentStore(spool, config.consent, config.people_max, now)
            self.workers = DestinationWorkers(destinations, spool, self.consents, now, random)
            self.erasure = Erasure(self.workers, self.consents, spool)
            sink = SpoolSink(config, spool, self.workers, in_flight)
            self.bounds = bounds = Bounds(config.max_depth, config.max_bytes)
            defaults.begin_run()
            self.intake = Intake(defaults, bounds, self.consents, sink, now, began=now())
            announce(destinations, registry)
        except BaseException:
            spool.close()
            raise

    def start(self) -> None:
        """Finish the erasures that an earlier process has left pending; begin to deliver."""
        try:
            self.erasure.finish()
            self.workers.start()
        except BaseException:
            self.spool.close()
            raise

    def stop(self, deadline: float, expired: Callable[[], bool]) -> bool:
        """Deliver until `deadline` (monotonic, s), then stop; return whether nothing is left."""
        try:
            self.workers.flush(deadline, expired)
            self.erasure.wait(deadline)
            return self.workers.stop(expired) == 0
        finally:
            self.spool.close()
