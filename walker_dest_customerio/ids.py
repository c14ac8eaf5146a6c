"""Event ids by which Customer.io knows a repetition."""

from hashlib import blake2b
from typing import Any, Final

_LATEST: Final = 2**48 - 1
_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
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
    noise = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest().upper()
    return _time(_milliseconds(when)) + noise


def _milliseconds(when: Any) -> int:
    return min(max(int(when), 0), _LATEST) if isinstance(when, (int, float)) else 0


def _time(ms: int) -> str:
    """Write a ULID's time, ten bits at once; a library takes several times as long."""
    pairs = _PAIRS
    return (
        pairs[ms >> 40]
        + pairs[ms >> 30 & 1023]
        + pairs[ms >> 20 & 1023]
        + pairs[ms >> 10 & 1023]
        + pairs[ms & 1023]
    )
