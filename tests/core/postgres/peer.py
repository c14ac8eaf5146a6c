"""A process that delivers from a spool in PostgreSQL: see `tests/core/processes/peer.py`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import PIPE

from tests.core.processes.peer import ROOT, Peer, serve
from tests.support import program
from walker_collector.spool import Deliveries
from walker_collector.spool.postgres import Place
from walker_collector.spool.postgres.heard import HeardFigures
from walker_collector.spool.postgres.lease_session import IDLE
from walker_collector.spool.postgres.listener import Watcher
from walker_collector.spool.postgres.queries import Queries
from walker_collector.spool.postgres.session_membership import DeliveringMembership
from walker_collector.spool.postgres.sessions import Session


def member(
    place: Place, destinations: list[str], deliveries: Deliveries, idle: float = IDLE
) -> DeliveringMembership:
    """Return a member of a spool with one shard, which looks for no news."""
    queries = Queries(place.schema)
    never_opened = Session(place, place.url, queries)
    watcher = Watcher(never_opened, HeardFigures(never_opened), lambda: None, listens=False)
    watcher.close()
    return DeliveringMembership(place, queries, watcher, destinations, 1, deliveries, idle=idle)


@contextmanager
def peer(place: Place, *destinations: str, idle: float = IDLE) -> Iterator[Peer]:
    """Start such a process; `idle`: the seconds after which the server takes it for stopped."""
    command = [sys.executable, "-m", __name__, place.url, place.schema, idle, *destinations]
    with program(command, cwd=ROOT, stdin=PIPE, stdout=PIPE) as process:
        yield Peer(process)


def main() -> None:
    url, schema, idle, *destinations = sys.argv[1:]
    serve(lambda deliveries: member(Place(url, schema), destinations, deliveries, float(idle)))


if __name__ == "__main__":
    main()
