"""Who is who, and who agreed: the model that identities, consent and erasure are tested against."""

from attrs import define, field
from hypothesis import strategies as st


@define
class Model:
    """The rules in plain words: everything filed knows its person, and is re-keyed at a join."""

    owners: dict[str, str] = field(factory=dict)
    currents: dict[str, str] = field(factory=dict)
    said: dict[str, dict[str, tuple[int, bool]]] = field(factory=dict)
    filed: list[tuple[str, str]] = field(factory=list)
    """The key each event was filed under, and the person it is of."""
    dead: list[tuple[str, str]] = field(factory=list)
    """The same of events that were refused."""
    own: dict[str, bool] = field(factory=dict)
    """The consent that events bring themselves."""
    default: bool = False

    def current(self, key: str) -> str:
        return self.currents.get(key, self.owners.get(key, key))

    def identify(self, keys: list[str]) -> str:
        found = [self.current(key) for key in keys]
        signed_in = [person for person in found if person.startswith("id:")]
        if keys[0].startswith("id:"):
            person = keys[0]
        elif signed_in:
            person = signed_in[-1]
        else:
            devices = [person for person in found if person.startswith("device:")]
            person = (devices or found)[-1]
        for key, theirs in zip(keys, found, strict=True):
            if not theirs.startswith("id:"):
                self.join(theirs, person)
            elif keys[0].startswith("id:"):
                self.currents[key] = person
        return person

    def join(self, one: str, person: str) -> None:
        if one == person:
            return
        joined = {one, *(key for key, owner in self.owners.items() if owner == one)}
        self.owners.update(dict.fromkeys(joined, person))
        self.filed = [(key, person if whose == one else whose) for key, whose in self.filed]
        self.dead = [(key, person if whose == one else whose) for key, whose in self.dead]
        for key, statement in self.said.pop(one, {}).items():
            theirs = self.said.setdefault(person, {})
            theirs[key] = max(theirs.get(key, statement), statement)

    def addressed(self, keys: list[str]) -> set[str]:
        """Return the people whom a call about these keys is about."""
        found = [self.current(key) for key in keys]
        strangers = {person for person in found if not person.startswith("id:")}
        signed_in = [person for person in found if person.startswith("id:")]
        return strangers | ({keys[0]} if keys[0].startswith("id:") else {*signed_in[-1:]})

    def say(self, person: str, granted: bool, number: int) -> None:
        """Record a statement about marketing; a later one has a higher number."""
        self.said.setdefault(person, {})["marketing"] = (number, granted)

    def allows(self, item: tuple[str, str]) -> bool:
        """Return whether a filed event may go: it says so itself, or its person, or the default."""
        key, person = item
        said = self.said.get(person, {}).get("marketing", (0, self.default))
        return self.own.get(key, said[1])

    def erase(self, people: set[str]) -> None:
        self.filed = [item for item in self.filed if item[1] not in people]
        self.dead = [item for item in self.dead if item[1] not in people]
        self.said = {person: said for person, said in self.said.items() if person not in people}
        for key in {*self.owners, *self.currents}:
            owner, current = self.owners.get(key), self.currents.get(key)
            left = [p for p in (owner, current) if p is not None and p not in people]
            self.owners.pop(key, None)
            self.currents.pop(key, None)
            if left:
                self.owners[key] = left[0]
            if len(left) == 2:
                self.currents[key] = left[1]


USERS = st.fixed_dictionaries(
    {},
    optional={
        "id": st.sampled_from("uv"),
        "device": st.sampled_from("de"),
        "session": st.sampled_from("stxy"),
    },
).filter(bool)
