"""The passage of events through the steps of their source, before they are completed."""

from collections.abc import Callable, Mapping
from typing import Any

from walker_collector.hookspecs import Received
from walker_collector.intake.event_group import EventGroup
from walker_collector.intake.origin import Origin
from walker_collector.intake.sink import Sink
from walker_collector.intake.steps import Dropped, Steps
from walker_collector.people.consent import ConsentStore
from walker_collector.results import PushResult, decide
from walker_collector.spool.repeats import Unstored, mark_of_id
from walker_collector.text import storable


class Passing:
    """Has events pass the steps of their source, and answers those that are left out.

    `destinations` are the ids of all. `new_id` returns the id of an event that has none.
    """

    def __init__(
        self,
        consents: ConsentStore,
        sink: Sink,
        now: Callable[[], int],
        destinations: list[str],
        new_id: Callable[[], str],
    ) -> None:
        self._consents = consents
        self._sink = sink
        self._now = now
        self._destinations = destinations
        self._new_id = new_id

    def past(
        self,
        steps: Steps,
        raw: Mapping[str, Any],
        group: EventGroup,
        sender: Received,
        origin: Origin,
    ) -> Mapping[str, Any] | None:
        """Return an event as the steps leave it; None: they leave it out, which is its result."""
        passed = steps(raw, self._consent_of(sender, group))
        if not isinstance(passed, str):
            return passed
        group.results.append(self._left_out(group, raw, passed, sender, origin))
        return None

    def _left_out(
        self,
        group: EventGroup,
        raw: Mapping[str, Any],
        status: Dropped,
        sender: Received,
        origin: Origin,
    ) -> PushResult:
        """Return the result of an event that is left out; remember its own id."""
        given = raw.get("id")
        id_ = given if isinstance(given, str) and given else self._new_id()
        statuses = dict.fromkeys(self._destinations, status)
        self._sink.count_unstored({"id": id_, "name": storable(raw.get("name"), 80)}, statuses)
        if origin.recent and given == id_:
            mark = mark_of_id(id_, trusted=sender.trusted)
            group.unstored.append(Unstored(mark, self._now(), statuses))
        return decided_now(sender, PushResult(id_, statuses))

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


def decided_now(sender: Received, result: PushResult) -> PushResult:
    """Tell a sender that waits that nothing more becomes of an event; return the result."""
    if sender.decided is not None:
        decide(sender.decided, result)
    return result
