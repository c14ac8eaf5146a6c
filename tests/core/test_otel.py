"""OpenTelemetry: figures, sizes, durations and spans of deliveries, with the real SDK."""

import os
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from attrs import define
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from tests.support import exit_status, python
from walker_collector import (
    Collector,
    Context,
    DestinationDown,
    Item,
    Registry,
    Rejected,
    RetryLater,
    hookimpl,
)
from walker_collector.otel.telemetry import OpenTelemetry
from walker_collector.testing import Recorder

EMAIL = "ann.private@example.org"
SLOW = {"retry": {"base": 3_600_000, "cap": 3_600_000}}
"""Retries that do not come within a test."""


@define(eq=False)
class Telemetry:
    """An SDK that keeps what it is told, and an extension that tells it."""

    reader: InMemoryMetricReader
    spans: InMemorySpanExporter
    extension: OpenTelemetry

    def figures(self, name: str) -> dict[str, Any]:
        """Destination -> the value of a metric; of a histogram (count, sum)."""
        data = self.reader.get_metrics_data()
        found = {}
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in metric.data.data_points if metric.name == name else ():
                        assert point.attributes
                        id = str(point.attributes["walker.destination"])
                        value = getattr(point, "value", None)
                        found[id] = (point.count, point.sum) if value is None else value  # type: ignore[union-attr]  # a histogram's
        return found


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    reader, spans = InMemoryMetricReader(), InMemorySpanExporter()
    meters, tracers = MeterProvider([reader]), TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(spans))
    yield Telemetry(reader, spans, OpenTelemetry(meters, tracers))
    meters.shutdown()
    tracers.shutdown()


class Batches:
    """Takes batches, and refuses what is named so."""

    @hookimpl
    def push_batch(self, batch: Sequence[Item], context: Context) -> Mapping[int, Exception]:
        return {
            index: Rejected("refused")
            for index, item in enumerate(batch)
            if item.event["name"] == "order refused"
        }


@pytest.fixture
def registry(telemetry: Telemetry) -> Registry:
    registry = Recorder().registry()
    registry.register("batches", Batches)
    registry.register_extension("otel", telemetry.extension)
    return registry


def collecting(registry: Registry, **destinations: Any) -> Collector:
    return Collector.from_config({"destinations": destinations}, registry=registry)


def test_events_are_counted_by_what_became_of_them(
    telemetry: Telemetry, registry: Registry, walker_recorder: Recorder
) -> None:
    walker_recorder.fail(RetryLater("busy"), Rejected("never"))
    mapping = {"page": {"*": {"ignore": True}}}
    entry = walker_recorder.entry(consent={"marketing": True}, mapping=mapping, **SLOW)
    with collecting(registry, shop=entry) as collector:
        for name in ("order complete", "order refund", "order paid", "page view"):
            user = {"id": name}
            collector.push(name, user=user, consent={"marketing": True}, wait=True, timeout=20)
        collector.push("order complete", user={"id": "u5"})
        expected = {
            "accepted": 5,
            "retried": 1,
            "waiting": 1,
            "dead": 1,
            "died": 1,
            "delivered": 1,
            "ignored": 1,
            "held": 1,
            "dropped": 0,
        }
        found = {name: telemetry.figures(f"walker.events.{name}") for name in expected}
        assert found == {name: {"shop": count} for name, count in expected.items()}
        assert telemetry.figures("walker.queue.age")["shop"] >= 0
        collector.close(timeout=0)


def test_destination_that_holds_everything_is_measured_before_it_delivered_anything(
    telemetry: Telemetry, registry: Registry, walker_recorder: Recorder
) -> None:
    with collecting(registry, shop=walker_recorder.entry(consent={"marketing": True})) as collector:
        assert telemetry.figures("walker.events.held") == {"shop": 0}
        collector.push("order complete", user={"id": "u1"})
        assert telemetry.figures("walker.events.held") == {"shop": 1}


def test_span_of_a_batch_is_an_error_only_where_every_event_failed(
    telemetry: Telemetry, registry: Registry
) -> None:
    with collecting(registry, shop={"package": "batches"}) as collector:
        collector.push("order refused", wait=True, timeout=20)
        collector.push("order complete", wait=True, timeout=20)
    refused, complete = telemetry.spans.get_finished_spans()
    assert refused.status.status_code is StatusCode.ERROR
    assert refused.status.description == "every event failed"
    assert complete.status.status_code is StatusCode.UNSET


def test_each_destination_has_its_own_figures(
    telemetry: Telemetry, registry: Registry, walker_recorder: Recorder
) -> None:
    both = {id: walker_recorder.entry() for id in ("first", "second")}
    with collecting(registry, **both) as collector:
        collector.push("order complete", wait=True)
        assert telemetry.figures("walker.events.delivered") == {"first": 1, "second": 1}


def test_destination_that_never_came_up_is_measured_too(
    telemetry: Telemetry, registry: Registry
) -> None:
    class Unreachable(Batches):
        @hookimpl
        def init(self, context: Context) -> None:
            raise DestinationDown("wrong password")

    registry.register("unreachable", Unreachable)
    with collecting(registry, crm={"package": "unreachable"}) as collector:
        collector.push("order complete", wait=True, timeout=20)
        assert telemetry.figures("walker.events.waiting") == {"crm": 1}
        collector.close(timeout=0)


def test_closed_collector_is_measured_no_more(
    telemetry: Telemetry, registry: Registry, walker_recorder: Recorder
) -> None:
    with collecting(registry, shop=walker_recorder.entry()) as collector:
        collector.push("order complete", wait=True)
        assert telemetry.figures("walker.events.delivered") == {"shop": 1}
    assert telemetry.figures("walker.events.delivered") == {}


