"""Commands: statements of consent, and the user and globals that events are completed with."""

import sys
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any, Final

from attrs import define, field, frozen

from walker_collector.config import Consent
from walker_collector.delivery.preparation import CONSENT_CHANGED
from walker_collector.errors import EventError, NotTrusted, WalkerError
from walker_collector.events import (
    CONSENT_AT,
    UNTRUSTED,
    Bounds,
    Defaults,
    check_grants,
    encode,
    merge,
    misnamed,
    plain_object,
)
from walker_collector.intake.reading import readable
from walker_collector.intake.sink import Sink
from walker_collector.interrupts import uninterrupted
from walker_collector.people.consent import ConsentStore, Stated
from walker_collector.people.identity import KINDS, identifiers
from walker_collector.results import Decision, PushResult
from walker_collector.spool import NewEvent, PeopleUpdate, Position, State
from walker_collector.spool.person_keys import unclaimed
from walker_collector.text import get_logger, storable

logger = get_logger("walker_collector")

SHARED_SHARE: Final = 10
"""The user and the globals of every event have at most this fraction of an event's bytes each."""
SHARED_ITEMS: Final = 1_000
"""Keys, and items of lists, of these: every event is merged with them."""
_NEEDED: Final = 'user needs an id, a device or a session, such as {"id": "u1"}'


@frozen
class Arrival:
    """The way in which a command has come.

    id: the id that it came with; "": none. claim: an untrusted sender sends it. limited: it was
    asked for a key. position: that after it in its input; a statement of consent is stored with it.
    waits: for room. stated: when it was pushed, if not now. decided: gets the result once all that
    relay have passed it on, or never will.
    """

    id: str = ""
    claim: bool = False
    limited: bool = False
    position: Position | None = None
    waits: bool = True
    stated: Stated | None = None
    decided: Future[Any] | None = None


_HERE: Final = Arrival()


