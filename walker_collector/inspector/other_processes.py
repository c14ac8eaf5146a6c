"""The other processes of a spool: they publish their work while a page of this one is open."""

import secrets
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, cast

from walker_collector.collector import Collector
from walker_collector.errors import SpoolError
from walker_collector.inspector.spool_view import RENEW, SpoolView, stop_watching, watch
from walker_collector.spool import StoredSpool

_KEPT: Final = 500
"""Samples of all processes that are kept, the latest ones."""
_NO_RATES: Final = {"delivered": 0.0, "retried": 0.0, "died": 0.0}
_SHARED: Final = (
    "state",
    "waiting",
    "retrying",
    "held",
    "dead",
    "oldestAge",
    "call",
    "slowestCall",
    "age",
)


class OtherProcesses:
    """Looks at all processes of a durable spool, as long as there are others than this one."""

    def __init__(self, collector: Collector) -> None:
        self.samples: deque[Mapping[str, Any]] = deque(maxlen=_KEPT)
        self._collector = collector
        self._viewer = f"page-{secrets.token_hex(4)}"
        self._view: SpoolView | None = None
        self._renew_at = 0.0

    @property
    def are_watched(self) -> bool:
        """Whether there are any, so that `samples` has those of all processes."""
        return self._view is not None

    def completed(self, own: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the overview of this process, with the figures of all in place of its own."""
        spool = self._collector._life.own_runtime().spool
        if not spool.durable:
            return own
        store = cast(StoredSpool, spool)
        with suppress(SpoolError):
            if len(store.observer.deliveries(())) > 1:
                return self._look(store, own)
        self.end()
        return own

    def read_samples(self) -> None:
        """Take the samples that were published since the last look."""
        if self._view is not None:
            with suppress(SpoolError):  # the next look tells of it
                self.samples.extend(self._view.new_samples())

    def end(self) -> None:
        """Have the others publish nothing more for this page."""
        if self._view is None:
            return
        self._view, self._renew_at = None, 0.0
        self.samples.clear()
        spool = self._collector._life.own_runtime().spool
        with suppress(SpoolError):
            stop_watching(cast(StoredSpool, spool).sample_table, self._viewer)

    def _look(self, store: StoredSpool, own: Mapping[str, Any]) -> Mapping[str, Any]:
        if time.monotonic() >= self._renew_at:
            watch(store.sample_table, self._viewer)
            self._renew_at = time.monotonic() + RENEW
        if self._view is None:
            self._view = SpoolView(store, self._collector.flow)
        found = self._view.look()
        self.samples.extend(found["live"])
        known = {item["id"]: item for item in own["destinations"]}
        destinations = [_merged(known.get(item["id"]), item) for item in found["destinations"]]
        return {**own, "destinations": destinations, "processes": found["processes"]}


def _merged(own: Mapping[str, Any] | None, item: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures of a destination over all processes, in the shape of `overview`."""
    breaker = item["breaker"] or {"open": False, "threshold": 0, "nextAttempt": 0}
    return {
        "id": item["id"],
        "consent": own["consent"] if own else [],
        **{key: item[key] for key in _SHARED},
        "reason": "; ".join(filter(None, (item["reason"], item["hint"]))),
        "delivered": None,  # nobody counts what all of them have delivered since they started
        "nextAttempt": breaker["nextAttempt"],
        "breaker": {"open": breaker["open"], "threshold": breaker["threshold"]},
        "rates": item["rates"] or _NO_RATES,
    }
