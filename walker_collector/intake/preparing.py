"""From an event as it is given to one that is ready to be stored: completed and decided.

Most events are usual: their person is known, has no consent to be learned, and the event waits for
every destination, as the last one of that name did under the same consent. These are decided here,
in one pass with all that their group shares at hand; a call for each step takes a half more
instructions. `Decisions` decides on all others, and would decide the same on these.
"""

from collections.abc import Callable, Mapping
from typing import Any

from attrs import evolve

from walker_collector.events import CONSENT_AT, ImpossibleTime, UnreadEvent, at_receipt, whole
from walker_collector.hookspecs import Received
from walker_collector.intake.completing import Completion
from walker_collector.intake.deciding import NOTHING, Decisions, Prepared, Undecided
from walker_collector.intake.event_group import EventGroup
from walker_collector.intake.open_keys import OpenKeys
from walker_collector.intake.origin import Origin
from walker_collector.people.consent import ConsentStore
from walker_collector.results import PushResult
from walker_collector.spool import NewEvent
from walker_collector.spool.repeats import mark_of_id

Prepare = Callable[[Mapping[str, Any] | UnreadEvent, Received], Prepared | Undecided]
"""Returns an event of a sender ready to be stored; raises EventError."""


class Preparing:
    """Prepares events; `corrected` counts those that got the time of their receipt."""

    def __init__(
        self,
        completion: Completion,
        consents: ConsentStore,
        decisions: Decisions,
        now: Callable[[], int],
    ) -> None:
        self._completion = completion
        self._consents = consents
        self._decisions = decisions
        self._now = now
        self.corrected = 0

    def of(self, origin: Origin, group: EventGroup | None = None) -> Prepare:
        """Return the function that prepares events of an origin, each after those of a group."""
        complete, now = self._completion.of, self._now
        decisions, gates, consents = self._decisions, self._decisions.gates, self._consents
        known_person, base, is_shared = consents.known_person, consents.base, consents.is_shared
        recent, as_of, requires_consent = origin.recent, origin.as_of, gates.require_consent

        def prepare(raw: Mapping[str, Any] | UnreadEvent, sender: Received) -> Prepared | Undecided:
            at = now()
            try:
                event, body = complete(raw, sender, at)
            except ImpossibleTime:
                if not origin.corrects_times:
                    raise
                return self._corrected(raw, sender, at, origin, group)
            id_ = raw.id if type(raw) is UnreadEvent else raw.get("id")  # type: ignore[union-attr]
            mark = mark_of_id(event["id"], trusted=sender.trusted) if id_ and recent else b""
            if is_shared and consents.is_stale:
                consents.refresh()
            erasures = consents.erasures if as_of is None else as_of
            user, person = event["user"], None
            if type(user) is dict and CONSENT_AT not in event:
                person = known_person(user, not sender.trusted)
                if group is not None and not group.is_decided and person:
                    person = None if group.open_keys.may_concern(user, person) else person
            if person is None:
                open_keys = _open_keys(group, event)
                return decisions.decide(event, body, sender, mark, at, bool(id_), as_of, open_keys)
            version = consents.version
            if sender.decided is None and not (requires_consent and "consent" in event):
                consent = base(person) if requires_consent else NOTHING
                known, names = gates.taken
                if event["name"] in names and consent == known:
                    record = NewEvent(person, at, body, gates.waiting, erasures, mark)
                    return record, PushResult(event["id"], gates.accepted.copy()), version
            return decisions.decided(event, body, sender, mark, at, bool(id_), erasures, person)

        return prepare

    def _corrected(
        self,
        raw: Mapping[str, Any] | UnreadEvent,
        sender: Received,
        at: int,
        origin: Origin,
        group: EventGroup | None,
    ) -> Prepared | Undecided:
        """Prepare an event at an impossible time as one of the time of its receipt."""
        # Nothing lasting follows from a consent at an unknown time.
        prepare, sender = self.of(origin, group), evolve(sender, learn=False)
        prepared = prepare(at_receipt(whole(raw), at), sender)
        self.corrected += 1
        return prepared


def _open_keys(group: EventGroup | None, event: Mapping[str, Any]) -> OpenKeys | None:
    """Return the keys of the undecided events before; an event to learn from has none."""
    if group is None or group.is_decided:
        return None
    if CONSENT_AT in event:
        group.store()  # the events before it: it may learn of their people
        return None
    return group.open_keys
