"""OpenTelemetry for every destination: metrics and spans, never data.

An extension like any other, found through its entry point. It is active wherever
opentelemetry-api is installed (extra `otel`), and exports nothing until the application sets up an
SDK: it uses the global meter and tracer providers.

Metrics, each with the attribute `walker.destination`:

    walker.events.accepted, .delivered, .notified, .ignored, .empty, .retried, .died, .replayed,
        .requeued, .dropped, .erased, .dead_dropped                                counters
    walker.events.waiting, .held, .dead                                        current numbers
    walker.queue.age            age (s) of the oldest waiting event
    walker.batch.size           events per `push_batch`
    walker.delivery.duration    seconds of a `push` or `push_batch`; `error.type` if it raised

Spans `push ID` and `push_batch ID` have `walker.destination`, `walker.event.count`, `.failed`,
`.names` and `.ids` (the first 100).
"""


class NotInstalled:
    """Stands in for the extension if opentelemetry-api is not installed; has no hooks."""


def _make_extension() -> object:
    try:
        from walker_collector.otel.telemetry import OpenTelemetry
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "opentelemetry":
            raise
        return NotInstalled()
    return OpenTelemetry()


extension = _make_extension()
