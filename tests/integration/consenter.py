"""A process in which people grant, withdraw and do things, in an order that a seed decides.

    python consenter.py FLOW SEED COUNT PEOPLE START

Prints the number of steps done after each, so that whoever kills it knows what was acknowledged.
A step done again after a crash is the same step: a grant is a state, an event keeps its id.
"""

import random
import sys
from typing import Any

from walker_collector import Collector

BEGAN = 1_700_000_000_000
Step = tuple[str, int, bool]
"""What happens ("consent" or "event"), to whom, and for a consent whether it is granted."""


def steps(seed: int, count: int, people: int) -> list[Step]:
    """Return all steps; about one in three is a change of consent."""
    chance = random.Random(seed)
    return [
        (
            "consent" if chance.random() < 0.35 else "event",
            chance.randrange(people),
            chance.random() < 0.6,
        )
        for _ in range(count)
    ]


def event(number: int, person: int) -> dict[str, Any]:
    """Return the event of a step."""
    return {
        "name": "cart add",
        "id": f"{number:016x}",
        "timestamp": BEGAN + number,
        "data": {"n": number},
        "user": {"id": f"u{person}"},
    }


def main() -> None:
    flow, seed, count, people, start = sys.argv[1], *map(int, sys.argv[2:6])
    with Collector.from_file(flow) as collector:
        for number, (kind, person, granted) in enumerate(steps(seed, count, people)):
            if number < start:
                continue
            if kind == "consent":
                collector.consent({"marketing": granted}, user={"id": f"u{person}"})
            else:
                collector.push(event(number, person))
            print(number + 1, flush=True)
        print("drained" if collector.flush(timeout=120) else "stuck", flush=True)


if __name__ == "__main__":
    main()
