"""From planned operations to Customer.io, through the official SDK's clients.

`batch` puts many operations into a request (Track v2), `single` makes one SDK call for each.
Transactional messages always go one by one. Nothing is retried here: each job's error says how.
"""

from collections.abc import Sequence
from operator import attrgetter
from typing import Literal

from walker_dest_customerio.batches import waves
from walker_dest_customerio.clients import Clients
from walker_dest_customerio.jobs import Job, Task, conclude, left_of
from walker_dest_customerio.rounds import Round

__all__ = ["Delivery", "Job"]


class Delivery:
    """Delivers jobs through the clients; one instance may serve several threads."""

    def __init__(self, clients: Clients, mode: Literal["batch", "single"] = "batch") -> None:
        self._clients = clients
        self._mode = mode

    def deliver(self, jobs: Sequence[Job]) -> list[Exception]:
        """Do the operations of all jobs, each job's in order, each person's jobs in order.

        Each job's `done` and `error` tell what became of it. A refused operation stops no other.
        Behind one that is undecided, nothing of the same person is begun; where an API cannot be
        reached or asks to wait, nothing more is sent to it. Returns the errors that stopped one.
        """
        round_ = Round(self._clients)
        tasks = [Task(job, operation) for job in jobs for operation in left_of(job)]
        if self._mode == "single":
            for task in tasks:
                round_.alone(task)
        else:
            round_.write(tasks)
            ready = [task for task in tasks if task.error is None]
            for wave in waves(ready, attrgetter("is_alone"), attrgetter("people")):
                round_.wave(wave)
        for job in jobs:
            conclude(job)
        return list(round_.halted.values())

    def close(self) -> None:
        """Close the connections."""
        self._clients.close()
