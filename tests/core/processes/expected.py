"""What has to come of the work of several processes: `Expected` is the model of them together.

It is the model of people (`tests/core/people_model.py`), and which events must have been, may have
been or must not be delivered. What it is told is in the order of the commits, but for commands at
once, which must have the same effect in either order.
"""

import copy
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from attrs import Factory, define, field

from tests.core.people_model import Model
from tests.core.processes.actor import Line
from walker_collector.people.identity import identifiers

User = dict[str, str]


@define(eq=False)
class Event:
    """An event that was pushed; `step` and `by` tell when, and by which process.

    `certain`: it was accepted. Of one that was under way at a kill nobody knows, until it comes.
    """

    n: int
    user: User
    kind: str
    own: bool | None
    step: int = 0
    by: int = 0
    kills: int = 0
    """The kills before it."""
    certain: bool = True
    erased: bool = False
    after: list["Event"] = Factory(list)
    """The earlier events of its person, at that moment."""
    since: int | None = None
    """The step since which consent admits it; None: it does not."""
    before: int | None = None
    """`since` before the last step."""
    ever_admitted: bool = False
    ids: set[str] = Factory(set)
    came: dict[str, int] = field(factory=lambda: defaultdict(int))
    """How often each destination was given it."""

    @property
    def marker(self) -> str:
        """A text in it that no other event has."""
        return f"marker<{self.n}>"


@define
class Work:
    """A command: "push" of an event, "consent" that is `granted` or not, or "forget"."""

    name: str
    user: User
    granted: bool = False
    event: Event | None = None

    @property
    def command(self) -> tuple[Any, ...]:
        """The command as an actor is told."""
        if self.event is None:
            more: tuple[Any, ...] = (self.granted,) if self.name == "consent" else ()
            return self.name, named(self.user), *more
        event = self.event
        data = {"n": event.n, "kind": event.kind, "text": event.marker}
        return (
            "push", named(self.user), data, {} if event.own is None else {"marketing": event.own}
        )  # fmt: skip


def named(user: User) -> User:
    """Return identifiers that a search of raw bytes finds and nothing else."""
    return {kind: f"{kind}<{name}>" for kind, name in user.items()}


def apply(model: Model, work: Work) -> set[str]:
    """Change the model of people as a command does; return the people that it concerns."""
    keys = identifiers(work.user)
    if work.name == "forget":
        addressed = model.addressed(keys)
        model.erase(addressed)
        return addressed
    person = model.identify(keys)
    if work.event is None:
        numbers = [n for said in model.said.values() for n, _ in said.values()]
        model.say(person, work.granted, 1 + max(numbers, default=0))
    else:
        key = str(work.event.n)
        model.filed.append((key, person))
        if work.event.own is not None:
            model.own[key] = work.event.own
    return {person}


def commute(model: Model, works: Sequence[Work]) -> bool:
    """Return whether commands have the same effect forwards and backwards."""
    results = []
    for order in (works, works[::-1]):
        result = copy.deepcopy(model)
        for work in order:
            apply(result, work)
        said = {
            person: {key: yes for key, (_, yes) in theirs.items()}
            for person, theirs in result.said.items()
        }
        results.append((result.owners, result.currents, said, sorted(result.filed)))
    return results[0] == results[1]


