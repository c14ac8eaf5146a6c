"""A process that pushes numbered events through a spool, and says which were accepted.

    python pusher.py FLOW COUNT PEOPLE START

Prints the number of accepted events after every group, so that whoever kills it knows what was
acknowledged. Ids and timestamps depend on the number alone: an event pushed again after a crash
is the same event.
"""

import sys
from collections.abc import Iterator
from typing import Any

from walker_collector import Collector, PushResult

GROUP = 100
BEGAN = 1_700_000_000_000


def event(number: int, people: int) -> dict[str, Any]:
    """Return the event of a number; people take turns."""
    return {
        "name": "order complete",
        "id": f"{number:016x}",
        "timestamp": BEGAN + number,
        "data": {"number": number},
        "user": {"id": f"u{number % people}", "email": f"u{number % people}@example.com"},
    }


def groups(start: int, count: int, people: int) -> Iterator[list[dict[str, Any]]]:
    """Return the events from `start` on, in groups."""
    for first in range(start, count, GROUP):
        yield [event(number, people) for number in range(first, min(first + GROUP, count))]


def main() -> None:
    flow, count, people, start = sys.argv[1], *map(int, sys.argv[2:5])
    done = start
    with Collector.from_file(flow) as collector:
        for group in groups(start, count, people):
            results = collector.push_many(group)
            assert all(isinstance(result, PushResult) for result in results), results
            done += len(group)
            print(done, flush=True)
        print("drained" if collector.flush(timeout=120) else "stuck", flush=True)


if __name__ == "__main__":
    main()
