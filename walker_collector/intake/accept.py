"""The path of every event from a call to the sink: complete, encode, identify, gate, store."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final

from attrs import define, evolve, field

from walker_collector.delivery.preparation import CONSENT_CHANGED
from walker_collector.errors import CollectorClosed, EventError, WalkerError
from walker_collector.events import (
    COMMANDS,
    CONSENT_AT,
    KEYS,
    UNTRUSTED,
    Bounds,
    Defaults,
    ImpossibleTime,
    UnreadEvent,
    at_receipt,
    complete,
    complete_plain,
    complete_unread,
    decode,
    encode,
    event_of_json,
    is_command,
    may_be_misnamed,
    whole,
)
from walker_collector.hookspecs import Received
from walker_collector.intake.commands import Arrival, Commands
from walker_collector.intake.deciding import Decisions, Prepared, Undecided
from walker_collector.intake.event_group import EventGroup, ReadEvent
from walker_collector.intake.origin import PROCESS, Origin, Placed, Posted
from walker_collector.intake.reading import blamed, raw_event, readable, until_it_raises
from walker_collector.intake.sink import Sink
from walker_collector.intake.steps import Dropped
from walker_collector.intake.storing import Storing
from walker_collector.offsets import Position
from walker_collector.people.consent import ConsentStore, Stated
from walker_collector.results import PushResult, Waiter, decide
from walker_collector.spool.repeats import Unstored, mark_of_id
from walker_collector.text import get_logger, storable

_KEYS: Final = frozenset(KEYS)
_CANCELLED: Final = CollectorClosed("its task was cancelled; the event was not accepted")
_PROCESS: Final = Received({})
"""Stands for the process itself, as a sender."""

logger = get_logger("walker_collector")


@define(eq=False)
class Intake:
    """Accepts events: the only path from an application, a file or a source to the sink.

    `defaults` complete events. `began` (ms) is the start that their `timing` counts from; None in
    a simulation, where it is always 0. `process` is the origin of the process's own events.

    `corrected` counts events that got the time of their receipt.
    """

    _defaults: Defaults
    bounds: Bounds
    _consents: ConsentStore
    _sink: Sink
    _now: Callable[[], int]
    _began: int | None = None
    process: Origin = PROCESS
    corrected: int = field(default=0, init=False)
    commands: Commands = field(init=False)
    _decisions: Decisions = field(init=False)
    _storing: Storing = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.commands = Commands(self._defaults, self.bounds, self._consents, self._sink, self._now)
        self._decisions = Decisions(self._consents, self._sink, self.commands)
        self._storing = Storing(self._consents, self._sink, self._decisions)

    @property
    def accepted(self) -> int:
        """The number of events accepted."""
        return self._storing.accepted

    @property
    def repeated(self) -> int:
        """The number of events and commands that were accepted before, under the same id."""
        return self._storing.repeated

    def accept(self, raw: Mapping[str, Any], *, wait: bool) -> tuple[PushResult, Waiter | None]:
        """Accept an event, or run a command.

        `wait` asks for a waiter, which gathers the destinations' answers.
        """
        name = raw.get("name")
        if name in COMMANDS if type(name) is str else is_command(name):
            self._run_here(raw)
            return PushResult(""), None
        item, is_stored = self._prepare(raw, _PROCESS, self.process), False
        waiter = Waiter(0) if wait else None
        if isinstance(item, Undecided):
            item.on_decided = partial(_listen, waiter)
            item, is_stored = self._storing.store_one(item)
        else:
            _listen(waiter, item)
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
        for event in until_it_raises("push_many", events):
            kind = type(event)
            position = event.position if kind is Received or kind is Placed else None
            if position is not None and group.failure is not None:
                group.refuse(group.failure)
                continue
            try:
                check_open()
                if kind is Posted:
                    self._take_posted(group, event, origin)
                else:
                    self._take(group, event.event if kind is Placed else event, origin, position)
            except WalkerError as error:
                group.refuse(error)
                if position is not None:
                    _pass_over(group, event, error, position)
        group.store()
        return group.results

    def _take(
        self, group: EventGroup, event: Any, origin: Origin, position: Position | None
    ) -> None:
        """Add an event to a group, or run a command after the events before it."""
        if type(event) is dict and origin.steps is None:  # a shorter way for most events
            name = event.get("name")
            if type(name) is str and name not in COMMANDS:
                group.add(self._prepare(event, _PROCESS, origin, group), position)
                return
        if event is None and position is not None:
            group.results.append(PushResult(""))
            group.pass_over(position)
            return
        sender = event if type(event) is Received else _PROCESS
        given = sender.event if sender is event else event
        if type(given) is bytes:
            given = event_of_json(given, self.bounds)
        if type(given) is UnreadEvent:
            if origin.steps is None:
                group.add(self._prepare(given, sender, origin, group), position)
                return
            given = given.whole()
        raw = raw_event(given, {})
        if sender is event and not _KEYS.issuperset(raw):
            # The log is not for the words of strangers.
            raw = {key: raw[key] for key in raw if key in _KEYS}
        if is_command(raw.get("name")):
            group.store()  # the events before it
            if position is not None and group.failure is not None:
                group.refuse(group.failure)
                return
            stated = None if sender.stated_at is None else Stated(sender.stated_at, None)
            waits = group.waits()
            kept = self._run_once(raw, sender, origin, position, waits=waits, stated=stated)
            if self.commands.is_relayed(raw):
                group.results.append(self.commands.to_relay)
            else:
                group.results.append(_decided(sender, PushResult("")))
            if position is not None and not kept:
                group.pass_over(position)
            return
        if origin.steps is not None:
            passed = origin.steps(raw, self._consent_of(sender, group))
            if isinstance(passed, str):
                self._leave_out(group, raw, passed, sender, origin)
                if position is not None:
                    group.pass_over(position)
                return
            raw = passed
        group.add(self._prepare(raw, sender, origin, group), position)

    def _take_posted(self, group: EventGroup, posted: Posted, origin: Origin) -> None:
        """Add an event of the outbox, or run a command; raises Overtaken after an erasure."""
        self._consents.refresh()
        as_of = origin.as_of or 0
        self._consents.check_not_overtaken(as_of)
        if is_command(posted.event.get("name")):
            group.store()
            stated = Stated(posted.at, as_of)
            waits = group.waits()
            self._run_once(dict(posted.event), _PROCESS, origin, waits=waits, stated=stated)
            group.results.append(PushResult(""))
            return
        group.add(self._prepare(raw_event(posted.event, {}), _PROCESS, origin, group))

    def _leave_out(
        self,
        group: EventGroup,
        raw: Mapping[str, Any],
        status: Dropped,
        sender: Received,
        origin: Origin,
    ) -> None:
        """Answer an event that the steps of its source leave out; remember its own id."""
        given = raw.get("id")
        id_ = given if isinstance(given, str) and given else self._defaults.new_id()
        statuses = dict.fromkeys(self._decisions.ids, status)
        self._sink.count_unstored({"id": id_, "name": storable(raw.get("name"), 80)}, statuses)
        group.results.append(_decided(sender, PushResult(id_, statuses)))
        if origin.recent and given == id_:
            mark = mark_of_id(id_, trusted=sender.trusted)
            group.unstored.append(Unstored(mark, self._now(), statuses))

    def read(self, event: Any, waiter: Waiter | None = None) -> ReadEvent:
        """Return an event to accept later, as it is now; raises EventError."""
        given = event_of_json(event, self.bounds) if type(event) is bytes else event
        raw = given if isinstance(given, UnreadEvent) else raw_event(given, {})
        if not isinstance(raw, UnreadEvent) and is_command(raw.get("name")):
            command = dict(raw)
            return ReadEvent(command=readable(lambda: decode(encode(command, self.bounds))))
        now = self._now()
        event, body = self._completed(raw, _PROCESS, now)
        mark = b""
        if self.process.recent and _id_of(raw):
            mark = mark_of_id(event["id"])
        return ReadEvent(body, now, mark, waiter)

    def accept_read(self, events: Iterable[ReadEvent]) -> list[PushResult | WalkerError]:
        """Accept events that were read, in their order, up to the first one without room.

        Waits for no room. Returns the results up to there, and perhaps SpoolFull for some after it.
        """
        group = EventGroup(self._storing, self._sink.keep_unstored, waits=False)
        for item in events:
            try:
                if item.cancelled:
                    group.results.append(_CANCELLED)
                elif item.command is None:
                    group.add(self._decided_once(item, group))
                else:
                    group.store()  # the events before it
                    if not group.is_full:
                        self._run_here(item.command, waits=False)
                        group.results.append(PushResult(""))
            except WalkerError as error:
                group.refuse(error)
            if group.is_full:
                break
        group.store()
        return group.results

    def _decided_once(self, item: ReadEvent, group: EventGroup) -> Prepared | Undecided:
        """Return an event ready to be stored, with its waiter; the same if it is tried again."""
        if item.prepared is not None:
            return item.prepared
        event = decode(item.body)
        found = self._decisions.decide(
            event, item.body, _PROCESS, item.mark, item.at, is_next=group.is_decided
        )
        if isinstance(found, Undecided):
            found.on_decided = partial(_note_decision, item)
        else:
            _note_decision(item, found)
        return found

    def _run_here(self, raw: Mapping[str, Any], *, waits: bool = True) -> None:
        """Run a command of the process itself."""
        given = raw.get("id")
        self.commands.run(raw, Arrival(given if type(given) is str else "", waits=waits))

    def _run_once(
        self,
        raw: Mapping[str, Any],
        sender: Received,
        origin: Origin,
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
            self._storing.repeated += 1
            if self.commands.is_relayed(raw):
                self.commands.relay(raw, evolve(arrival, position=None))
            return False
        self.commands.run(raw, arrival)
        if mark:
            self._sink.keep_mark(mark, now)
        return bool(raw["name"] == CONSENT_CHANGED)

    def _consent_of(
        self, sender: Received, group: EventGroup
    ) -> Callable[[Mapping[str, Any]], Mapping[str, Any]]:
        """Return the function that tells the consent of an event that is not completed yet."""

        def consent_of(event: Mapping[str, Any]) -> Mapping[str, Any]:
            user, own = event.get("user"), event.get("consent")
            if type(own) is not dict:
                own = None
            elif sender.learn:  # everything that its person grants
                return own
            if not group.is_decided:
                group.store()  # the events before it may tell whose it is
            claim = not sender.trusted
            person = self._consents.person_of(user, claim=claim) if type(user) is dict else ""
            return self._consents.decide(own, person)

        return consent_of

    def _prepare(
        self,
        raw: Mapping[str, Any] | UnreadEvent,
        sender: Received,
        origin: Origin,
        group: EventGroup | None = None,
    ) -> Prepared | Undecided:
        """Return an event ready to be stored, after those of a group; see `Decisions`."""
        now = self._now()
        try:
            event, body = self._completed(raw, sender, now)
        except ImpossibleTime:
            if not origin.corrects_times:
                raise
            # Nothing lasting follows from a consent at an unknown time.
            sender = evolve(sender, learn=False)
            prepared = self._prepare(at_receipt(whole(raw), now), sender, origin, group)
            self.corrected += 1
            return prepared
        mark, is_next = b"", group is None or group.is_decided
        has_id = _id_of(raw)
        if origin.recent and has_id:
            mark = mark_of_id(event["id"], trusted=sender.trusted)
        if not is_next and group is not None and CONSENT_AT in event:
            group.store()  # the events before it: it may learn of their people
            is_next = True
        return self._decisions.decide(
            event, body, sender, mark, now, bool(has_id), origin.as_of, is_next=is_next
        )

    def _completed(
        self, raw: Mapping[str, Any] | UnreadEvent, sender: Received, now: int
    ) -> tuple[Mapping[str, Any], bytes]:
        """Return the parts of a complete event that decide on it, with its JSON.

        Raises EventError.
        """
        timing = 0.0 if self._began is None else (now - self._began) // 10 / 100
        done = None
        if type(raw) is UnreadEvent:
            stated_by = _latest(sender, now) if sender.learn else None
            marks = (sender.limited, stated_by)
            done = complete_unread(raw, now, timing, self._defaults, self.bounds, *marks)
        elif type(raw) is dict and not (sender.limited or sender.learn):
            try:
                done = complete_plain(raw, now, timing, self._defaults, self.bounds)
            except Exception as error:
                raise blamed(error, lambda: self._read_again(raw, now)) from None
        if done is None:
            return self._built(whole(raw), sender, now, timing)
        self._look_at_user(done[0]["user"], sender)
        return done

    def _built(
        self, raw: Mapping[str, Any], sender: Received, now: int, timing: float
    ) -> tuple[Mapping[str, Any], bytes]:
        """Return a complete event with its JSON; raises EventError."""
        try:
            event = complete(raw, now, timing, self._defaults)
            _mark(event, sender, now)
            self._look_at_user(event["user"], sender)
            return event, encode(event, self.bounds, raw)
        except Exception as error:
            raise blamed(error, lambda: self._read_again(raw, now)) from None

    def _look_at_user(self, user: Mapping[Any, Any], sender: Received) -> None:
        """Warn the application of keys of a user that are probably misspelt."""
        if sender is _PROCESS and may_be_misnamed(tuple(user)):
            self._defaults.on_misnamed(user)

    def _read_again(self, raw: Mapping[str, Any], now: int) -> object:
        return encode(complete(raw, now, 0.0, self._defaults), self.bounds)


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


def _decided(sender: Received, result: PushResult) -> PushResult:
    """Tell a sender that waits that nothing more becomes of an event; return the result."""
    if sender.decided is not None:
        decide(sender.decided, result)
    return result


def _id_of(raw: Mapping[str, Any] | UnreadEvent) -> Any:
    return raw.id if isinstance(raw, UnreadEvent) else raw.get("id")


def _listen(waiter: Waiter | None, prepared: Prepared) -> None:
    """Have a waiter gather the destinations' answers to an event."""
    record = prepared[0]
    if waiter is not None and record.states:
        waiter.expected = len(record.states)
        record.listener = waiter


def _note_decision(item: ReadEvent, prepared: Prepared) -> None:
    """Keep the decision on an event that was read, with its waiter."""
    item.prepared = prepared
    _listen(item.waiter, prepared)


def _mark(event: dict[str, Any], sender: Received, now: int) -> None:
    """Mark an event: its sender is not trusted, or its consent is everything granted."""
    if sender.limited:
        event[UNTRUSTED] = True
    if sender.learn and type(event.get("consent")) is dict:
        event[CONSENT_AT] = min(event["timestamp"] * 1_000, _latest(sender, now))


def _latest(sender: Received, now: int) -> int:
    """Return the latest stamp that the consent of an event may have."""
    return now * 1_000 if sender.stated_at is None else min(sender.stated_at, now * 1_000)
