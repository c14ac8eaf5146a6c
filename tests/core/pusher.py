"""A process that pushes numbered events through a spool, until it is done or killed.

    python -m tests.core.pusher FOLDER COUNT PEOPLE START SEED

Prints how many events are accepted, after each. Every delivery is a line of FOLDER/out, written
at once: event id, person, number. Deliveries fail now and then, in an order that SEED decides.
"""

import os
import random
import sys
from pathlib import Path
from typing import Any

from tests.core.support import config, flow, plugin
from walker_collector import Collector, RetryLater
from walker_collector.config import RetryConfig


def event(n: int, people: int) -> dict[str, Any]:
    """Return the event of a number; pushed again after a crash, it is the same event."""
    return {
        "name": "order complete",
        "id": f"{n:016x}",
        "data": {"n": n},
        "user": {"id": f"u{n % people}"},
    }


def destination(out: Path, seed: int) -> type:
    """Return a destination that keeps what it is given in a file, and fails at random."""
    chance = random.Random(seed)
    file = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def push(event: dict[str, Any], context: Any) -> None:
        if chance.random() < 0.01:
            raise RetryLater("busy")
        line = f"{event['id']} {event['user']['id']} {event['data']['n']}\n"
        os.write(file, line.encode())

    return plugin(push)


def main() -> None:
    folder = Path(sys.argv[1])
    count, people, start, seed = map(int, sys.argv[2:6])
    retry = RetryConfig(base=1, cap=5)
    there = (destination(folder / "out", seed), config(concurrency=2, retry=retry))
    with Collector(flow({"there": there}, folder / "spool.db")) as collector:
        for n in range(start, count):
            collector.push(event(n, people))
            print(n + 1, flush=True)
        print("drained" if collector.flush(timeout=60) else "stuck", flush=True)


if __name__ == "__main__":
    main()
