"""From planned operations to Customer.io, through the official SDK's clients.

`batch` puts many operations into a request (Track v2), `single` makes one SDK call for each.
Transactional messages always go one by one. Nothing is retried here: each job's error says how.
"""

from collections.abc import Sequence
from operator import attrgetter
from typing import Literal

from walker_dest_customerio.batches import stages
from walker_dest_customerio.clients import Clients
from walker_dest_customerio.event_delivery import (
    EventDelivery,
    Task,
    conclude,
    remaining_operations,
)
from walker_dest_customerio.sender import Sender

__all__ = ["Delivery", "EventDelivery"]


class Delivery:
    """Delivers jobs through the clients; one instance may serve several threads."""

    def __init__(self, clients: Clients, mode: Literal["batch", "single"] = "batch") -> None:
        self._clients = clients
        self._mode = mode

    def deliver(self, jobs: Sequence[EventDelivery]) -> list[Exception]:
        """Do the operations of all jobs, each job's in order, each person's jobs in order.

        Each job's `done` and `error` tell what became of it. A refused operation stops no other.
        Behind one that is undecided, nothing of the same person is begun; where an API cannot be
        reached or asks to wait, nothing more is sent to it. Returns the errors that stopped one.
        """
        sender = Sender(self._clients)
        tasks = [Task(job, operation) for job in jobs for operation in remaining_operations(job)]
        if self._mode == "single":
            for task in tasks:
                sender.send_single(task)
        else:
            sender.encode(tasks)
            ready = [task for task in tasks if task.error is None]
            for stage in stages(ready, attrgetter("is_exclusive"), attrgetter("people")):
                sender.send_stage(stage)
        for job in jobs:
            conclude(job)
        return list(sender.halted.values())

    def close(self) -> None:
        """Close the connections."""
        self._clients.close()
