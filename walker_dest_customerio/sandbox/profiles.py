"""The profiles of a workspace, and the identifiers they are found by."""

from collections.abc import Iterable, Iterator

from attrs import define, field

from walker_dest_customerio.sandbox.received import Identifier, JsonObject, ObjectKey


@define
class StoredEvent:
    """A stored event; `sequence` is its place in the order of arrival."""

    sequence: int
    kind: str
    name: str
    data: JsonObject
    id: str | None
    timestamp: int
    received_at: float
    anonymous_id: str | None


@define(eq=False)
class Profile:
    """A person's profile. `edited_at` is the time (unix s) of its latest attribute update."""

    cio_id: str
    identifiers: dict[str, str] = field(factory=dict)
    attributes: JsonObject = field(factory=dict)
    devices: dict[str, JsonObject] = field(factory=dict)
    events: list[StoredEvent] = field(factory=list)
    anonymous_ids: list[str] = field(factory=list)
    relationships: dict[ObjectKey, JsonObject] = field(factory=dict)
    edited_at: int | None = None

    @property
    def key(self) -> str:
        """The identifier to show: id, else email, else phone, else `cio_` and the cio_id."""
        for kind in ("id", "email", "phone"):
            if kind in self.identifiers:
                return self.identifiers[kind]
        return f"cio_{self.cio_id}"

    def has_other(self, who: Identifier) -> bool:
        """Return whether it has another identifier of the same kind."""
        return self.identifiers.get(who.kind, who.value) != who.value

    def add_events(self, events: Iterable[StoredEvent]) -> None:
        """Add events, in the order of arrival."""
        self.events = sorted([*self.events, *events], key=lambda event: event.sequence)


class Profiles:
    """Profiles by each of their identifiers. Every identifier belongs to one profile at most."""

    def __init__(self) -> None:
        self._people: dict[str, Profile] = {}
        self._named: dict[Identifier, Profile] = {}
        self._created = 0

    def __iter__(self) -> Iterator[Profile]:
        return iter(self._people.values())

    def find(self, who: Identifier) -> Profile | None:
        """Return the profile with this identifier, if any."""
        return self._named.get(who)

    def create(self) -> Profile:
        """Add a profile with only a new cio_id (in the shape of the reference's examples)."""
        self._created += 1
        person = Profile(f"a3{self._created:06d}")
        self._people[person.cio_id] = person
        self._named[Identifier("cio_id", person.cio_id)] = person
        return person

    def find_or_create(self, who: Identifier) -> Profile | None:
        """Find a person or create them; a cio_id cannot be used to create one."""
        person = self.find(who)
        if person is None and who.kind != "cio_id":
            person = self.create()
            self.name(person, who)
            if who.kind != "id":
                person.attributes[who.kind] = who.value
        return person

    def name(self, person: Profile, who: Identifier) -> None:
        """Give the profile this identifier, in place of an earlier one of its kind."""
        if who.kind == "cio_id":
            return
        self.unname(person, who.kind)
        person.identifiers[who.kind] = who.value
        self._named[who] = person

    def unname(self, person: Profile, kind: str) -> None:
        """Remove the identifier of this kind, if there is one."""
        value = person.identifiers.pop(kind, None)
        if value is not None:
            del self._named[Identifier(kind, value)]

    def remove(self, person: Profile) -> None:
        """Remove a profile and all of its identifiers."""
        for kind in list(person.identifiers):
            self.unname(person, kind)
        del self._named[Identifier("cio_id", person.cio_id)]
        del self._people[person.cio_id]
