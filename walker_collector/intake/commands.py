"""Commands: statements of consent, and the user and globals that events are completed with."""

import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

from attrs import define, field

from walker_collector.config import Consent
from walker_collector.delivery.preparation import CONSENT_CHANGED
from walker_collector.errors import EventError, NotTrusted, WalkerError
from walker_collector.events import (
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
from walker_collector.spool import NewEvent, PeopleUpdate, Position, State
from walker_collector.spool.person_keys import unclaimed
from walker_collector.text import get_logger, storable

logger = get_logger("walker_collector")

SHARED_SHARE: Final = 10
"""The user and the globals of every event have at most this fraction of an event's bytes each."""
SHARED_ITEMS: Final = 1_000
"""Keys, and items of lists, of these: every event is merged with them."""
_NEEDED: Final = 'user needs an id, a device or a session, such as {"id": "u1"}'


@define(eq=False)
class Commands:
    """Runs the commands of a collector.

    A statement of consent is recorded with a notice to the destinations that listen; `user` and
    `globals` change the values that events are completed with.
    """

    _defaults: Defaults
    _bounds: Bounds
    _consents: ConsentStore
    _sink: Sink
    _now: Callable[[], int]
    _listening: Mapping[str, State] = field(init=False)

    @_listening.default
    def _waiting_at_each(self) -> Mapping[str, State]:
        return {item.id: State.WAITING for item in self._sink.destinations if item.listens}

    def run(
        self,
        raw: Mapping[str, Any],
        *,
        claim: bool = False,
        position: Position | None = None,
        waits: bool = True,
        stated: Stated | None = None,
    ) -> None:
        """Run a command that was pushed; raises EventError if it is malformed.

        `position`: that after its line; a statement of consent is stored with it. `claim`: by an
        untrusted sender. `waits`: for room. `stated`: when it was pushed, if not now. Raises
        NotTrusted if that one may not send it.
        """
        name, data = str.__str__(raw["name"]), raw.get("data")
        if claim:
            check_claim(name, raw.get("user"))
        if not isinstance(data, Mapping):
            raise EventError(f"{name}: data must be an object")
        if name == "walker consent":
            self.consent(
                data, raw.get("user"), claim=claim, position=position, waits=waits, stated=stated
            )
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

    def consent(
        self,
        update: Any,
        user: Any,
        *,
        claim: bool = False,
        position: Position | None = None,
        waits: bool = True,
        stated: Stated | None = None,
    ) -> int:
        """Record a statement, and release the events that it admits; see Collector.consent."""
        update, user = readable(lambda: plain_statement(update, user, self._bounds))

        def keep() -> str | None:
            return self._record(update, user, claim, position, stated)

        def record() -> int:
            try:
                person = self._sink.wait_for_room(keep) if waits else keep()
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
            is_news = state != self._consents.state(person)
            self._keep(change, consent, state, address(user, person), person, notify=is_news)

        def record() -> None:
            learned = self._consents.learn_consent
            if self._sink.wait_for_room(lambda: learned(consent, user, at, keep, claim=claim)):
                person = self._consents.person_of(user, claim=claim)
                self._sink.release(self._consents.with_claimed(person))

        uninterrupted(record)

    def _record(
        self,
        update: Consent,
        user: Mapping[str, Any] | None,
        claim: bool,
        position: Position | None,
        stated: Stated | None,
    ) -> str | None:
        """Record a statement with its notice: both or neither.

        Returns the person; None for the default.
        """

        def keep(change: PeopleUpdate, person: str, state: Consent) -> None:
            new = update
            if stated is not None:
                new = {key: given for key, given in update.items() if state.get(key) == given}
            owner, notify = address(user or {}, person), bool(new)
            self._keep(change, new, state, owner, person, notify=notify, position=position)

        if user is None:
            self._consents.set_default(
                update,
                lambda change, default: self._keep(
                    change, update, default, {}, "", position=position
                ),
            )
            shown = storable(dict(update), 200)
            logger.info("consent without a user is the default, for everybody: %s", shown)
            return None
        person, _ = self._consents.record_consent(update, user, keep, claim=claim, stated=stated)
        return person

    def _keep(
        self,
        change: PeopleUpdate | None,
        update: Consent,
        state: Consent,
        user: Mapping[str, Any],
        person: str,
        *,
        notify: bool = True,
        position: Position | None = None,
    ) -> None:
        """Store a statement with its notice, which is in order with the person's events."""
        notice = []
        if self._listening and notify:
            now = self._now()
            event = consent_change(update, state, user, id=self._defaults.new_id(), now=now)
            notice = [NewEvent(person, now, encode(event, self._bounds), self._listening)]
        self._sink.record(change, notice, position)


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
