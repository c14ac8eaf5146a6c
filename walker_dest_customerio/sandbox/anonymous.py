"""Anonymous activity of a workspace: events and relationships that wait for their person."""

from walker_dest_customerio import limits
from walker_dest_customerio.sandbox.profiles import Profile, StoredEvent
from walker_dest_customerio.sandbox.received import JsonObject, ObjectKey


class AnonymousActivity:
    """Events and relationships by anonymous_id, and the person that each anonymous_id belongs to.

    events: events without a person, by anonymous_id.
    invites: events without a person and without an anonymous_id.
    """

    def __init__(self) -> None:
        self.events: dict[str, list[StoredEvent]] = {}
        self.invites: list[StoredEvent] = []
        self._owners: dict[str, tuple[Profile, float]] = {}
        self._relationships: dict[str, dict[ObjectKey, JsonObject]] = {}

    def claim(self, person: Profile, anonymous_id: str, now: float) -> bool:
        """Give a person the anonymous events of `anonymous_id`, up to 30 days old.

        An anonymous_id is not reusable (reference): a second person gets no events by it, and the
        result is False. The same person may be identified with it again, and gets the events since.
        """
        owner, _ = self._owners.get(anonymous_id, (person, now))
        if owner is not person:
            return False
        self._owners[anonymous_id] = (person, now)
        if anonymous_id not in person.anonymous_ids:
            person.anonymous_ids.append(anonymous_id)
        oldest = now - limits.ANONYMOUS_KEPT
        earlier = self.events.pop(anonymous_id, [])
        person.add_events(event for event in earlier if event.received_at >= oldest)
        person.relationships.update(self._relationships.pop(anonymous_id, {}))
        return True

    def add_event(self, event: StoredEvent, now: float) -> None:
        """Store an anonymous event, or an invite.

        Up to five minutes after an identify, events of its anonymous_id go to the person; later
        ones wait for another identify.
        """
        if event.anonymous_id is None:
            self.invites.append(event)
            return
        person, joined_at = self._owners.get(event.anonymous_id, (None, 0.0))
        if person is not None and now - joined_at <= limits.ANONYMOUS_JOIN:
            person.events.append(event)
        else:
            self.events.setdefault(event.anonymous_id, []).append(event)

    def relate(self, anonymous_id: str, target: ObjectKey, attributes: JsonObject) -> None:
        """Add a relationship to the person identified by the anonymous_id, now or later."""
        person, _ = self._owners.get(anonymous_id, (None, 0.0))
        relationships = (
            person.relationships
            if person is not None
            else self._relationships.setdefault(anonymous_id, {})
        )
        relationships[target] = attributes

    def move(self, anonymous_ids: list[str], person: Profile, now: float) -> None:
        """Make anonymous_ids those of another person, after a merge."""
        for anonymous_id in anonymous_ids:
            person.anonymous_ids.append(anonymous_id)
            self._owners[anonymous_id] = (person, now)

    def release(self, person: Profile) -> None:
        """Free the anonymous_ids of a removed person."""
        for anonymous_id in person.anonymous_ids:
            del self._owners[anonymous_id]
