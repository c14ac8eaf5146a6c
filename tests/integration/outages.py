"""Events through a collector into the emulator while it goes wrong, and what must hold after."""

import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
from attrs import field, frozen

from tests.emulator import Emulator, Fault, Poison, Refuse, outage
from tests.emulator.arrivals import doubles, inversions, number_of, numbers
from tests.emulator.faults import PASSING
from walker_collector import Collector, DeadLetter

NUMBERED = {"map": {"n": "data.n"}}
MESSAGE = {
    "map": {
        "to": "user.email",
        "transactional_message_id": {"value": 3},
        "identifiers": {"map": {"id": "user.id"}},
        "message_data": NUMBERED,
    }
}
MAPPING = {
    "order": {"complete": {"data": NUMBERED, "settings": {"sendEmail": MESSAGE}}},
    "cart": {"add": {"data": NUMBERED}},
}
DOUBT = "may have been sent"


@frozen
class Outage:
    """How it goes: `seed` decides the script and who is poisonous.

    mode: Customer.io's `delivery`; workers: deliveries under way at once.
    mails: every so many events one is an order with a mail; 0: none.
    """

    seed: int
    mode: str = "batch"
    workers: int = 4
    durable: bool = False
    events: int = 400
    people: int = 40
    mails: int = 10
    requests: int = 26
    faults: Sequence[Fault] = field(default=(*PASSING, Refuse(), Refuse(indexed=False)))

    @property
    def script(self) -> list[Fault | None]:
        """How requests to the Track API go wrong."""
        return outage(self.seed, self.requests, faults=self.faults)

    @property
    def messages(self) -> list[Fault | None]:
        """How messages go wrong."""
        return outage(self.seed + 1, 10, share=0.5, faults=self.faults)

    @property
    def poison(self) -> list[Poison]:
        """Two people whose requests fail for a while, each in a way of their own."""
        chance = random.Random(self.seed)
        ills = [fault for fault in self.faults if not isinstance(fault, Refuse)]
        return [
            Poison(_of(f"id:u{chance.randrange(self.people)}"), chance.choice(ills), times=4)
            for _ in range(2)
        ]

    def flow(self, emulator: Emulator, folder: Path) -> dict[str, Any]:
        """Return the flow as a file has it; it tries again quickly."""
        settings = emulator.settings(
            delivery=self.mode,
            timeout=2_000,
            # Every event changes its person, so that identifies have an order to keep as well.
            identify={"map": {"email": "user.email", "n": "data.n"}},
        )
        config = {
            "settings": settings,
            "mapping": MAPPING,
            "concurrency": self.workers,
            "retry": {"base": 5, "cap": 100},
            "breaker": {"threshold": 3, "cooldown": 50},
        }
        spool = {"spool": {"path": str(folder / "spool.db")}} if self.durable else {}
        return {
            "collector": spool,
            "destinations": {"customerio": {"package": "customerio", "config": config}},
        }

    def event(self, n: int) -> dict[str, Any]:
        """Return the event of a number; people take turns in an order of their own."""
        person = f"u{(n * 7 + n // self.people) % self.people}"
        mail = self.mails and n % self.mails == 0
        return {
            "name": "order complete" if mail else "cart add",
            "data": {"n": n},
            "user": {"id": person, "email": f"{person}@example.com"},
        }


def _of(person: str) -> Any:
    return lambda operation: operation.person == person


def run(outage: Outage, folder: Path) -> tuple[Emulator, list[DeadLetter]]:
    """Push all events in bursts and wait until they are out; return what arrived and what died."""
    server = Emulator(folder, outage.script, outage.poison, outage.messages)
    with server as emulator, Collector.from_config(outage.flow(emulator, folder)) as collector:
        burst = max(1, outage.events // 8)
        for start in range(0, outage.events, burst):
            some = range(start, min(start + burst, outage.events))
            collector.push_many([outage.event(n) for n in some])
        assert collector.flush(timeout=60), collector.status()
        return emulator, collector.dead()


def faults_of(outage: Outage, emulator: Emulator, dead: Iterable[tuple[int, str]]) -> list[str]:
    """Name everything that went wrong; `dead` are numbers and reasons of dead letters."""
    accepted, reasons = emulator.accepted, dict(dead)
    found = list(emulator.violations)
    found += [f"order: {text}" for text in inversions(accepted)]
    found += [f"order of identifies: {text}" for text in inversions(accepted, "identify")]
    found += [f"double: {text}" for text in doubles(accepted)]
    found += _lost(outage, emulator, reasons)
    refused = {number_of(operation) for operation in emulator.refused}
    for n, reason in reasons.items():
        if n not in refused and DOUBT not in reason:
            found.append(f"dead: {n}: {reason}")
    return found


def _lost(outage: Outage, emulator: Emulator, reasons: dict[int, str]) -> Iterator[str]:
    """Name what was neither accepted nor, as a dead letter says, refused or doubtful."""
    wanted = {"event": range(outage.events), "identify": range(outage.events)}
    if outage.mails:
        wanted["send_email"] = range(0, outage.events, outage.mails)
    for action, pushed in wanted.items():
        here = numbers(emulator.accepted, action) | numbers(emulator.refused, action)
        for n in sorted({*pushed} - here):
            if action != "send_email" or DOUBT not in reasons.get(n, ""):
                yield f"lost: {action} {n}"
        for n in sorted(numbers(emulator.refused, action) - {*reasons}):
            yield f"refused and forgotten: {action} {n}"


def numbered(letters: Iterable[DeadLetter]) -> list[tuple[int, str]]:
    """Return number and reason of each dead letter."""
    return [(orjson.loads(letter.body)["data"]["n"], letter.reason) for letter in letters]
