"""Commands: statements of consent, and the user and globals that events are completed with."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from walker_collector.config import CollectorConfig, Consent
from walker_collector.delivery import CONSENT_CHANGED
from walker_collector.delivery.workers import DestinationWorkers
from walker_collector.errors import EventError
from walker_collector.events import Bounds, Defaults, check_grants, encode, merge, plain_object
from walker_collector.intake.reading import readable
from walker_collector.intake.room import Room
from walker_collector.interrupts import uninterrupted
from walker_collector.people.consent import ConsentStore
from walker_collector.people.identity import identifiers
from walker_collector.results import PushResult
from walker_collector.spool import NewEvent, PeopleUpdate, Spool, State

COMMANDS: Final = ("walker consent", "walker user", "walker globals")


def is_command(raw: Mapping[str, Any]) -> bool:
    """Return whether this is a command rather than an event."""
    name = raw.get("name")
    return isinstance(name, str) and name in COMMANDS


class Commands:
    """Records statements of consent, each with the notice to destinations that listen, and changes
    the user and globals that events are completed with.
    """

    def __init__(
        self,
        config: CollectorConfig,
        defaults: Defaults,
        spool: Spool,
        consents: ConsentStore,
        workers: DestinationWorkers,
        room: Room,
        now: Callable[[], int],
    ) -> None:
        self._bounds = Bounds(config.max_depth, config.max_bytes)
        self._defaults = defaults
        self._spool = spool
        self._consents = consents
        self._workers = workers
        self._room = room
        self._now = now

    def run(self, raw: Mapping[str, Any]) -> PushResult:
        """Run a command that was pushed; raises EventError for one that is none."""
        data = raw.get("data")
        if not isinstance(data, Mapping):
            raise EventError(f"{raw['name']}: data must be an object")
        if raw["name"] == "walker consent":
            self.consent(data, raw.get("user"))
        elif raw["name"] == "walker user":
            self.user(data)
        else:
            self.globals(data)
        return PushResult("")

    def user(self, update: Any) -> None:
        """Merge into the user of every event."""
        update = readable(lambda: plain_object("user", update, self._bounds))
        self._defaults.user = merge(self._defaults.user, update)

    def globals(self, update: Any) -> None:
        """Merge into the globals of every event."""
        update = readable(lambda: plain_object("globals", update, self._bounds))
        self._defaults.globals = merge(self._defaults.globals, update)

    def consent(self, update: Any, user: Any) -> None:
        """Record a statement and release the events that it admits."""
        update, user = readable(lambda: plain_statement(update, user, self._bounds))

        def record() -> None:
            person = self._room.wait_for(lambda: self._record(update, user))
            self._workers.release(None if person is None else {person})

        uninterrupted(record)  # a statement that is kept releases what it allows

    def _record(self, update: Consent, user: Mapping[str, Any] | None) -> str | None:
        """Record a statement with its notice: both or neither.

        Returns the person; None for the process default.
        """
        if user is None:
            self._consents.set_default(
                update, lambda default: self._keep(None, update, default, {}, "")
            )
            return None
        person, _ = self._consents.record_consent(
            update,
            user,
            lambda told, person, state: self._keep(
                told, update, state, address(user, person), person
            ),
        )
        return person

    def _keep(
        self,
        told: PeopleUpdate | None,
        update: Consent,
        state: Consent,
        user: Mapping[str, Any],
        person: str,
    ) -> None:
        """Store a statement with its notice, which is in order with the person's events.

        Raises SpoolFull at once: others wait to say something.
        """
        states = {item.id: State.WAITING for item, dest in self._workers.active if dest.listens}
        if states:
            now = self._now()
            change = consent_change(update, state, user, id=self._defaults.new_id(), now=now)
            notice = [NewEvent(person, now, encode(change, self._bounds), states)]
            self._room.make(notice, wait=False)
            self._spool.append(notice, self._workers.enqueue, told)
        elif told is not None and self._spool.durable:
            self._spool.learn(told)


def plain_statement(
    update: Any, user: Any, bounds: Bounds
) -> tuple[dict[str, bool], dict[str, Any] | None]:
    """Return an update of consent and its user (None: the process default) as plain JSON.

    Raises EventError for an update that is none, or a user who cannot be addressed.
    """
    if not isinstance(update, Mapping) or not update:
        raise EventError('consent: must be an object such as {"marketing": true}')
    check_grants(update)
    plain = plain_object("consent", update, bounds)
    return plain, None if user is None else plain_person("consent", user, bounds)


def plain_person(what: str, user: Any, bounds: Bounds) -> dict[str, Any]:
    """Return a user as plain JSON; raises EventError for one who cannot be addressed. `what` is
    asked for them.
    """
    if isinstance(user, Mapping):
        plain = plain_object("user", user, bounds)
        if identifiers(plain):
            return plain
    raise EventError(f'{what}: user needs an id, a device or a session, such as {{"id": "u1"}}')


def consent_change(
    update: Consent, state: Consent, user: Mapping[str, Any], *, id: str, now: int
) -> dict[str, Any]:
    """Return the event as which a change of consent queues for destinations that listen.

    `state` is what holds now; `user` addresses the person, and is empty for the process default.
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
    """Return the identifiers of a person, with the one they are known by."""
    known = {kind: user[kind] for kind in ("id", "device", "session") if user.get(kind)}
    kind, _, value = person.partition(":")
    return {**known, kind: known.get(kind, value)}