@define(eq=False)
class Commands:
    """Runs the commands of a collector.

    A statement of consent is recorded with a notice to the destinations that listen, and is itself
    sent on to those that relay; `user` and `globals` change the values that events are completed
    with.
    """

    _defaults: Defaults
    _bounds: Bounds
    _consents: ConsentStore
    _sink: Sink
    _now: Callable[[], int]
    _listening: Mapping[str, State] = field(init=False)
    _relaying: Mapping[str, State] = field(init=False)

    @_listening.default
    def _waiting_where_heard(self) -> Mapping[str, State]:
        return {item.id: State.WAITING for item in self._sink.destinations if item.listens}

    @_relaying.default
    def _waiting_where_relayed(self) -> Mapping[str, State]:
        return {item.id: State.WAITING for item in self._sink.destinations if item.relays}

    def is_relayed(self, raw: Mapping[str, Any]) -> bool:
        """Return whether a command is sent on to destinations that relay."""
        return bool(self._relaying) and raw["name"] == CONSENT_CHANGED

    @property
    def to_relay(self) -> PushResult:
        """The first result of a command that is sent on."""
        return PushResult("", dict.fromkeys(self._relaying, "accepted"))

    def run(self, raw: Mapping[str, Any], arrival: Arrival = _HERE) -> None:
        """Run a command that was pushed; raises EventError if it is malformed.

        Raises NotTrusted if its sender may not send it.
        """
        name, data = str.__str__(raw["name"]), raw.get("data")
        if arrival.claim:
            check_claim(name, raw.get("user"))
        if not isinstance(data, Mapping):
            raise EventError(f"{name}: data must be an object")
        if name == CONSENT_CHANGED:
            self.consent(data, raw.get("user"), arrival)
        elif name == "walker user":
            self.user(data)
        else:
            self.globals(data)

    def user(self, update: Any) -> None:
        """Merge into the user of every event; raises EventError if it would be too large."""
        self._defaults.user = self._merged("user", self._defaults.user, update)

    def globals(self, update: Any) -> None:
        """Merge into the globals of every event; raises EventError if they would be too large."""
        self._defaults.globals = self._merged("globals", self._defaults.globals, update)

    def _merged(self, what: str, before: Mapping[str, Any], update: Any) -> dict[str, Any]:
        """Return the shared parts after an update; raises EventError if they become too large."""
        update = readable(lambda: plain_object(what, update, self._bounds))
        after = merge(before, update)
        for size_of, most, unit in (
            (_bytes, self._bounds.bytes // SHARED_SHARE, "bytes of JSON"),
            (_items, SHARED_ITEMS, "keys and items"),
        ):
            # A flow may have more than that from the start; it can still be changed.
            if (size := size_of(after)) > most and size > size_of(before):
                raise EventError(
                    f"{what}: those of every event would have {size:,} {unit} with this; "
                    f"the limit is {most:,}"
                )
        return after

    def relay(self, raw: Mapping[str, Any], arrival: Arrival) -> None:
        """Send a statement on once more, which has been recorded here: it may not have arrived."""
        if arrival.claim:
            check_claim(CONSENT_CHANGED, raw.get("user"))
        update, user = readable(
            lambda: plain_statement(raw.get("data"), raw.get("user"), self._bounds)
        )
        person = self._consents.person_of(user, claim=arrival.claim) if user else ""
        command = partial(self._command, update, user, arrival)
        keep = partial(self._keep, None, person, arrival, command=command)
        if arrival.waits:
            self._sink.wait_for_room(keep)
        else:
            keep()

    def consent(self, update: Any, user: Any, arrival: Arrival = _HERE) -> int:
        """Record a statement, and release the events that it admits; see Collector.consent."""
        update, user = readable(lambda: plain_statement(update, user, self._bounds))
        claim = arrival.claim

        def keep() -> str | None:
            return self._record(update, user, arrival)

        def record() -> int:
            try:
                person = self._sink.wait_for_room(keep) if arrival.waits else keep()
            except WalkerError:
                # That the identifiers are one person's is known all the same, and earlier
                # statements may admit events that are held under one of them.
                self._sink.release(set())
                raise
            people = None if person is None else self._consents.with_claimed(person)
            self._sink.release(people)
            if all(update.values()):
                return 0
            if people and claim and user:
                people |= self._consents.people_behind(user, person or "")
            return self._sink.wait_for_calls(people and self._consents.all_keys(people))

        return uninterrupted(record)  # a statement that is kept releases the events it admits

    def person(self, call: str, user: Any) -> dict[str, Any]:
        """Return a user as plain JSON; raises EventError, naming the call, if none is named."""
        return _plain_person(call, user, self._bounds)

    def learn(self, consent: Consent, user: Mapping[str, Any], at: int, claim: bool) -> None:
        """Learn the consent of an event, everything its person grants at stamp `at`.

        Events that it admits are released.
        """

        def keep(change: PeopleUpdate, person: str, state: Consent) -> None:
            heard = None
            if state != self._consents.state(person):
                heard = self._change(consent, state, address(user, person))
            self._keep(change, person, _HERE, heard)

        def record() -> None:
            learned = self._consents.learn_consent
            if self._sink.wait_for_room(lambda: learned(consent, user, at, keep, claim=claim)):
                person = self._consents.person_of(user, claim=claim)
                self._sink.release(self._consents.with_claimed(person))

        uninterrupted(record)

    def _record(
        self, update: Consent, user: Mapping[str, Any] | None, arrival: Arrival
    ) -> str | None:
        """Record a statement with its notices: all or none.

        Returns the person; None for the default.
        """
        claim, stated = arrival.claim, arrival.stated
        command = partial(self._command, update, user, arrival)

        def keep(change: PeopleUpdate, person: str, state: Consent) -> None:
            new = update
            if stated is not None:
                new = {key: given for key, given in update.items() if state.get(key) == given}
            heard = self._change(new, state, address(user or {}, person)) if new else None
            self._keep(change, person, arrival, heard, command)

        if user is None:
            self._consents.set_default(
                update,
                lambda change, default: self._keep(
                    change, "", arrival, self._change(update, default, {}), command
                ),
            )
            shown = storable(dict(update), 200)
            logger.info("consent without a user is the default, for everybody: %s", shown)
            return None
        person, _ = self._consents.record_consent(update, user, keep, claim=claim, stated=stated)
        return person

    def _change(self, update: Consent, state: Consent, user: Mapping[str, Any]) -> dict[str, Any]:
        return consent_change(update, state, user, id=self._defaults.new_id(), now=self._now())

    def _command(
        self, update: Consent, user: Mapping[str, Any] | None, arrival: Arrival, stamp: int
    ) -> dict[str, Any]:
        """Return a statement as an event to relay: as it came, with the marks of stored events."""
        at = stamp if arrival.stated is None else arrival.stated.at
        command: dict[str, Any] = {
            "name": CONSENT_CHANGED,
            "data": dict(update),
            "id": arrival.id or self._defaults.new_id(),
            "timestamp": at // 1_000,
            CONSENT_AT: at,
        }
        if user is not None:
            command["user"] = dict(user)
        if arrival.limited:
            command[UNTRUSTED] = True
        return command

    def _keep(
        self,
        change: PeopleUpdate | None,
        person: str,
        arrival: Arrival,
        heard: Mapping[str, Any] | None = None,
        command: Callable[[int], Mapping[str, Any]] | None = None,
    ) -> None:
        """Store a statement with its notices, which are in order with the person's events.

        `heard` is for the destinations that listen. `command` makes that for those that relay,
        given the stamp of the statement.
        """
        now, notices = self._now(), []
        if self._listening and heard is not None:
            body = encode(heard, self._bounds)
            notices.append(NewEvent(person, now, body, self._listening))
        if self._relaying and command is not None:
            stamp = change.last_stamp if change and change.last_stamp else now * 1_000
            body = encode(command(stamp), self._bounds)
            relayed = NewEvent(person, now, body, self._relaying)
            if arrival.decided is not None:
                relayed.listener = Decision(self.to_relay, arrival.decided, len(self._relaying))
            notices.append(relayed)
        self._sink.record(change, notices, arrival.position)


def check_claim(name: str, user: Any) -> None:
    """Raise NotTrusted for a command that an untrusted sender may not send.

    It may state the consent of a session or device, its own; neither that of a person with an id,
    nor what holds for everybody.
    """
    if name == "walker consent" and isinstance(user, Mapping):
        is_own = user.get("session") or user.get("device")
        if is_own and user.get("id") in (None, ""):
            return
    raise NotTrusted(f"{name}: needs a key that is trusted")


def _bytes(shared: Mapping[str, Any]) -> int:
    return len(encode(shared, Bounds(bytes=sys.maxsize)))


def _items(shared: Mapping[str, Any]) -> int:
    """Return how many keys a merge with an object handles, and items of lists."""
    lists = [value for value in shared.values() if isinstance(value, list)]
    return len(shared) + sum(map(len, lists))


def plain_statement(
    update: Any, user: Any, bounds: Bounds
) -> tuple[dict[str, bool], dict[str, Any] | None]:
    """Return a consent update and its user (None: the default) as plain JSON.

    Raises EventError for a malformed update, or a user without an identifier.
    """
    if not isinstance(update, Mapping) or not update:
        raise EventError('consent: must be an object such as {"marketing": true}')
    check_grants(update)
    plain = plain_object("consent", update, bounds)
    return plain, None if user is None else _plain_person("consent", user, bounds)


def _plain_person(call: str, user: Any, bounds: Bounds) -> dict[str, Any]:
    """Return a user as plain JSON; raises EventError, naming the call, without an identifier."""
    if isinstance(user, Mapping):
        plain = plain_object("user", user, bounds)
        if identifiers(plain):
            return plain
        meant = "".join(f'; write "{right}" for "{key}"' for key, right in misnamed(plain))
        raise EventError(f"{call}: {_NEEDED}{meant}")
    raise EventError(f"{call}: {_NEEDED}")


def consent_change(
    update: Consent, state: Consent, user: Mapping[str, Any], *, id: str, now: int
) -> dict[str, Any]:
    """Return a change of consent as an event, to queue for the destinations that listen.

    `state` is the consent after it; `user` has the person's identifiers, and is empty for the
    default.
    """
    return {
        "name": CONSENT_CHANGED,
        "id": id,
        "data": dict(update),
        "custom": dict(state),
        "user": dict(user),
        "timestamp": now,
    }


def address(user: Mapping[str, Any], person: str) -> dict[str, Any]:
    """Return the identifiers of a person, with the one in their key."""
    known = {kind: user[kind] for kind in KINDS if user.get(kind)}
    kind, _, value = unclaimed(person).partition(":")
    return {**known, kind: known.get(kind, value)}
