"""Eight threads that push, agree, withdraw, erase and ask, with destinations that do all wrong."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, Final

import orjson
from attrs import Factory, define, field

from tests.core.support import MARKETING, PATIENCE, WITHDRAWN, config, event, flow, plugin
from tests.fuzz.wrong import (
    GIVEN_UP,
    LIMIT,
    Deliveries,
    Wrong,
    erasures_that_wait,
    short_pauses,
)
from tests.support import join
from walker_collector import Collector, PushResult, WalkerError
from walker_collector.config import BatchConfig, BreakerConfig, RetryConfig

THREADS: Final = 8
PEOPLE: Final = 3
"""People of each thread. What one person says and does is in the order of one thread."""
ROUND: Final = 100
"""Events of a round; after each there is a pause, or the process starts anew."""
GATED, OPEN = "gated", "open"
HOW: Final[dict[str, Any]] = {
    "retry": RetryConfig(base=1, cap=20, attempts=8),
    "breaker": BreakerConfig(threshold=5, cooldown=5),
}


@define(eq=False)
class Person:
    """What one person did and said, as their thread knows it."""

    name: str
    pushed: list[int] = Factory(list)
    known: bool = False
    """Whether session and id are known to be theirs, both."""
    granted: bool = False
    denied: list[list[float]] = Factory(list)
    """From when to when a withdrawal was in force, for sure."""
    allowed: set[int] = Factory(set)
    """Events that a grant was in force for, at some time."""
    erased: dict[int, float] = Factory(dict)
    """Events that an erasure was about, and when it had returned."""


@define(eq=False)
class Stress:
    """One run; `found` are violations."""

    seed: int
    spool: Path | None
    rounds: int = 4
    found: list[str] = Factory(list)
    deliveries: Deliveries = Factory(Deliveries)
    replayed: set[int] = Factory(set)
    _numbers: Iterator[int] = Factory(count)
    _carried: Counter[str] = Factory(Counter)
    """What waited, was held or was not recorded when the last process ended, by destination."""
    _unrecorded: int = 0
    """Deliveries under way, or not recorded, when a process ended: these may come again."""
    _inside_pushes: int = 0
    people: list[list[Person]] = field(init=False)
    wrong: dict[str, Wrong] = field(init=False)
    collector: Collector = field(init=False)

    @people.default
    def _people(self) -> list[list[Person]]:
        return [[Person(f"p{t}-{k}") for k in range(PEOPLE)] for t in range(THREADS)]

    @wrong.default
    def _wrong(self) -> dict[str, Wrong]:
        return {
            name: Wrong(name, self.deliveries, random.Random(self.seed * 2 + at), self._inside)
            for at, name in enumerate((GATED, OPEN))
        }

    def run(self) -> None:
        """Do all rounds, have the destinations recover, and check what must hold."""
        # In every other run, an erasure hardly waits for what is in flight.
        patience = 30.0 if self.seed % 2 else 0.002
        with short_pauses(), erasures_that_wait(patience):
            self.collector = self._start()
            for number in range(self.rounds):
                self._round(number)
                self._check_figures()
                if self.spool and number % 2:
                    self._restart()
            for wrong in self.wrong.values():
                wrong.mend()
            self._finish()

    # --- the collector ---------------------------------------------------------------------

    def _start(self) -> Collector:
        gated, open_ = self.wrong[GATED], self.wrong[OPEN]
        open_.hangs = True
        hooks: dict[str, Any] = {"init": gated.init, "shutdown": gated.shutdown}
        there = {
            GATED: (
                plugin(None, gated.push_batch, consent=gated.consent, linger=1, **hooks),
                config(consent=MARKETING, concurrency=4, batch=BatchConfig(size=7, wait=1), **HOW),
            ),
            OPEN: (
                plugin(open_.push, shutdown=open_.shutdown, concurrency=3),
                config(timeout=int(LIMIT * 1000), **HOW),
            ),
        }
        return Collector(flow(there, self.spool, close_timeout=int(GIVEN_UP * 1000)))

    def _restart(self) -> None:
        self.collector.close(GIVEN_UP)
        left = self.collector.status().destinations
        self._unrecorded += sum(f.in_flight + f.unrecorded for f in left.values())
        self._carried = Counter(
            {name: f.waiting + f.held + f.unrecorded for name, f in left.items()}
        )
        self.collector = self._start()

    def _inside(self) -> None:
        """Push, agree, erase and ask from inside a hook: an answer at once, or a typed error."""
        n = next(self._numbers)
        collector, user = self.collector, {"id": f"inside{n}"}
        made = event(n, user=user, data={"n": n, "person": user["id"]})
        calls: tuple[Callable[[], object], ...] = (
            lambda: collector.push({**made, "data": {**made["data"], "n": -1}}, wait=True),
            lambda: collector.push(made),
            lambda: collector.consent(MARKETING, user=user),
            lambda: collector.forget(user),
            lambda: collector.flush(PATIENCE),
            lambda: collector.status(),
            lambda: collector.forget_soon(user),
        )
        self._inside_pushes += 1
        for call in calls:
            with suppress(WalkerError):
                call()

    # --- threads ---------------------------------------------------------------------------

    def _round(self, number: int) -> None:
        threads = [
            threading.Thread(
                target=self._guarded, args=(mine, random.Random((self.seed, number, at).__hash__()))
            )
            for at, mine in enumerate(self.people)
        ]
        for thread in threads:
            thread.start()
        join(*threads, timeout=60)

    def _guarded(self, mine: list[Person], chance: random.Random) -> None:
        try:
            for _ in range(ROUND // THREADS):
                self._step(chance.choice(mine), chance)
        except BaseException as error:
            self.found.append(f"a call raised {error!r}")

    def _step(self, person: Person, chance: random.Random) -> None:
        steps: list[tuple[Callable[[Person, random.Random], None], int]] = [
            (self._push, 60),
            (self._push_many, 10),
            (self._say, 15),
            (self._erase, 4),
            (self._look, 5),
            (self._replay, 3),
        ]
        kinds, weights = zip(*steps, strict=True)
        chance.choices(kinds, weights)[0](person, chance)

    def _event(self, person: Person, chance: random.Random) -> dict[str, Any]:
        n = next(self._numbers)
        session, id_ = {"session": f"s-{person.name}"}, {"id": person.name}
        both = {**session, **id_}
        user = chance.choice((session, id_, both)) if person.known else both
        person.known = True
        person.pushed.append(n)
        if person.granted:
            person.allowed.add(n)
        return {**event(n, user=user), "data": {"n": n, "person": person.name}}

    def _push(self, person: Person, chance: random.Random) -> None:
        made = self._event(person, chance)
        result = self.collector.push(made, wait=chance.random() < 0.1)
        if result.destinations.keys() != {GATED, OPEN}:
            self.found.append(f"answer to {made}: {result}")

    def _push_many(self, person: Person, chance: random.Random) -> None:
        made = [self._event(person, chance) for _ in range(chance.randrange(1, 6))]
        results = self.collector.push_many(made)
        if not all(isinstance(result, PushResult) for result in results):
            self.found.append(f"answers to {made}: {results}")

    def _say(self, person: Person, chance: random.Random) -> None:
        if chance.random() < 0.5:
            # A grant may show before the call returns.
            person.granted = True
            self._end_denial(person)
            person.allowed |= {n for n in person.pushed if n not in person.erased}
            self.collector.consent(MARKETING, user={"id": person.name})
        else:
            self.collector.consent(WITHDRAWN, user={"id": person.name})
            person.granted = False
            person.denied.append([time.monotonic(), float("inf")])

    @staticmethod
    def _end_denial(person: Person) -> None:
        for denial in person.denied:
            denial[1] = min(denial[1], time.monotonic())

    def _erase(self, person: Person, chance: random.Random) -> None:
        self._end_denial(person)  # it is erased as well
        self.collector.forget({"id": person.name})
        now = time.monotonic()
        person.erased.update({n: now for n in person.pushed if n not in person.erased})
        person.known = person.granted = False

    def _look(self, person: Person, chance: random.Random) -> None:
        self.collector.status()
        self.collector.flush(0.01)
        self.collector.dead()

    def _replay(self, person: Person, chance: random.Random) -> None:
        letters = self.collector.dead()[:5]
        self.replayed |= {number_of(letter) for letter in letters}
        self.collector.replay(letters)

    # --- what must hold --------------------------------------------------------------------

    def _check_figures(self) -> None:
        """Figures add up where nothing moves."""
        self.collector.flush(2)
        for name, f in self.collector.status().destinations.items():
            came = f.accepted + f.replayed + f.requeued + self._carried[name]
            ended = f.delivered + f.ignored + f.empty + f.died + f.dropped + f.erased
            ended += f.notified
            left = came - ended - f.waiting - f.held
            # An erasure that the last process had begun is finished before this one counts.
            unknown = self._inside_pushes if self._carried else 0
            if f.in_flight == 0 and not 0 <= left <= unknown:
                self.found.append(f"{name}: {left} in no figure: {f}")

    def _finish(self) -> None:
        if self.spool:
            self._restart()
        if not self.collector.flush(PATIENCE):
            self.found.append(f"does not end: {self.collector.status()}")
        self._check_figures()
        for name in (GATED, OPEN):
            self._check_destination(name)
        if not self.collector.close(PATIENCE):
            self.found.append("something is left")

    def _check_destination(self, name: str) -> None:
        succeeded = self.deliveries.succeeded[name]
        times = Counter(n for n, _ in succeeded)
        doubled = [n for n, many in times.items() if many > 1 and n not in self.replayed]
        doubled = [n for n in doubled if n not in self.deliveries.late]
        if len(doubled) > self._unrecorded:
            self.found.append(f"{name}: delivered twice: {doubled}")
        dead = Counter(number_of(letter) for letter in self.collector.dead(name))
        both = {n for n in dead if n in times} | {n for n, many in dead.items() if many > 1}
        if both:
            self.found.append(f"{name}: dead and delivered, or dead twice: {sorted(both)}")
        ended = {*times, *dead, *self.deliveries.empty[name]}
        held = 0
        for person in (person for mine in self.people for person in mine):
            held += self._check_person(name, person, ended)
        if held != self.collector.status_of(name).held:
            self.found.append(f"{name}: {held} should be held: {self.collector.status_of(name)}")

    def _check_person(self, name: str, person: Person, ended: set[int]) -> int:
        """Check the fates of a person's events, and return how many must be held."""
        missing = {*person.pushed} - ended - person.erased.keys()
        held = set() if name == OPEN or person.granted else missing
        if missing - held:
            self.found.append(f"{name}: lost of {person.name}: {sorted(missing - held)}")
        came = [
            n
            for n, whose in self.deliveries.succeeded[name]
            if whose == person.name and n not in self.replayed
        ]
        order = list(dict.fromkeys(came))  # the first time of those that came again
        if order != sorted(order):
            self.found.append(f"{name}: out of order of {person.name}: {order}")
        begun = [call for call in self.deliveries.begun if call.person == person.name]
        late = [call for call in begun if call.at > person.erased.get(call.n, float("inf"))]
        self.found += [f"began after the erasure: {call}" for call in late]
        if name == GATED:
            self.found += [
                f"began {call.at - start:.4f} s after a withdrawal: {call}"
                for call in begun
                for start, end in person.denied
                if call.destination == GATED and start < call.at < end
            ]
            refused = {call.n for call in begun if call.destination == GATED} - person.allowed
            if refused:
                self.found.append(f"without consent of {person.name}: {sorted(refused)}")
        return len(held)


def number_of(letter: Any) -> int:
    """Return the number of a dead letter's event."""
    found: int = orjson.loads(letter.body)["data"]["n"]
    return found
