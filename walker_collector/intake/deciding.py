"""The decision on a complete event: its person, and its first state at each destination."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from attrs import define

from walker_collector.errors import WalkerError
from walker_collector.events import CONSENT_AT, decode
from walker_collector.hookspecs import Received
from walker_collector.intake.commands import Commands
from walker_collector.intake.gates import Gates
from walker_collector.intake.open_keys import OpenKeys
from walker_collector.intake.sink import Sink
from walker_collector.people.consent import ConsentStore
from walker_collector.people.identity import KINDS
from walker_collector.people.merges import keys_named
from walker_collector.people.pending_links import PendingLinks
from walker_collector.results import Decision, PushResult, decide
from walker_collector.spool import NewEvent, Position, StalePeople
from walker_collector.spool.person_keys import is_claimed
from walker_collector.spool.repeats import mark_of_id

_LASTING: Final = frozenset({str, int, type(None)})
"""Types of identifiers that are the same whenever they are read."""
NOTHING: Final[Mapping[str, Any]] = {}
"""The consent where no destination requires any."""

Prepared = tuple[NewEvent, PushResult, int]
"""An event to store, its result, and the version of the consents that decided on it."""


@define(eq=False)
class Undecided:
    """A complete event with identifiers that may be news: its person is not known for sure.

    `event` has the parts that decide on it, `body` is its JSON. `keys` are those that it names,
    claimed ones of an untrusted sender. `mark` stands for the id that it
    came with, if that is remembered. `at` (ms): when it came. `as_of`: that of its origin.
    `on_decided` gets the decision before the event is stored.
    """

    event: Mapping[str, Any]
    body: bytes
    keys: Sequence[str]
    sender: Received
    mark: bytes
    at: int
    has_id: bool
    as_of: int | None
    position: Position | None = None
    on_decided: Callable[[Prepared], None] = lambda prepared: None


class Decisions:
    """Finds the people of events, and decides for each destination: see `Gates`."""

    def __init__(self, consents: ConsentStore, sink: Sink, commands: Commands) -> None:
        self._consents = consents
        self._sink = sink
        self._commands = commands
        self.gates = Gates(sink.destinations)

    def decide(
        self,
        event: Mapping[str, Any],
        body: bytes,
        sender: Received,
        mark: bytes,
        at: int,
        has_id: bool = False,
        as_of: int | None = None,
        open_keys: OpenKeys | None = None,
    ) -> Prepared | Undecided:
        """Return the decision on an event, if that is possible now; see `Undecided`.

        `open_keys`: those of the undecided events before it. One with consent to learn must come
        after none of these.
        """
        consents = self._consents
        if consents.is_shared and consents.is_stale:
            consents.refresh()
        erasures = consents.erasures if as_of is None else as_of
        user, person = event["user"], None
        if type(user) is dict:
            person = consents.known_person(user, not sender.trusted)
            if person and open_keys is not None and open_keys.may_concern(user, person):
                person = None
        if CONSENT_AT in event:
            user, claim = decode(body)["user"], not sender.trusted
            if person is None:
                person = self._identify(user, claim, mark, at, as_of)
            if person:
                self._learn(event, user, claim, mark, at)
        elif person is None:
            keys = _keys(event, body, claim=not sender.trusted)
            if "consent" in event:  # the application may change its object until the decision
                event = {**event, "consent": {**event["consent"]}}
            return Undecided(event, body, keys, sender, mark, at, has_id, as_of)
        return self.decided(event, body, sender, mark, at, has_id, erasures, person)

    def decide_rest(
        self,
        items: Sequence[Prepared | Undecided],
        decided: list[Prepared | WalkerError],
        pending: PendingLinks,
    ) -> None:
        """Decide on the events of a group that are not decided yet, or note why one is refused.

        What their keys tell joins the pending links. Call it within `learning`. It may be repeated
        if it raises StalePeople.
        """
        known = self._marks_that_came_before(items)
        for item in items[len(decided) :]:
            try:
                if not isinstance(item, tuple):
                    item = self._decide_pending(item, pending, known)
                decided.append(item)
            except StalePeople:
                raise
            except WalkerError as error:
                decided.append(error)

    def _decide_pending(
        self, item: Undecided, pending: PendingLinks, known: Collection[bytes]
    ) -> Prepared:
        consents = self._consents
        as_of = consents.erasures if item.as_of is None else item.as_of
        if item.mark and item.mark in known:  # others may have signed in since
            person = consents.resolve_pending(item.keys, pending).person
        else:
            consents.check_not_overtaken(item.as_of)
            person = consents.identify_pending(item.keys, pending)
        prepared = self.decided(
            item.event, item.body, item.sender, item.mark, item.at, item.has_id, as_of, person
        )
        prepared[0].position = item.position
        item.on_decided(prepared)
        return prepared

    def _marks_that_came_before(self, items: Sequence[Prepared | Undecided]) -> Collection[bytes]:
        marked = [item for item in items if not isinstance(item, tuple) and item.mark]
        if not marked:
            return ()
        return self._sink.came_before([item.mark for item in marked], marked[0].at)

    def find_people_again(self, records: Iterable[NewEvent], pending: PendingLinks) -> None:
        """Find the people of events again, after a change of identities.

        After an erasure, what a session does would else be filed under a person it does not belong
        to any more.
        """
        found = list(records)
        marks = [record.mark for record in found if record.mark]
        known = self._sink.came_before(marks, found[0].at) if marks else ()
        for record in found:
            record.as_of = self._consents.erasures
            if record.mark and record.mark in known:  # others may have signed in since
                record.person = self._consents.resolve_pending(keys_of(record), pending).person
            else:
                record.person = self._consents.identify_pending(keys_of(record), pending)

    def release(self, pending: PendingLinks) -> None:
        """Release the events that the learned links admit."""
        if pending.learned:
            self._sink.release(pending.stated)

    def decided(
        self,
        event: Mapping[str, Any],
        body: bytes,
        sender: Received,
        mark: bytes,
        at: int,
        has_id: bool,
        as_of: int,
        person: str,
    ) -> Prepared:
        """Return an event ready to be stored, and the first answer of each destination.

        The third is the version of the consents that decided: with a later one, an event that is
        held by it is looked at again.
        """
        consents, gates, name = self._consents, self.gates, event["name"]
        version = consents.version
        if "consent" in event and gates.require_consent:
            consent = consents.decide(event["consent"], person, event.get(CONSENT_AT))
            states, statuses = gates.decide(name, consent, body)
        else:
            consent = consents.base(person) if gates.require_consent else NOTHING
            states, statuses = gates.decide(name, consent, body)
            if states is gates.waiting:
                gates.note_taken(name, consent)
        record = NewEvent(person, at, body, states, as_of, mark)
        result = PushResult(event["id"], statuses)
        if len(states) < len(statuses):
            self._sink.count_unstored(event, statuses)
            if mark:
                record.left_out = {id_: why for id_, why in statuses.items() if id_ not in states}
            elif not states and has_id:
                # Of any origin: that it is remembered does not keep it from coming again.
                record.mark = mark_of_id(event["id"], trusted=sender.trusted)
                record.left_out = result.destinations
        if sender.decided is not None:
            if states:
                record.listener = Decision(result, sender.decided, len(states))
            else:
                decide(sender.decided, result)
        return record, result, version

    def _identify(
        self, user: Mapping[str, Any], claim: bool, mark: bytes, now: int, as_of: int | None
    ) -> str:
        """Return the person; release the events that their new consent admits."""
        consents = self._consents
        if self._came_before(mark, now):  # others may have signed in since
            return consents.person_of(user, claim=claim)
        person, news = consents.identify(user, claim=claim, as_of=as_of)
        if news:
            self._sink.release(consents.with_claimed(person) if news == "stated" else set())
        return person

    def _learn(
        self, event: Mapping[str, Any], user: Mapping[str, Any], claim: bool, mark: bytes, now: int
    ) -> None:
        """Learn the consent of an event.

        One that is sent again must not count as of now: a withdrawal may have come in between.
        """
        stamp = event[CONSENT_AT]
        if stamp < now * 1_000 or not self._came_before(mark, now):
            self._commands.learn(event["consent"], user, stamp, claim)

    def _came_before(self, mark: bytes, now: int) -> bool:
        return bool(mark) and bool(self._sink.came_before([mark], now))


def keys_of(record: NewEvent) -> list[str]:
    """Return the keys that an event to store names."""
    return keys_named(decode(record.body)["user"], claim=is_claimed(record.person))


def _keys(event: Mapping[str, Any], body: bytes, *, claim: bool) -> list[str]:
    """Return the keys that an event names; raises EventError."""
    user = event["user"]
    if type(user) is not dict or any(type(user.get(kind)) not in _LASTING for kind in KINDS):
        # As it was encoded: an object of the application may say another thing each time.
        user = decode(body)["user"]
    return keys_named(user, claim=claim)
