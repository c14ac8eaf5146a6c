"""Runs of commands that come among events: each once, whoever sends it again."""

from collections.abc import Callable, Mapping
from typing import Any

from attrs import evolve

from walker_collector.delivery.preparation import CONSENT_CHANGED
from walker_collector.hookspecs import Received
from walker_collector.intake.commands import Arrival, Commands
from walker_collector.intake.origin import ITSELF, Origin
from walker_collector.intake.sink import Sink
from walker_collector.offsets import Position
from walker_collector.people.consent import Stated
from walker_collector.spool.repeats import mark_of_id


class CommandRuns:
    """Runs commands, but for those that came before under the same id.

    `repeated` counts these.
    """

    def __init__(self, commands: Commands, sink: Sink, now: Callable[[], int]) -> None:
        self._commands = commands
        self._sink = sink
        self._now = now
        self.repeated = 0

    def run_here(self, raw: Mapping[str, Any], *, waits: bool = True) -> None:
        """Run a command of the process itself."""
        given = raw.get("id")
        self._commands.run(raw, Arrival(given if type(given) is str else "", waits=waits))

    def run_once(
        self,
        raw: Mapping[str, Any],
        origin: Origin,
        sender: Received = ITSELF,
        position: Position | None = None,
        *,
        waits: bool,
        stated: Stated | None = None,
    ) -> bool:
        """Run a command, unless it came before: something else may have been said since.

        Returns whether the position is stored with it.
        """
        id_, now, mark = raw.get("id"), self._now(), b""
        if origin.recent and id_ and isinstance(id_, str):
            mark = mark_of_id(id_, trusted=sender.trusted, command=True)
        arrival = Arrival(
            id_ if isinstance(id_, str) else "",
            not sender.trusted,
            sender.limited,
            position,
            waits,
            stated,
            sender.decided,
        )
        if mark and self._sink.came_before([mark], now):
            self.repeated += 1
            if self._commands.is_relayed(raw):
                self._commands.relay(raw, evolve(arrival, position=None))
            return False
        self._commands.run(raw, arrival)
        if mark:
            self._sink.keep_mark(mark, now)
        return bool(raw["name"] == CONSENT_CHANGED)