class Expected:
    """What is known of all events; every fault of a line of the journal is an AssertionError."""

    def __init__(self) -> None:
        self.people = Model()
        self.events: dict[int, Event] = {}
        self.mended: set[int] = set()
        """The "bad" events that no destination refuses any more."""
        self.forbidden: dict[int, str] = {}
        """The events that no call may begin with any more, at those that ask for consent."""
        self.traces: set[str] = set()
        """Texts that must not be on disk any more when an erasure has returned."""
        self.admitted: set[int] = set()
        """Events that are admitted at some moment of this step."""
        self.step = 0
        self.kills = 0
        self.history: list[str] = []
        """Commands, and lines of the journal, as far as they are known to be in this order."""

    def note(self, *what: Any) -> None:
        self.history.append(" ".join(map(str, what)))

    @property
    def left(self) -> list[Event]:
        """The events that were not erased."""
        return [event for event in self.events.values() if not event.erased]

    def person(self, event: Event) -> str:
        return next(person for n, person in self.people.filed if n == str(event.n))

    def allows(self, event: Event) -> bool:
        return self.people.allows((str(event.n), self.person(event)))

    def is_bad(self, event: Event) -> bool:
        return event.kind == "bad" and event.n not in self.mended

    # --- commands --------------------------------------------------------------------------

    def begin(self, works: Iterable[tuple[int, Work]]) -> None:
        """Note the commands of processes that begin now: what they allow may come from now on."""
        self.step += 1
        works = list(works)
        self._admit_in_between([work for _, work in works])
        for by, work in works:
            self.note("step", self.step, "process", by, *work.command)
            keys = set(self._keys_of(work)) if work.name == "forget" else set()
            apply(self.people, work)
            if work.event is not None:
                self._add(work.event, by)
            elif work.name == "forget":
                self._erase(keys)
        for event in self.left:
            if self.allows(event):
                self.forbidden.pop(event.n, None)

    def _admit_in_between(self, works: Sequence[Work]) -> None:
        """Note the events that are admitted at a moment between commands, whoever is first."""
        self.admitted = set()
        for order in (works, works[::-1]):
            people = copy.deepcopy(self.people)
            for work in order:
                apply(people, work)
                self.admitted |= {int(item[0]) for item in people.filed if people.allows(item)}

    def _keys_of(self, work: Work) -> set[str]:
        people = self.people.addressed(identifiers(work.user))
        return people | {key for key, owner in self.people.owners.items() if owner in people}

    def _add(self, event: Event, by: int) -> None:
        event.step, event.by, event.kills = self.step, by, self.kills
        person = self.person(event)
        event.after = [
            other
            for other in self.left
            if (other.step < event.step or other.by == event.by) and self.person(other) == person
        ]
        self.events[event.n] = event

    def _erase(self, keys: set[str]) -> None:
        filed = {int(n) for n, _ in self.people.filed}
        for event in self.left:
            if event.n not in filed:
                event.erased = True
                self.traces.add(event.marker)
        known = {*self.people.owners, *self.people.currents, *self.people.said}
        known |= {key for event in self.left for key in identifiers(event.user)}
        for key in keys - known:
            kind, _, name = key.partition(":")
            self.traces.add(named({kind: name})[kind])

    def end(self, works: Sequence[Work], lines: Iterable[Line], *, in_flight: bool) -> None:
        """Note that these commands have returned, and what has come before: they forbid now.

        `in_flight`: calls of before may go on.
        """
        for event in self.left:
            event.before = event.since
            if not self.allows(event):
                event.since = None
            elif event.since is None:
                event.since = self.step
            event.ever_admitted |= event.since is not None or event.n in self.admitted
        self.read(lines)
        for event in self.events.values():
            if event.erased and any(work.name == "forget" for work in works):
                self.forbidden[event.n] = "erased"
        for work in works:
            if work.name == "consent" and not in_flight:
                self._forbid_denied(self.people.current(identifiers(work.user)[0]))

    def _forbid_denied(self, person: str | None = None) -> None:
        for event in self.left:
            if event.since is None and person in (None, self.person(event)):
                self.forbidden[event.n] = "denied"

    # --- deliveries ------------------------------------------------------------------------

    def read(self, lines: Iterable[Line]) -> None:
        """Check each line of the journal."""
        for line in lines:
            self.note("   ", *line)
            event = self.events[line.n]
            event.ids.add(line.id)
            assert len(event.ids) == 1, f"doubled: {line}"
            if line.what == "began":
                why = self.forbidden.get(line.n)
                assert not why or (why == "denied" and line.destination == "all"), (why, line)
                continue
            if not event.came[line.destination]:
                self._check_order(event, line)
            event.came[line.destination] += 1
            often = event.came[line.destination]
            assert often <= 1 + self.kills - event.kills, f"sent {often} times: {line}"

    def _check_order(self, event: Event, line: Line) -> None:
        for earlier in event.after:
            if earlier.came[line.destination] or earlier.kind == "bad" or event.kind == "bad":
                continue
            if earlier.certain and not earlier.erased:
                overtakes = line.destination == "all" or self._goes_first(earlier, event)
                assert not overtakes, f"{line} before {earlier.n}"
        if not event.certain:
            overtaken = [
                other.n
                for other in self.events.values()
                if event in other.after and other.came[line.destination] and other.kind != "bad"
            ]
            assert line.destination == "asks" or not overtaken, f"{line} after {overtaken}"

    def _goes_first(self, earlier: Event, event: Event) -> bool:
        """Return whether consent has admitted the earlier one at least as long."""
        since = event.since if event.since is not None else event.before
        if earlier.since is None or since is None:
            return False
        if earlier.since == since:  # released together, unless one came as the other was released
            return event.step < since or earlier.step == event.step
        return earlier.since < since

    # --- quiet -----------------------------------------------------------------------------

    @property
    def owed(self) -> list[tuple[str, int]]:
        """What has to come and has not, as the destination and the event's number."""
        return [
            (destination, event.n)
            for event in self.left
            for destination in ("all", "asks")
            if event.certain and not event.came[destination] and not self.is_bad(event)
            if destination == "all" or event.since is not None
        ]

    def check_quiet(self) -> None:
        """Check that everything has come that has to, now that nothing waits."""
        for event in list(self.events.values()):
            if not event.certain and not event.came["all"] and not event.erased:
                del self.events[event.n]  # it was never accepted
                self.people.filed = [item for item in self.people.filed if item[0] != str(event.n)]
        for event in self.left:
            event.certain = True
            came, bad = event.came, self.is_bad(event)
            assert bool(came["all"]) != bad, f"lost at all: {event.n}"
            if event.since is not None and not bad:
                assert came["asks"], f"lost at asks: {event.n}"
            assert not came["asks"] or event.ever_admitted, f"never admitted: {event.n}"
        self._forbid_denied()

    def check_dead(self, dead: Iterable[tuple[str, int]]) -> None:
        """Check which events are dead letters."""
        found = set(dead)
        bad = [event for event in self.left if self.is_bad(event)]
        certainly = {("all", event.n) for event in bad}
        certainly |= {("asks", event.n) for event in bad if event.since is not None}
        assert certainly <= found
        assert found <= certainly | {("asks", event.n) for event in bad if event.ever_admitted}

    def figures(self, dead: Iterable[tuple[str, int]]) -> dict[str, Any]:
        """Return the figures of a quiet spool with these dead letters."""
        found = list(dead)
        asks = {event.n for event in self.left if not event.came["asks"]}
        dead_at = {at: {n for where, n in found if where == at} for at in ("all", "asks")}
        return {
            "stored": len(asks | dead_at["all"]),
            "all": (0, 0, len(dead_at["all"])),
            "asks": (0, len(asks - dead_at["asks"]), len(dead_at["asks"])),
        }
