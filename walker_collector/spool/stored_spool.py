"""The protocols of a spool on disk for commands: its stored events, and the processes that deliver.

They may look through the whole spool, which collectors at work never do.
"""

from collections.abc import Collection, Iterable
from typing import Protocol

from walker_collector.spool.base import State
from walker_collector.spool.deliverer import Deliverer, Member
from walker_collector.spool.engine_protocol import DurableSpool
from walker_collector.spool.stored_delivery import StoredDelivery


class StoredEvents(Protocol):
    """Finds stored events by id or person."""

    def with_text(self, text: str) -> list[StoredDelivery]:
        """Return the deliveries of events with this string in their JSON, such as their id."""

    def of_people(self, keys: Collection[str], limit: int) -> list[StoredDelivery]:
        """Return the deliveries of the latest events filed under these keys, latest first."""

    def retries(self, keys: Collection[str]) -> list[StoredDelivery]:
        """Return the deliveries that wait for a retry, of events under these keys, in order."""

    def counts(self, keys: Collection[str]) -> dict[tuple[str, State], int]:
        """Return the number of events under these keys for each destination and state."""

    def calls_with(self, keys: Collection[str]) -> dict[str, str]:
        """Return the destinations with a call under way for these people, and its process."""


class Observer(Protocol):
    """The deliverers of a spool, for a process without a part in its deliveries."""

    def deliverers(self, destination: str) -> dict[int, Deliverer]:
        """Return the deliverer of each shard of a destination for which there ever was one."""

    def deliveries(self, destinations: Iterable[str]) -> list[tuple[Member, list[str]]]:
        """Return the living processes, oldest first, each with its destinations of now.

        Looked for are these destinations, and those that any of the processes can deliver to.
        """


class StoredSpool(DurableSpool, Protocol):
    """A durable spool with the questions of commands."""

    @property
    def observer(self) -> Observer:
        """The deliverers of the spool."""

    def destinations(self) -> set[str]:
        """Return every destination that an event was ever stored for."""

    def oldest(self) -> dict[str, tuple[int, int]]:
        """Return two figures for each destination with waiting events.

        They are the time of acceptance of the oldest (ms), and the number of those that wait for a
        retry.
        """

    def usage(self) -> tuple[int, int]:
        """Return the number of events kept, and their bytes, which the spool's bounds are for."""

    def stored_events(self) -> StoredEvents:
        """Return the queries over single events and people."""

    def compact(self) -> None:
        """Leave the stored rows alone in the store; see `scrub`. Raises SpoolError."""
