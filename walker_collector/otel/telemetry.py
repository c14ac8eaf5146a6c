"""The OpenTelemetry extension: wraps the hooks of every destination."""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Any, Final

from opentelemetry import metrics, trace
from opentelemetry.trace import Span, StatusCode

from walker_collector.hookspecs import Context, Event, Item, PushContext, hookimpl
from walker_collector.otel.status_metrics import StatusMetrics
from walker_collector.version import __version__

_NAME: Final = "walker_collector"
_IDS_MAX: Final = 100


class OpenTelemetry:
    """Measures and traces deliveries, through the global providers unless others are given."""

    reads = ("id", "name")

    def __init__(
        self,
        meter_provider: metrics.MeterProvider | None = None,
        tracer_provider: trace.TracerProvider | None = None,
    ) -> None:
        meter = metrics.get_meter(_NAME, __version__, meter_provider)
        self._tracer = trace.get_tracer(_NAME, __version__, tracer_provider)
        self._status = StatusMetrics(meter)
        self._sizes = meter.create_histogram(
            "walker.batch.size", "{event}", "Events given to one push_batch."
        )
        self._durations = meter.create_histogram(
            "walker.delivery.duration", "s", "Duration of push or push_batch."
        )

    def watch(self, context: Context) -> None:
        """Include a destination in the metrics, even if it never delivers anything."""
        self._status.watch(context)

    @hookimpl(wrapper=True)
    def push(self, event: Event, context: PushContext) -> Generator[None, Any, Any]:
        with self._delivery("push", context.id, [event]):
            return (yield)

    @hookimpl(wrapper=True)
    def push_batch(
        self, batch: Sequence[Item], context: Context
    ) -> Generator[None, Any, Mapping[int, Exception] | None]:
        self._sizes.record(len(batch), {"walker.destination": context.id})
        with self._delivery("push_batch", context.id, [item.event for item in batch]) as span:
            failures: Mapping[int, Exception] | None = yield
            span.set_attribute(
                "walker.event.failed", len(failures) if isinstance(failures, Mapping) else 0
            )
            if isinstance(failures, Mapping) and len(failures) == len(batch) > 0:
                span.set_status(StatusCode.ERROR, "every event failed")
            return failures

    @hookimpl(wrapper=True)
    def shutdown(self, context: Context) -> Generator[None, Any, Any]:
        try:
            return (yield)
        finally:
            self._status.unwatch(context)

    @contextmanager
    def _delivery(self, hook: str, destination: str, events: Sequence[Event]) -> Iterator[Span]:
        """Trace and time one call. The text of an exception stays here, since it may quote data."""
        labels = {"walker.destination": destination}
        began = perf_counter()
        with self._tracer.start_as_current_span(
            f"{hook} {destination}", record_exception=False, set_status_on_exception=False
        ) as span:
            if span.is_recording():
                span.set_attributes(_about(destination, events))
            try:
                yield span
            except Exception as error:
                labels["error.type"] = type(error).__name__
                span.set_attribute("error.type", type(error).__name__)
                span.set_status(StatusCode.ERROR, type(error).__name__)
                raise
            finally:
                self._durations.record(perf_counter() - began, labels)


def _about(destination: str, events: Sequence[Event]) -> dict[str, Any]:
    return {
        "walker.destination": destination,
        "walker.event.count": len(events),
        "walker.event.names": sorted({str(event["name"]) for event in events}),
        "walker.event.ids": [str(event.get("id", "")) for event in events[:_IDS_MAX]],
    }
