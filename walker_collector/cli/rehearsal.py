"""Lines of events through a simulation, each with its number."""

import logging
from collections.abc import Iterator
from pathlib import Path

from attrs import Factory, field, frozen

from walker_collector.cli.clock import now_ms
from walker_collector.cli.lines import name_of, open_events, parse, read_lines
from walker_collector.errors import EventError
from walker_collector.flowfile import load_flow
from walker_collector.simulation import Call, Simulated, Simulation, Status

logger = logging.getLogger("walker_collector")


@frozen
class BadLine:
    """A line that holds no event; its other fields are those of a result."""

    event: str | None
    error: str
    destination: None = field(default=None, init=False)
    status: Status = field(default="invalid", init=False)
    rule: None = field(default=None, init=False)
    calls: list[Call] = field(default=Factory(list), init=False)
    warnings: tuple[str, ...] = field(default=(), init=False)


class Rehearsal:
    """Runs lines through a flow; `ok` once no line was bad and no event invalid.

    Raises ConfigError for a flow that cannot be loaded.
    """

    def __init__(self, flow: Path, name: str | None) -> None:
        config = load_flow(flow, flow=name, credentials=False)
        for warning in config.warnings:
            logger.warning("%s: %s", config.source, warning)
        self._count = 0
        self._simulation = Simulation(config, now=now_ms, new_id=self._new_id)
        self.ok = True

    def _new_id(self) -> str:
        self._count += 1
        return f"simulated-{self._count}"

    def run(self, events: str) -> Iterator[tuple[int, Simulated | BadLine]]:
        """Yield each result with the number of the line that brought it about."""
        with open_events(events) as stream:
            for lines in read_lines(stream):
                for number, text in lines.numbered():
                    for result in self._results(text):
                        self.ok = self.ok and result.status != "invalid"
                        yield number, result

    def _results(self, text: bytes) -> list[Simulated] | list[BadLine]:
        event = None
        try:
            event = parse(text)
            return self._simulation.push(event)
        except EventError as error:
            return [BadLine(name_of(event), str(error))]
