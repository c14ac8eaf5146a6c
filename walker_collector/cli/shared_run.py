"""`walker run --workers` on a spool: this process accepts, and others deliver from the spool.

All that a run in one process promises comes from the spool: each line is committed once, with its
position in the file, and each event is delivered by the process that has the lease of its shard.
"""

import signal
import threading
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from typing import Any, Final

import attrs

from walker_collector.cli.flow_run import FlowRun
from walker_collector.cli.heap import relax_gc
from walker_collector.cli.log_output import without_lines_of
from walker_collector.cli.memory_spool import remove
from walker_collector.cli.signals import StopSignal
from walker_collector.cli.streams import say
from walker_collector.cli.worker_processes import Channel, WorkerProcess, WorkerProcesses
from walker_collector.collector import Collector
from walker_collector.config import FlowConfig, SpoolConfig
from walker_collector.delivery.status import Counts, DestinationStatus
from walker_collector.errors import WalkerError
from walker_collector.plugins import Registry
from walker_collector.results import Status
from walker_collector.text import counted

_REPORT: Final = 0.1
"""Seconds between two figures of a worker: the pace of reading follows them."""
_SPARE: Final = 15.0
"""Seconds that a worker may take to close, beside the time for its deliveries."""
_STAYS: Final = "waiting in the spool"
"""Part of the message of a process that closes before all is delivered."""
_STATES: Final = ("ready", "failing", "down", "idle")
"""States of a destination, that of the process which gets on best with it first."""
_COUNTS: Final = (*(item.name for item in attrs.fields(Counts)), "unrecorded", "in_flight", "due")


class SharedRun(FlowRun):
    """Run of a flow with a spool: its collector accepts only, and `count` workers deliver.

    They deliver whatever the flow says of `deliver`. If one is killed, the others take over what it
    had; its figures are those of its last report. `temporary`: the spool ends with the run.
    """

    def __init__(
        self,
        flow: FlowConfig,
        registry: Registry,
        stop: StopSignal,
        count: int,
        *,
        temporary: bool = False,
    ) -> None:
        self._temporary = temporary
        self._delivering = _with_deliver(attrs.evolve(flow, warnings=()), True)

        def work(channel: Channel) -> None:
            _deliver(channel, self._delivering, registry, temporary=temporary)

        self._failed = ""
        self._is_over = False
        # Forked first: this process has threads once its collector is open.
        self._workers = WorkerProcesses(count, work, stop, self._on_report, self._on_end)
        self._workers.listen()
        try:
            super().__init__(_with_deliver(flow, False), registry, stop)
            runtime = self.collector._life.own_runtime()
            runtime.workers.own_inherited()
        except BaseException:
            self._workers.close()
            raise
        self._say_who_stands_by(runtime.spool.shards, count)
        self._workers.send_all("start")

    def _say_who_is_missing(self) -> None:
        """Say nothing: the workers deliver, and begin in a moment."""

    @property
    def _delivers(self) -> bool:
        return True

    @property
    def _kept_in(self) -> SpoolConfig | None:
        return None if self._temporary else super()._kept_in

    def _say_who_stands_by(self, shards: int, count: int) -> None:
        """Say if there are more workers than can deliver at once."""
        active = [
            id_ for id_, entry in self._flow.destinations.items() if not entry.config.disabled
        ]
        if (most := shards * len(active)) < count:
            spool = self._flow.collector.spool
            assert spool is not None
            say(
                f"{spool.place} has {counted(shards, 'shard')}, so that {counted(most, 'worker')} "
                f"can deliver, and {count - most} only stand by; a new spool can have more "
                "(collector.shards)",
                err=True,
            )

    # --- figures ---------------------------------------------------------------------------

    def status(self) -> Status:
        """Return the figures of the collector, with the deliveries of all workers.

        Raises WalkerError once no worker is left.
        """
        if self._workers.all_ended and not self._is_over:
            raise WalkerError("no worker is left to deliver")
        return self._status()

    def statuses(self) -> Mapping[str, DestinationStatus]:
        """Return the status of each destination, with the deliveries of all workers."""
        return self._status().destinations

    def _status(self) -> Status:
        status, workers = self.collector.status(), [each.statuses for each in self._workers.each]
        together = {
            id_: _together(own, [statuses[id_] for statuses in workers if id_ in statuses])
            for id_, own in status.destinations.items()
        }
        return attrs.evolve(status, destinations=together)

    def _on_report(self, worker: WorkerProcess, kind: str, content: Any) -> None:
        say(f"worker {worker.pid}: {content}", err=True, level="warning")

    def _on_end(self, worker: WorkerProcess, pid: int, how: str) -> None:
        if not self._is_over:
            rest = "no other is left" if self._workers.all_ended else "the others take over"
            say(f"worker {pid} {how}; {rest}", err=True, level="warning")

    # --- end -------------------------------------------------------------------------------

    def _close(self) -> None:
        self._is_over = True
        timeout = self._flow.collector.close_timeout / 1000 if self._stop.signal else 0.0
        self._workers.send_all(timeout)
        if not self._workers.join(timeout + _SPARE):
            say("workers did not stop, and had to be killed", err=True, level="warning")
            self._workers.send_signal(signal.SIGKILL)
        self._workers.close()
        self.collector.status()  # counts what waits in the spool, which a closed one cannot
        with without_lines_of(_STAYS) if self._temporary else nullcontext():
            self.collector.close(0)


def _with_deliver(flow: FlowConfig, deliver: bool) -> FlowConfig:
    return attrs.evolve(flow, collector=attrs.evolve(flow.collector, deliver=deliver))


def _together(own: DestinationStatus, workers: Sequence[DestinationStatus]) -> DestinationStatus:
    """Return the status of a destination in this process with the deliveries of its workers."""
    counts = {name: sum(getattr(each, name) for each in (own, *workers)) for name in _COUNTS}
    best = min(workers, key=lambda each: _STATES.index(each.state), default=own)
    reasons = (each.reason for each in (best, *workers, own))
    return attrs.evolve(own, state=best.state, reason=next(filter(None, reasons), ""), **counts)


# --- in a worker ---------------------------------------------------------------------------


def _deliver(channel: Channel, flow: FlowConfig, registry: Registry, *, temporary: bool) -> None:
    """Deliver from the spool, and report the figures, until the parent says how long to close."""
    channel.receive()  # the parent has opened the spool: what waits there is for it to await
    collector = Collector(flow, registry)
    relax_gc()
    closed = threading.Event()
    reporter = threading.Thread(target=_report, args=(channel, collector, closed), daemon=True)
    reporter.start()
    try:
        timeout = channel.receive()
    except EOFError:  # the parent was killed
        timeout = None
        if temporary and flow.collector.spool:
            remove(flow.collector.spool)
            return
    with without_lines_of(_STAYS):  # the parent tells so, once
        collector.close(timeout)
    closed.set()
    reporter.join()
    with suppress(OSError):
        channel.report("statuses", collector.status().destinations)


def _report(channel: Channel, collector: Collector, closed: threading.Event) -> None:
    with suppress(OSError, WalkerError):
        while not closed.wait(_REPORT):
            channel.report("statuses", collector.status().destinations)
