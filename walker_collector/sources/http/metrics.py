"""`/metrics`: the figures of all workers in the text format of Prometheus."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from itertools import accumulate
from typing import Any, Final

from walker_collector.figures import Counts, Figures, Series

_REQUEST: Final = "request"
_SECONDS: Final = "seconds"
_BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the durations (s) that are counted together."""
_LIMITS: Final = (*map(str, _BOUNDS), "+Inf")
_COUNTERS: Final = {
    "accepted": ("walker_events_accepted", "Events accepted.", ["source"]),
    "refused": ("walker_events_refused", "Events refused.", ["source", "reason"]),
    "repeated": ("walker_events_repeated", "Events sent again under the same id.", []),
    "corrected": ("walker_events_corrected", "Events at an impossible time, corrected.", []),
    "bad": ("walker_source_bad_messages", "Messages without an event.", ["source"]),
    "commits": ("walker_source_commits", "Commits of offsets.", ["source"]),
    _REQUEST: ("walker_http_requests", "Requests answered.", ["source", "route", "status"]),
    "delivered": ("walker_destination_delivered", "Events delivered.", ["destination"]),
    "retried": ("walker_destination_retried", "Failed deliveries, to be retried.", ["destination"]),
    "died": ("walker_destination_died", "Events that became dead letters.", ["destination"]),
    "dropped": ("walker_destination_dropped", "Events dropped by limits.", ["destination"]),
}
_OF_SOURCES: Final = {
    "assigned": ("walker_source_partitions", "Partitions assigned.", ["source"]),
    "lag": (
        "walker_source_lag",
        "Messages in a partition that are not accepted yet.",
        ["source", "topic", "partition"],
    ),
}
_GAUGES: Final = {
    "waiting": ("walker_destination_waiting", "Events waiting for delivery."),
    "held": ("walker_destination_held", "Events held for consent."),
    "dead": ("walker_destination_dead", "Dead letters kept."),
    "oldest_age": ("walker_destination_oldest_age_seconds", "Age of the oldest waiting event."),
}
_POSTED: Final = ("walker_outbox_waiting", "Events in the outbox, to be accepted.")
_POSTED_AGE: Final = ("walker_outbox_oldest_age_seconds", "Age of the oldest event in the outbox.")


class MetricsUnavailable(Exception):
    """The library for the text format is not installed."""


def count_request(figures: Figures, source: str, route: str, status: int, seconds: float) -> None:
    """Count a request that was answered after so many seconds."""
    # One count has everything: the sums over it are made when somebody looks.
    limit = _LIMITS[bisect_left(_BOUNDS, seconds)]
    series = (_REQUEST, source, route, str(status), limit)
    figures.add_seconds(series, (_SECONDS, source), seconds)


def metrics_page(figures: Figures, accept: str) -> tuple[bytes, str]:
    """Return the page with its media type, as the header Accept asks for it.

    Raises MetricsUnavailable.
    """
    try:
        from prometheus_client import CollectorRegistry
        from prometheus_client.exposition import choose_encoder
    except ImportError:
        raise MetricsUnavailable from None
    registry = CollectorRegistry()
    registry.register(_Families(figures))
    encode, media_type = choose_encoder(accept)
    text: bytes = encode(registry)
    return text, media_type


class _Families:
    """The figures as a collector of prometheus_client."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> Iterable[Any]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        counts, status = self._figures.report()
        for name, (full_name, about, labels) in _COUNTERS.items():
            family = CounterMetricFamily(full_name, about, labels=labels)
            for values, count in _by_labels(counts, name, len(labels)).items():
                family.add_metric(values, count)
            yield family
        for name, (full_name, about, labels) in _OF_SOURCES.items():
            gauge = GaugeMetricFamily(full_name, about, labels=labels)
            for values, value in _by_labels(counts, name, len(labels)).items():
                gauge.add_metric(values, value)
            yield gauge
        yield _durations(counts)
        for figure, (full_name, about) in _GAUGES.items():
            gauge = GaugeMetricFamily(full_name, about, labels=["destination"])
            for id_, destination in (status.destinations if status else {}).items():
                gauge.add_metric([id_], getattr(destination, figure))
            yield gauge
        if status is not None and status.posted is not None:
            yield GaugeMetricFamily(*_POSTED, value=status.posted)
            yield GaugeMetricFamily(*_POSTED_AGE, value=status.posted_age)


def _by_labels(counts: Counts, name: str, size: int) -> Counts:
    """Return the counts of a name by its first `size` labels."""
    found: defaultdict[Series, float] = defaultdict(float)
    for (its_name, *labels), count in counts.items():
        if its_name == name:
            found[tuple(labels[:size])] += count
    return found


def _durations(counts: Counts) -> Any:
    from prometheus_client.core import HistogramMetricFamily

    about = "Seconds from a request's head to its answer."
    family = HistogramMetricFamily("walker_http_request_duration_seconds", about, labels=["source"])
    sums = _by_labels(counts, _SECONDS, 1)
    for (source,), seconds in sums.items():
        limits: defaultdict[str, float] = defaultdict(float)
        for (name, *labels), count in counts.items():
            if name == _REQUEST and labels[0] == source:
                limits[labels[-1]] += count
        upto = accumulate(limits[limit] for limit in _LIMITS)
        family.add_metric([source], list(zip(_LIMITS, upto, strict=True)), seconds)
    return family
