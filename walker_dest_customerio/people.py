"""Who a person is to Customer.io, and what was last said about whom."""

import math
from collections import OrderedDict
from threading import Lock
from typing import Any, Protocol

from walker_dest_customerio import limits

_CIO_ID = "cio_"


def identity(value: Any) -> str | None:
    """Return a mapped value as an identity: a string with something in it, or None.

    Numbers are identities as well (walkerOS takes strings only); a boolean is none.
    """
    if isinstance(value, str):
        return value or None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return str(int(value)) if value == int(value) else str(value)


def identifiers(person: str) -> dict[str, str]:
    """Return the identifier object of Track v2 for a customer id.

    Version 1 guesses from the shape of the id in its path whether it is an id, an email or a
    `cio_` id (Track API reference); the same person must be meant whichever API carries it.
    """
    if person[:4] == _CIO_ID:
        return {"cio_id": person[4:]}
    if "@" in person and len(person) <= limits.PERSON_ID and is_email(person):
        return {"email": person}
    return {"id": person}


def is_email(text: str) -> bool:
    """Tell whether a text has the shape of an email address: `name@host.domain`, no spaces.

    Takes time in proportion to the text, whatever it is: ids come from anywhere.
    """
    name, _, host = text.partition("@")
    return bool(name) and "@" not in host and "." in host[1:-1] and text.split() == [text]


def person_keys(named: dict[str, Any]) -> tuple[str, ...]:
    """Return a key per person named in an identifier object; equal keys, equal persons."""
    return tuple(
        f"{kind}:{value.lower() if kind == 'email' else value}"
        for kind in ("id", "email", "cio_id")
        if isinstance(value := named.get(kind), str)
    )


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
