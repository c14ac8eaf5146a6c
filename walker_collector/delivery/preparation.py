"""Prepare an entry for its call: decode it, check consent, map it."""

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

import msgspec

from walker_collector.config import MISSING, Consent, PartState
from walker_collector.delivery.destination import Destination
from walker_collector.delivery.hook_calls import HookCalls
from walker_collector.delivery.outcome import IGNORED, Outcome
from walker_collector.delivery.task import BatchInProgress, Task
from walker_collector.events import CONSENT_AT, UNTRUSTED, decode
from walker_collector.hookspecs import Event, Item, Progress, PushContext, Received
from walker_collector.mapping import UNMATCHED
from walker_collector.people.basis import Basis
from walker_collector.people.consent import ConsentSnapshot
from walker_collector.spool import FRESH, DeliveryState, Entry
from walker_collector.spool.person_keys import is_claimed

if TYPE_CHECKING:
    from walker_collector.mapping.structures import Decode

CONSENT_CHANGED: Final = "walker consent"
"""The event name of a change of consent in the queues of destinations that listen to it."""
_MISFIT: Final = (msgspec.MsgspecError, ValueError)
_UNMATCHED_MAX: Final = 50
"""Names of events without a rule that are logged, once each."""
_REFUSED: Final = Outcome("rejected", UNMATCHED, found_by_plugin=True)


def context_for(
    destination: Destination,
    basis: Basis,
    event: Event,
    attempt: DeliveryState = FRESH,
    progress: Progress | None = None,
    proceed: Callable[[], bool] | None = None,
    person: str = "",
    key: str = "",
) -> PushContext:
    """Return the context for one event, with the consent that counts for it.

    `basis` is the consent of the person; the event's own consent overrides it. The result replaces
    the event's `consent`, as walkerOS does, except where it is relayed. The marks of a stored event
    are taken off. `person` is the key for its order, `key` that under which it is stored.
    """
    own, since = event.get("consent"), event.pop(CONSENT_AT, None)
    # Most events have no consent of their own.
    state = dict(basis.of_event(own, since) if own or since else basis.granted)
    trusted = not event.pop(UNTRUSTED, False)
    received = None
    if destination.relays:
        received = _received(event, key, limited=not trusted, stated_at=since)
    else:
        event["consent"] = state
    return PushContext(
        destination.context,
        event,
        state,
        attempt.count + 1,
        progress,
        proceed,
        person,
        trusted,
        received,
    )


def _received(event: Event, key: str, *, limited: bool, stated_at: int | None) -> Received:
    """Return a stored event or command as it was received.

    Of one that names nobody it is not known whether its sender was trusted, and it matters little.
    But a command without a user comes from a trusted sender alone.
    """
    is_command = event["name"] == CONSENT_CHANGED
    trusted = not is_claimed(key) if key else is_command
    learn = stated_at is not None and not is_command
    return Received(event, trusted, limited, learn, stated_at=stated_at)


class ProgressOfEntry(Progress, Protocol):
    """The progress of an entry; when called, it says whether the entry may still be sent."""

    def __call__(self) -> bool: ...


ProgressOf = Callable[
    [Entry, Mapping[str, PartState], Mapping[str, str], BatchInProgress, int], ProgressOfEntry
]
"""Returns the progress of an entry, given its parts so far, its batch and the index there."""