def test_forked_child_does_not_report_its_parents_destinations(
    telemetry: Telemetry, registry: Registry, walker_recorder: Recorder
) -> None:
    with collecting(registry, shop=walker_recorder.entry()) as collector:
        collector.push("order complete", wait=True)
        child = os.fork()
        if child == 0:
            os._exit(len(telemetry.figures("walker.events.delivered")))
        assert exit_status(child) == 0


def test_batches_have_a_size_and_deliveries_a_duration(
    telemetry: Telemetry, registry: Registry
) -> None:
    with collecting(registry, shop={"package": "batches"}) as collector:
        collector.push_many([{"name": "order complete"} for _ in range(3)])
        collector.flush(20)
        batches, events = telemetry.figures("walker.batch.size")["shop"]
        deliveries, seconds = telemetry.figures("walker.delivery.duration")["shop"]
    assert events == 3
    assert batches == deliveries
    assert 0 <= seconds < 20


def test_span_of_a_batch_names_its_events_and_counts_failures(
    telemetry: Telemetry, registry: Registry
) -> None:
    config = {"batch": {"size": 2, "wait": 60_000}}
    with collecting(registry, shop={"package": "batches", "config": config}) as collector:
        collector.push({"name": "order complete", "id": "e1"})
        collector.push({"name": "order refused", "id": "e2"})
        collector.flush(20)
    (span,) = telemetry.spans.get_finished_spans()
    assert span.name == "push_batch shop"
    assert span.attributes == {
        "walker.destination": "shop",
        "walker.event.count": 2,
        "walker.event.names": ("order complete", "order refused"),
        "walker.event.ids": ("e1", "e2"),
        "walker.event.failed": 1,
    }


def test_span_of_a_failed_push_tells_the_kind_of_error_only(
    telemetry: Telemetry, registry: Registry, walker_recorder: Recorder
) -> None:
    walker_recorder.fail(Rejected(f"{EMAIL} is not known"))
    with collecting(registry, shop=walker_recorder.entry()) as collector:
        collector.push("order complete", user={"id": "u1", "email": EMAIL}, wait=True)
    (span,) = telemetry.spans.get_finished_spans()
    assert span.name == "push shop"
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "Rejected")
    assert span.attributes
    assert span.attributes["error.type"] == "Rejected"
    assert EMAIL not in span.to_json()


def test_spans_and_metrics_hold_no_data(
    telemetry: Telemetry, registry: Registry, walker_recorder: Recorder
) -> None:
    with collecting(registry, shop=walker_recorder.entry()) as collector:
        collector.push("order complete", user={"id": "u-1", "email": EMAIL}, data={"t": "secret"})
        collector.flush(20)
        metrics = telemetry.reader.get_metrics_data()
    assert metrics
    for text in (metrics.to_json(), *(s.to_json() for s in telemetry.spans.get_finished_spans())):
        for private in (EMAIL, "u-1", "secret"):
            assert private not in text


def test_what_the_destination_does_is_inside_the_span(
    telemetry: Telemetry, registry: Registry
) -> None:
    from opentelemetry import trace

    seen: list[int] = []

    class Looks(Batches):
        @hookimpl
        def push_batch(self, batch: Sequence[Item], context: Context) -> Mapping[int, Exception]:
            seen.append(trace.get_current_span().get_span_context().span_id)
            return {}

    registry.register("looks", Looks)
    with collecting(registry, shop={"package": "looks"}) as collector:
        collector.push("order complete", wait=True)
    (span,) = telemetry.spans.get_finished_spans()
    assert span.context
    assert seen == [span.context.span_id]


def test_extension_is_found_and_goes_to_the_global_providers(tmp_path: Path) -> None:
    code = """
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
        from walker_collector import Collector

        spans = InMemorySpanExporter()
        with Collector.from_config({"destinations": {"log": {"package": "console"}}}) as collector:
            trace.set_tracer_provider(provider := TracerProvider())
            provider.add_span_processor(SimpleSpanProcessor(spans))
            collector.push("order complete")
        print(*(span.name for span in spans.get_finished_spans()))
    """
    assert python(code, cwd=tmp_path).stdout.endswith("push_batch log\n")


WITHOUT_API = """
    import sys

    class Hidden:
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] == "opentelemetry":
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    sys.meta_path.insert(0, Hidden())
"""


def test_without_opentelemetry_the_extension_is_there_and_does_nothing(tmp_path: Path) -> None:
    code = """
        from walker_collector import Collector, Registry

        registry = Registry().discover()
        print([(info.name, info.error) for info in registry.installed() if info.name == "otel"])
        flow = {"destinations": {"log": {"package": "console"}}}
        with Collector.from_config(flow, registry=registry) as collector:
            print(collector.push("order complete", wait=True).destinations)
    """
    code = textwrap.dedent(WITHOUT_API) + textwrap.dedent(code)
    lines = python(code, cwd=tmp_path).stdout.splitlines()
    assert lines[0] == "[('otel', None)]"
    assert lines[-1] == "{'log': 'delivered'}"


def test_fault_of_its_own_is_not_taken_for_a_missing_package(tmp_path: Path) -> None:
    code = """
        import sys

        sys.modules["walker_collector.otel.status_metrics"] = None
        from walker_collector import Registry

        (otel,) = [info for info in Registry().discover().installed() if info.name == "otel"]
        print(otel.error)
    """
    assert "walker_collector.otel.status_metrics" in python(code, cwd=tmp_path).stdout
