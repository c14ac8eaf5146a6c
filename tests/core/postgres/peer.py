"""A process that delivers from a spool in PostgreSQL: see `tests/core/processes/peer.py`."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import PIPE

from tests.core.processes.peer import ROOT, Peer, serve
from tests.support import program
from walker_collector.spool import Deliveries
from walker_collector.spool.postgres import Place
from walker_collector.spool.postgres.membership import DeliveringMembership
from walker_collector.spool.postgres.queries import Queries


@contextmanager
def peer(place: Place, *destinations: str, shards: int = 1, idle: float = 30.0) -> Iterator[Peer]:
    """Start such a process; `idle`: the seconds after which the server takes it for stopped."""
    command = [sys.executable, "-m", __name__, place.url, place.schema, idle, shards, *destinations]
    with program(command, cwd=ROOT, stdin=PIPE, stdout=PIPE) as process:
        yield Peer(process)


def main() -> None:
    url, schema, idle, shards, *destinations = sys.argv[1:]

    def member(deliveries: Deliveries) -> DeliveringMembership:
        place, queries = Place(url, schema), Queries(schema)
        return DeliveringMembership(
            place, queries, destinations, int(shards), deliveries, float(idle)
        )

    serve(member)


if __name__ == "__main__":
    main()
