"""OpenTelemetry for every destination: metrics and spans, never data.

An extension like any other, found through its entry point. It is at work wherever
opentelemetry-api is installed (extra `otel`), and silent until the application sets up an SDK:
it goes to the global meter and tracer providers.

Metrics, each with the attribute `walker.destination`:

    walker.events.accepted, .delivered, .ignored, .empty, .retried, .died, .replayed, .requeued,
        .dropped, .dead_dropped                                           counters
    walker.events.waiting, .held, .dead                                        what there is now
    walker.queue.age            age (s) of the oldest event that waits
    walker.batch.size           events given to one `push_batch`
    walker.delivery.duration    of `push` or `push_batch` (s); `error.type` where it raised

Spans `push ID` and `push_batch ID` have `walker.destination`, `walker.event.count`, `.failed`,
`.names` and `.ids` (the first 100).
"""


class NotInstalled:
    """Takes the extension's place where opentelemetry-api is not installed: it has no hooks."""


def _make_extension() -> object:
    try:
        from walker_collector.otel.telemetry import OpenTelemetry
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "opentelemetry":
            raise
        return NotInstalled()
    return OpenTelemetry()


extension = _make_extension()
