"""A process that keeps leases: run as a program, it says what it takes over and gives up.

A line on its input ends its deliveries, until which it gives no lease up.
"""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Protocol

from tests.support import program, wait_until
from walker_collector.spool import Deliveries, Lease
from walker_collector.spool.processes.membership import file_keeper

ROOT = Path(__file__).parents[3]


class Peer:
    """The other end of such a program: `leases` are those that it holds."""

    def __init__(self, process: "Popen[str]") -> None:
        self.process = process
        self.leases: set[str] = set()
        self.said: list[str] = []
        self.is_there = False
        self.moves = 0
        """How often a lease came or went."""
        self.asked = 0
        """How often it was asked to give a lease up."""
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line.strip())
            what, _, lease = line.strip().partition(" ")
            self.is_there |= what == "there"
            self.moves += what in ("took", "gave")
            self.asked += what == "asked"
            if what == "took":
                self.leases.add(lease)
            elif what == "gave":
                self.leases.discard(lease)

    def __str__(self) -> str:
        state = "runs" if self.process.poll() is None else f"ended with {self.process.poll()}"
        return f"process {self.process.pid} {state}, said {self.said[-20:]}"

    def finish(self) -> None:
        """End the deliveries in flight."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def close(self) -> None:
        """Close in an orderly way."""
        self.process.communicate(timeout=20)


@contextmanager
def peer(spool: Path, *destinations: str, shards: int = 1, busy: bool = False) -> Iterator[Peer]:
    """Start such a process; `busy`: with deliveries in flight."""
    command = [sys.executable, "-m", __name__, spool, shards, int(busy), *destinations]
    with program(command, cwd=ROOT, stdin=PIPE, stdout=PIPE) as process:
        yield Peer(process)


def held(*peers: Peer) -> list[int]:
    """Return how many leases each holds."""
    return [len(item.leases) for item in peers]


def until_held(shares: list[int], *peers: Peer) -> None:
    """Wait until these processes hold as many leases, in any order."""
    wait_until(
        lambda: sorted(held(*peers)) == sorted(shares),
        lambda: f"{shares} leases: {'; '.join(map(str, peers))}",
    )


class Member(Protocol):
    """Keeps leases, until it is closed."""

    def start(self) -> None:
        """Take free leases."""

    def close(self) -> None:
        """Give all leases up."""


def serve(member: Callable[[Deliveries], Member], *, busy: bool = False) -> None:
    """Say what a member of a spool takes and gives up, until the input ends."""
    in_flight = [busy]

    def say(what: str, lease: Lease) -> None:
        print(f"{what} {lease.destination} {lease.shard}\n", end="", flush=True)  # as one

    def abandon(lease: Lease) -> bool:
        is_busy = in_flight[0]  # the main thread may end it meanwhile
        say("asked" if is_busy else "gave", lease)
        return not is_busy

    keeper = member(Deliveries(lambda lease: say("took", lease), abandon))
    keeper.start()
    print("there\n", end="", flush=True)
    for _ in sys.stdin:
        in_flight[0] = False
    keeper.close()


def main() -> None:
    spool, shards, busy, *destinations = sys.argv[1:]
    serve(
        lambda deliveries: file_keeper(Path(spool), destinations, int(shards), deliveries),
        busy=busy == "1",
    )


if __name__ == "__main__":
    main()
