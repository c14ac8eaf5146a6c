"""The health of destinations beside their leases, from one holder of a lease to the next."""

import json
from pathlib import Path
from typing import Final

import attrs

from walker_collector.spool import damage
from walker_collector.spool.deliverer import DestinationHealth
from walker_collector.text import storable

TOKEN_BYTES: Final = 16
"""Bytes of the holder's token, which stands before the health."""
_HEALTH_BYTES: Final = 10_000


class LeaseHealth:
    """The health that this process publishes for each destination.

    Until it has delivered, or failed to, the last failure that another process has left stays.
    """

    def __init__(self) -> None:
        self._own: dict[str, DestinationHealth] = {}
        self._left: dict[str, DestinationHealth] = {}

    def note_left(self, destination: str, left: DestinationHealth | None) -> None:
        """Note the health beside a lease that is taken over."""
        known = self._left.get(destination)
        if left is not None and left.reason and (known is None or known.since < left.since):
            self._left[destination] = attrs.evolve(left, state="idle", until=0)

    def note_own(self, destination: str, health: DestinationHealth) -> None:
        """Note how deliveries of this process go."""
        self._own[destination] = health

    def text(self, destination: str) -> bytes:
        """Return the health to be written beside the leases of a destination, as JSON."""
        health, left = self._own.get(destination), self._left.get(destination)
        if left is not None and (health is None or (health.state == "idle" and not health.reason)):
            health = left
        text = json.dumps(attrs.asdict(health)).encode() if health else b""
        return text if len(text) <= _HEALTH_BYTES else b""


def read_health(path: Path) -> DestinationHealth | None:
    """Return the health in a lease file; None: there is none, or it is just being written."""
    try:
        with path.open("rb") as file:
            file.seek(TOKEN_BYTES)
            return health_of(file.read(_HEALTH_BYTES))
    except OSError:
        return None


def health_of(text: bytes | str) -> DestinationHealth | None:
    """Return a health from its JSON; None: there is none, or it is damaged."""
    try:
        about = json.loads(text)
        return DestinationHealth(
            storable(about["state"]),
            storable(about["reason"]),
            damage.number(about["since"]),
            damage.number(about["until"]),
        )
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