class Preparation:
    """Makes items for the hooks of one destination.

    `attempts` has the delivery states of entries that were tried before, by their numbers.
    """

    def __init__(
        self,
        destination: Destination,
        attempts: Mapping[int, DeliveryState],
        progress_of: ProgressOf,
        calls: HookCalls,
    ) -> None:
        config = destination.config
        self._destination = destination
        self._attempts = attempts
        self._progress_of = progress_of
        self._calls = calls
        self._warns_unmatched = bool(config.mapping) and config.data is None
        self._unmatched: set[str] = set()
        self._admitted: Basis | None = None
        """The last basis that the destination's consent admits events under."""
        self._partial = destination.partial
        self._learning = threading.Lock()
        self._map = self._map_whole if self._partial is None else self._map_partially

    def prepare(self, task: Task, snapshot: ConsentSnapshot) -> None:
        """Give the task an item to send, or an outcome that needs no call; never raises."""
        for _ in self.prepare_each((task,), snapshot):
            pass

    def prepare_each(self, tasks: Iterable[Task], snapshot: ConsentSnapshot) -> Iterator[Task]:
        """Prepare tasks, each when it is asked for; never raises."""
        make = self._map
        for task in tasks:
            try:
                made = make(task, snapshot)
            except BaseException as error:  # from a function of the plugin or the user
                made = self._calls.bug(error, "mapping", task)
            if isinstance(made, Item):
                task.item = made
            else:
                task.item, task.outcome = None, made
            yield task

    def admits(self, task: Task, snapshot: ConsentSnapshot) -> bool:
        """Return whether an entry may still be sent under this consent; never raises."""
        try:
            return isinstance(self._map(task, snapshot), Item)
        except BaseException:  # from a function in the mapping: the next attempt tells of it
            return False

    def _map_whole(
        self, task: Task, snapshot: ConsentSnapshot, event: Event | None = None
    ) -> Item | Outcome:
        """Map an event that is decoded as a whole, as it may be already."""
        entry, destination = task.entry, self._destination
        event = decode(entry[3]) if event is None else event
        attempt = self._attempts.get(entry[0], FRESH)
        parts, refusals = attempt.parts, attempt.refusals
        progress = self._progress_of(entry, parts, refusals, task.batch, task.at)
        basis = snapshot.bases[entry[1]]
        context = context_for(
            destination, basis, event, attempt, progress, progress, task.person, entry[1]
        )
        if event["name"] == CONSENT_CHANGED:
            task.notice = not destination.relays
            return Item(event, MISSING, None, context)
        if destination.requires_consent and not destination.admits(context.consent):
            return self._denied(context.consent)
        if destination.hooks.transform is not None:
            try:
                destination.hooks.transform(event=event, context=context)
            except BaseException as error:  # from an extension
                return self._calls.outcome_of(error, task, "transform")
        mapped = destination.mapper(event, context)
        if mapped.outcome != "deliver":
            return self._not_mapped(mapped.outcome, context.consent)
        if mapped.rule is None and self._warns_unmatched:
            self._warn_unmatched(event["name"])
        context.event = mapped.event
        return Item(mapped.event, mapped.data, mapped.rule, context)

    def _map_partially(self, task: Task, snapshot: ConsentSnapshot) -> Item | Outcome:
        """Map an event of which only the parts that are read are decoded, if it allows that.

        Does what `_map_whole` does, without a call for each step: it runs for most events.
        """
        entry, destination = task.entry, self._destination
        seq, key, _, body = entry
        partial = self._partial
        assert partial is not None
        decode_part = partial.decode
        try:
            read = decode_part(body)
        except _MISFIT:
            event = decode(body)
            read = self._decoded_anew(event["name"], body, decode_part)
            if read is None:
                return self._map_whole(task, snapshot, event)
        rule = partial.of_kind[type(read)]
        basis = snapshot.bases[key]
        if read.consent or read.since:
            consent = dict(basis.of_event(read.consent, read.since))
            if not destination.admits(consent):
                return self._denied(consent)
        else:  # as most events, which people share a basis for: it is looked at once
            consent = {**basis.granted}
            if basis is not self._admitted:
                if not destination.admits(consent):
                    return self._denied(consent)
                self._admitted = basis
        event = rule.event(read, consent)
        attempt = self._attempts.get(seq, FRESH) if self._attempts else FRESH
        parts, refusals = attempt.parts, attempt.refusals
        progress = self._progress_of(entry, parts, refusals, task.batch, task.at)
        context = PushContext(
            destination.context,
            event,
            consent,
            attempt.count + 1,
            progress,
            progress,
            task.person,
            not read.untrusted,
        )
        data = MISSING if rule.data is None else rule.data(read, context, event)
        if self._warns_unmatched and rule.rule is None:
            self._warn_unmatched(rule.name)
        return Item(event, data, rule.rule, context)

    def _decoded_anew(self, name: str, body: bytes, failed: "Decode") -> Any:
        """Return an event of this name in part, which `failed` did not decode; None: it fits none.

        The first event of a name has its rule made.
        """
        assert self._partial is not None
        with self._learning:
            is_replaced = self._partial.note_whole(name, failed)
        try:
            return self._partial.decode(body) if is_replaced else None
        except _MISFIT:
            return None

    def _not_mapped(self, outcome: str, consent: Consent) -> Outcome:
        if outcome == "ignored":
            return IGNORED
        return self._denied(consent) if outcome == "denied" else _REFUSED

    def _denied(self, consent: Consent) -> Outcome:
        kind = self._destination.status_without_consent
        return Outcome(kind, "consent not granted", consent=consent)

    def _warn_unmatched(self, name: str) -> None:
        """Log a name without a rule, the first time it comes up."""
        if name in self._unmatched or len(self._unmatched) >= _UNMATCHED_MAX:
            return
        self._unmatched.add(name)
        self._destination.context.logger.warning(
            "destination %s: no rule of its mapping is for %r, which goes out without data; write "
            "one, or set unmatched to ignore or error",
            self._destination.id,
            name[:80],
        )
