"""Identifiers of a user under a key of another collector, or in another spelling."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

IDENTIFIERS: Final = frozenset({"id", "device", "session"})
"""The keys of a user that identify a person; a user may have any others as well."""
_MEANT: Final[Mapping[str, str]] = {
    **{key: key for key in IDENTIFIERS},
    "userid": "id",
    "deviceid": "device",
    "anonymousid": "device",
    "sessionid": "session",
}
"""The identifier that a key means, which is written here without capitals and signs."""


def may_be_misnamed(user: Mapping[Any, Any]) -> bool:
    """Return whether a user may have a key that means an identifier."""
    return _have_misnamed(tuple(user))


@lru_cache(maxsize=1_024)
def _have_misnamed(keys: tuple[Any, ...]) -> bool:
    return any(isinstance(key, str) and _meant(key) not in (None, key) for key in keys)


def misnamed(user: Mapping[Any, Any]) -> Iterator[tuple[str, str]]:
    """Yield the keys of a user that identify nobody, each with the identifier that it means.

    A key beside the right one is data of the application, and is left alone.
    """
    for key in user:
        meant = _meant(key) if type(key) is str else None
        if meant and key != meant and user.get(meant) in (None, ""):
            yield key, meant


@lru_cache(maxsize=1_024)
def _meant(key: str) -> str | None:
    return _MEANT.get(key.lower().replace("_", "").replace("-", "")) if len(key) < 20 else None
