"""Events that are read at once, and accepted later: those of coroutines."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final

from attrs import define

from walker_collector.errors import CollectorClosed, WalkerError
from walker_collector.events import (
    Bounds,
    UnreadEvent,
    decode,
    encode,
    event_of_json,
    is_command,
)
from walker_collector.intake.command_runs import CommandRuns
from walker_collector.intake.completing import Completion
from walker_collector.intake.deciding import Decisions, Prepared, Undecided
from walker_collector.intake.event_group import EventGroup
from walker_collector.intake.origin import ITSELF, Origin
from walker_collector.intake.reading import raw_event, readable
from walker_collector.results import PushResult, Waiter
from walker_collector.spool.repeats import mark_of_id

_CANCELLED: Final = CollectorClosed("its task was cancelled; the event was not accepted")


@define(eq=False)
class ReadEvent:
    """An event or command as it was pushed, independent of the application's objects.

    `body` is the JSON of an event; in its place there may be a command. `at` is the time (ms) of
    the push. `waiter` is told the destinations' answers. `cancelled`: nobody waits for it any more;
    it is left out. `prepared` is the decision on it, once that is made.
    """

    body: bytes = b""
    at: int = 0
    mark: bytes = b""
    waiter: Waiter | None = None
    command: Mapping[str, Any] | None = None
    cancelled: bool = False
    prepared: Prepared | None = None


class ReadEvents:
    """Reads events of the process itself, and accepts them later."""

    def __init__(
        self,
        completion: Completion,
        runs: CommandRuns,
        decisions: Decisions,
        bounds: Bounds,
        process: Origin,
        now: Callable[[], int],
    ) -> None:
        self._completion = completion
        self._runs = runs
        self._decisions = decisions
        self._bounds = bounds
        self._process = process
        self._now = now

    def read(self, event: Any, waiter: Waiter | None = None) -> ReadEvent:
        """Return an event to accept later, as it is now; raises EventError."""
        given = event_of_json(event, self._bounds) if type(event) is bytes else event
        raw = given if isinstance(given, UnreadEvent) else raw_event(given, {})
        if not isinstance(raw, UnreadEvent) and is_command(raw.get("name")):
            command = dict(raw)
            return ReadEvent(command=readable(lambda: decode(encode(command, self._bounds))))
        now = self._now()
        parts, body = self._completion.of(raw, ITSELF, now)
        mark = b""
        if self._process.recent and (raw.id if isinstance(raw, UnreadEvent) else raw.get("id")):
            mark = mark_of_id(parts["id"])
        return ReadEvent(body, now, mark, waiter)

    def accept_into(self, group: EventGroup, events: Iterable[ReadEvent]) -> None:
        """Accept events in their order, up to the first one without room.

        The results are those of the group.
        """
        for item in events:
            try:
                if item.cancelled:
                    group.results.append(_CANCELLED)
                elif item.command is None:
                    group.add(self._decided_once(item, group))
                else:
                    group.store()  # the events before it
                    if not group.is_full:
                        self._runs.run_here(item.command, waits=False)
                        group.results.append(PushResult(""))
            except WalkerError as error:
                group.refuse(error)
            if group.is_full:
                break
        group.store()

    def _decided_once(self, item: ReadEvent, group: EventGroup) -> Prepared | Undecided:
        """Return an event ready to be stored, with its waiter; the same if it is tried again."""
        if item.prepared is not None:
            return item.prepared
        event = decode(item.body)
        found = self._decisions.decide(
            event, item.body, ITSELF, item.mark, item.at, open_keys=group.open_keys
        )
        if isinstance(found, Undecided):
            found.on_decided = partial(_note_decision, item)
        else:
            _note_decision(item, found)
        return found


def listen(waiter: Waiter | None, prepared: Prepared) -> None:
    """Have a waiter gather the destinations' answers to an event."""
    record = prepared[0]
    if waiter is not None and record.states:
        waiter.expected = len(record.states)
        record.listener = waiter


def _note_decision(item: ReadEvent, prepared: Prepared) -> None:
    """Keep the decision on an event that was read, with its waiter."""
    item.prepared = prepared
    listen(item.waiter, prepared)
