"""Delivery of planned operations to Customer.io, through the official SDK's clients.

`batch` puts many operations into a request (Track v2), `single` makes one SDK call for each.
Transactional messages always go one by one. Nothing is retried here; each delivery's error tells
the collector whether to.
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
    """Delivers events through the clients; one instance may serve several threads."""

    def __init__(self, clients: Clients, mode: Literal["batch", "single"] = "batch") -> None:
        self._clients = clients
        self._mode = mode

    def deliver(self, deliveries: Sequence[EventDelivery]) -> list[Exception]:
        """Send the operations of all deliveries, in order for each event and each person.

        Sets `done`, `failed` and `error` of each delivery. A refused operation stops no other.
        After an undecided one, nothing more of the same person is sent; after an error of a whole
        API (unreachable, or it asks to wait), nothing more is sent there. Returns those errors.
        """
        sender = Sender(self._clients)
        tasks = [
            Task(delivery, operation)
            for delivery in deliveries
            for operation in remaining_operations(delivery)
        ]
        if self._mode == "single":
            for task in tasks:
                sender.send_single(task)
        else:
            sender.encode(tasks)
            ready = [task for task in tasks if task.error is None]
            for stage in stages(ready, attrgetter("is_exclusive"), attrgetter("people")):
                sender.send_stage(stage)
        for delivery in deliveries:
            conclude(delivery)
        return list(sender.halted.values())

    def close(self) -> None:
        """Close the connections."""
        self._clients.close()
