"""The keys that people are known by: `id:u1`, `device:d1`, `session:s1`, and claims of them.

`~id:u1` is u1 as untrusted callers name them. Events, links and statements of such callers are
filed under keys of that kind, so that nothing they say is said of u1.
"""

from collections.abc import Callable
from typing import Final

_CLAIM: Final = "~"
_SIGNED_IN: Final = ("id:", "~id:")
OF_IDS: Final = "i"
"""The first letter of the keys of ids, and of no others: the quick test in loops over many keys."""


def claimed(key: str) -> str:
    """Return the key under which untrusted callers name the person of a key."""
    return _CLAIM + key


def is_claimed(key: str) -> bool:
    """Return whether untrusted callers have named a person by this key."""
    return key.startswith(_CLAIM)


def unclaimed(key: str) -> str:
    """Return the key that a claim is about; any other key as it is."""
    return key.removeprefix(_CLAIM)


def is_signed_in(key: str) -> bool:
    """Return whether a key is an id. Such a key is a person itself, never another one's."""
    return key.startswith(_SIGNED_IN)


def ordering_key(person: str) -> str:
    """Return the key for the order of delivery: with an id, that of claims as well.

    Devices and sessions keep apart: a claim may have made one somebody else's.
    """
    return person[1:] if person[:4] == "~id:" else person


def owner_of(key: str, person_of: Callable[[str], str | None]) -> str:
    """Return the person of a key, as IdentityGraph.canonical does, given that of each alias."""
    if is_signed_in(key):
        return key
    owner = person_of(key)
    if owner is None and is_claimed(key):
        surely = claimed(owner_of(unclaimed(key), person_of))
        return surely if surely == key else owner_of(surely, person_of)
    return key if owner is None else owner
