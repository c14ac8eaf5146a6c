"""The path of every event from a call to the sink: complete, identify, gate, store."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from attrs import define, field

from walker_collector.errors import EventError, WalkerError
from walker_collector.events import (
    COMMANDS,
    KNOWN_KEYS,
    Bounds,
    Defaults,
    UnreadEvent,
    event_of_json,
    is_command,
)
from walker_collector.hookspecs import Received
from walker_collector.intake.command_runs import CommandRuns
from walker_collector.intake.commands import Commands
from walker_collector.intake.completing import Completion
from walker_collector.intake.deciding import Decisions
from walker_collector.intake.event_group import EventGroup
from walker_collector.intake.origin import ITSELF, PROCESS, Origin, Placed, Posted
from walker_collector.intake.passing import Passing, decided_now
from walker_collector.intake.preparing import Prepare, Preparing
from walker_collector.intake.read_events import ReadEvent, ReadEvents, listen
from walker_collector.intake.reading import raw_event, until_it_raises
from walker_collector.intake.sink import Sink
from walker_collector.intake.storing import Storing
from walker_collector.offsets import Position
from walker_collector.people.consent import ConsentStore, Stated
from walker_collector.results import PushResult, Waiter


@define(eq=False)
class Intake:
    """Accepts events: the only path from an application, a file or a source to the sink.

    `defaults` complete events. `began` (ms) is the start that their `timing` counts from; None in
    a simulation, where it is always 0. `process` is the origin of the process's own events.
    """

    _defaults: Defaults
    bounds: Bounds
    _consents: ConsentStore
    _sink: Sink
    _now: Callable[[], int]
    _began: int | None = None
    process: Origin = PROCESS
    commands: Commands = field(init=False)
    _runs: CommandRuns = field(init=False)
    _preparing: Preparing = field(init=False)
    _prepare_own: Prepare = field(init=False)
    _storing: Storing = field(init=False)
    _passing: Passing = field(init=False)
    _read_events: ReadEvents = field(init=False)

    def __attrs_post_init__(self) -> None:
        consents, sink, now = self._consents, self._sink, self._now
        self.commands = Commands(self._defaults, self.bounds, consents, sink, now)
        self._runs = CommandRuns(self.commands, sink, now)
        completion = Completion(self._defaults, self.bounds, self._began)
        decisions = Decisions(consents, sink, self.commands)
        self._preparing = Preparing(completion, consents, decisions, now)
        self._prepare_own = self._preparing.of(self.process)
        self._storing = Storing(consents, sink, decisions)
        new_id = self._defaults.new_id
        self._passing = Passing(consents, sink, now, decisions.gates.ids, new_id)
        self._read_events = ReadEvents(
            completion, self._runs, decisions, self.bounds, self.process, now
        )

    @property
    def accepted(self) -> int:
        """The number of events accepted."""
        return self._storing.accepted

    @property
    def corrected(self) -> int:
        """The number of events that got the time of their receipt."""
        return self._preparing.corrected

    @property
    def repeated(self) -> int:
        """The number of events and commands that were accepted before, under the same id."""
        return self._storing.repeated + self._runs.repeated

    def accept(self, raw: Mapping[str, Any], *, wait: bool) -> tuple[PushResult, Waiter | None]:
        """Accept an event, or run a command.

        `wait` asks for a waiter, which gathers the destinations' answers.
        """
        name = raw.get("name")
        if name in COMMANDS if type(name) is str else is_command(name):
            self._runs.run_here(raw)
            return PushResult(""), None
        item, is_stored = self._prepare_own(raw, ITSELF), False
        waiter = Waiter(0) if wait else None
        if isinstance(item, tuple):
            listen(waiter, item)
        else:
            item.on_decided = partial(listen, waiter)
            item, is_stored = self._storing.store_one(item)
        record, result, version = item
        if not is_stored:
            self._storing.store([record], version)
        return result, waiter if record.states else None

    def accept_many(
        self,
        events: Iterable[Any],
        check_open: Callable[[], object],
        origin: Origin | None = None,
    ) -> list[PushResult | WalkerError]:
        """Accept events and run commands, in groups; an event that is refused stops no others.

        Each is a mapping, `Received` or `Placed`. `origin` is their source; None: the process
        itself. Returns for each its result, or the error that `accept` would have raised. After an
        event that could not be stored, none with a position is: its input would have a gap.
        """
        origin = origin or self.process
        group = EventGroup(
            self._storing,
            self._sink.keep_unstored,
            self._sink.keep_positions,
            as_of=origin.as_of,
        )
        prepare, add = self._preparing.of(origin, group), group.add
        plain, bounds = origin.steps is None, self.bounds
        for event in until_it_raises("push_many", events):
            kind, position = type(event), None
            if kind is Received or kind is Placed:
                position = event.position
            if position is not None and group.failure is not None:
                group.refuse(group.failure)
                continue
            try:
                check_open()
                if kind is bytes:
                    event = event_of_json(event, bounds)
                    kind = type(event)
                # Most events are one of these three.
                if kind is dict and plain and _is_named(event):
                    add(prepare(event, ITSELF))
                elif kind is Received and plain and type(event.event) is UnreadEvent:
                    add(prepare(event.event, event), position)
                elif kind is UnreadEvent and plain:
                    add(prepare(event, ITSELF))
                elif kind is Posted:
                    self._take_posted(group, event, origin, prepare)
                else:
                    given = event.event if kind is Placed else event
                    self._take(group, given, origin, position, prepare)
            except WalkerError as error:
                group.refuse(error)
                if position is not None:
                    _pass_over(group, event, error, position)
        group.store()
        return group.results

    def read(self, event: Any, waiter: Waiter | None = None) -> ReadEvent:
        """Return an event to accept later, as it is now; raises EventError."""
        return self._read_events.read(event, waiter)

    def accept_read(self, events: Iterable[ReadEvent]) -> list[PushResult | WalkerError]:
        """Accept events that were read, in their order, up to the first one without room.

        Waits for no room. Returns the results up to there, and perhaps SpoolFull for some after it.
        """
        group = EventGroup(self._storing, self._sink.keep_unstored, waits=False)
        self._read_events.accept_into(group, events)
        return group.results

    def _take(
        self,
        group: EventGroup,
        event: Any,
        origin: Origin,
        position: Position | None,
        prepare: Prepare,
    ) -> None:
        """Add an event to a group, or run a command after the events before it."""
        if event is None and position is not None:
            group.results.append(PushResult(""))
            group.pass_over(position)
            return
        sender = event if type(event) is Received else ITSELF
        given = sender.event if sender is event else event
        if type(given) is bytes:
            given = event_of_json(given, self.bounds)
        if type(given) is UnreadEvent:
            if origin.steps is None:
                group.add(prepare(given, sender), position)
                return
            given = given.whole()
        raw = raw_event(given, {})
        if sender is event and not KNOWN_KEYS.issuperset(raw):
            # The log is not for the words of strangers.
            raw = {key: raw[key] for key in raw if key in KNOWN_KEYS}
        if is_command(raw.get("name")):
            self._run_command(group, raw, sender, origin, position)
            return
        if origin.steps is not None:
            passed = self._passing.past(origin.steps, raw, group, sender, origin)
            if passed is None:
                if position is not None:
                    group.pass_over(position)
                return
            raw = passed
        group.add(prepare(raw, sender), position)

    def _run_command(
        self,
        group: EventGroup,
        raw: Mapping[str, Any],
        sender: Received,
        origin: Origin,
        position: Position | None,
    ) -> None:
        group.store()  # the events before it
        if position is not None and group.failure is not None:
            group.refuse(group.failure)
            return
        stated = None if sender.stated_at is None else Stated(sender.stated_at, None)
        waits = group.waits()
        kept = self._runs.run_once(raw, origin, sender, position, waits=waits, stated=stated)
        if self.commands.is_relayed(raw):
            group.results.append(self.commands.to_relay)
        else:
            group.results.append(decided_now(sender, PushResult("")))
        if position is not None and not kept:
            group.pass_over(position)

    def _take_posted(
        self, group: EventGroup, posted: Posted, origin: Origin, prepare: Prepare
    ) -> None:
        """Add an event of the outbox, or run a command; raises Overtaken after an erasure."""
        self._consents.refresh()
        as_of = origin.as_of or 0
        self._consents.check_not_overtaken(as_of)
        if is_command(posted.event.get("name")):
            group.store()
            stated = Stated(posted.at, as_of)
            self._runs.run_once(dict(posted.event), origin, waits=group.waits(), stated=stated)
            group.results.append(PushResult(""))
            return
        group.add(prepare(raw_event(posted.event, {}), ITSELF))


def _is_named(event: Mapping[str, Any]) -> bool:
    """Return whether this surely is an event, and no command."""
    name = event.get("name")
    return type(name) is str and name not in COMMANDS


def _pass_over(
    group: EventGroup, event: Received | Placed, error: WalkerError, position: Position
) -> None:
    """Pass over an event that is refused; one that may be tried again stops its input."""
    if not isinstance(error, EventError):
        group.failure = error
        return
    if isinstance(event, Received) and event.refused is not None:
        event.refused(error)
    group.pass_over(position)
