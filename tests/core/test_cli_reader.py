"""Reading keeps pace with delivery."""

import io
import threading
from collections.abc import Sequence

import orjson

from walker_collector import Collector, Context, Item, Registry, hookimpl
from walker_collector.cli.progress_line import BytesRead
from walker_collector.cli.reader import EventReader
from walker_collector.cli.signals import StopSignal
from walker_collector.sources.file.line_reader import GROUP, READ_AHEAD


class Gated:
    """Takes nothing before the gate is open."""

    gate = threading.Event()
    begun = threading.Event()

    @hookimpl
    def push_batch(self, batch: Sequence[Item], context: Context) -> None:
        self.begun.set()
        assert self.gate.wait(30)


def test_reading_pauses_where_no_destination_can_keep_up_and_goes_on_with_them() -> None:
    registry = Registry()
    registry.register("gated", Gated)
    count = READ_AHEAD + 10 * GROUP
    lines = b"".join(orjson.dumps({"name": "page view"}) + b"\n" for _ in range(count))
    accepted: list[int] = []
    with Collector.from_config(
        {"destinations": {"gated": {"package": "gated"}}}, registry=registry
    ) as it:
        it.push("page view")
        assert Gated.begun.wait(30)

        def pause(seconds: float) -> None:
            accepted.append(reader.lines.accepted)
            Gated.gate.set()

        reader = EventReader(it, StopSignal(), pause)
        reader.run(io.BytesIO(lines), BytesRead())
        assert it.flush(30)
    assert accepted[0] == READ_AHEAD
    assert reader.lines.accepted == count
