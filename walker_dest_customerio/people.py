"""What was last said about whom."""

from collections import OrderedDict
from threading import Lock
from typing import Protocol


class Known(Protocol):
    """What is known to be identified: a person's last attributes, as a fingerprint."""

    def recall(self, person: str) -> int | None:
        """Return the fingerprint of the attributes last identified, or None."""

    def remember(self, person: str, fingerprint: int) -> None:
        """Note what a person was identified with."""

    def forget(self, person: str) -> None:
        """Note that nothing is known of a person any more."""


class People:
    """The memory of a destination: the fingerprints of the `limit` people seen last.

    Safe to use from several threads.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._fingerprints: OrderedDict[str, int] = OrderedDict()
        self._lock = Lock()

    def recall(self, person: str) -> int | None:
        # Without the lock, which would take twice as long as the rest: each of the calls is safe by
        # itself, and who is forgotten in between is rightly not known any more.
        try:
            self._fingerprints.move_to_end(person)
        except KeyError:
            return None
        return self._fingerprints.get(person)

    def remember(self, person: str, fingerprint: int) -> None:
        with self._lock:
            self._fingerprints[person] = fingerprint
            self._fingerprints.move_to_end(person)
            if len(self._fingerprints) > self._limit:
                self._fingerprints.popitem(last=False)

    def forget(self, person: str) -> None:
        with self._lock:
            self._fingerprints.pop(person, None)


class Draft:
    """What will be known once the events planned so far are delivered; the base stays as it is."""

    def __init__(self, base: Known) -> None:
        self._base = base
        self._changes: dict[str, int | None] = {}

    def recall(self, person: str) -> int | None:
        changes = self._changes
        return changes[person] if person in changes else self._base.recall(person)

    def remember(self, person: str, fingerprint: int) -> None:
        self._changes[person] = fingerprint

    def forget(self, person: str) -> None:
        self._changes[person] = None
