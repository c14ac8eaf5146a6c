"""Event ids by which Customer.io knows a repetition."""

from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final

_LATEST: Final = 2**48 - 1
_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_HASH: Final = blake2b(digest_size=8)
_PAIRS: Final = [high + low for high in _CROCKFORD for low in _CROCKFORD]


def event_id(event: dict[str, Any], destination: str, part: str) -> str | None:
    """Return a ULID that is the same at every delivery of this part of this event.

    Customer.io ignores an event whose ULID it has seen. 48 bits are the event's time (ms). The
    other sixteen characters are a hash of event id, time, destination id and part: 64 bits as
    hexadecimal digits, all of which a ULID may hold. An event without an id gets none.
    """
    if "id" not in event:
        return None
    when = event.get("timestamp")
    name = f"{event['id']}\0{when}\0{destination}\0{part}"
    noise = _HASH.copy()  # in half the time of a new one
    noise.update(name.encode("utf-8", "surrogatepass"))
    ms = when if type(when) is int and 0 <= when <= _LATEST else _milliseconds(when)
    time = _quarter(ms >> 20) + _PAIRS[ms >> 10 & 1023] + _PAIRS[ms & 1023]
    return time + noise.hexdigest().upper()


def _milliseconds(when: Any) -> int:
    return min(max(int(when), 0), _LATEST) if isinstance(when, (int, float)) else 0


@lru_cache(maxsize=256)
def _quarter(count: int) -> str:
    """Write the upper 28 bits of a ULID's time, which change every 17 minutes."""
    return _PAIRS[count >> 20] + _PAIRS[count >> 10 & 1023] + _PAIRS[count & 1023]
