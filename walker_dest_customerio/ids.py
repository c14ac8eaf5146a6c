"""Event ids by which Customer.io knows a repetition."""

from hashlib import blake2b
from typing import Any, Final

_LATEST: Final = 2**48 - 1
_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS: Final = [high + low for high in _CROCKFORD for low in _CROCKFORD]


def event_id(event: dict[str, Any], destination: str, part: str) -> str | None:
    """Return a ULID that is the same at every delivery of this part of this event.

    Customer.io ignores an event whose ULID it has seen. 48 bits are the event's time (ms), 80 bits
    a hash of event id, time, destination id and part. An event without an id gets none.
    """
    if "id" not in event:
        return None
    when = event.get("timestamp")
    name = f"{event['id']}\0{when}\0{destination}\0{part}"
    noise = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=10).digest()
    return _ulid(_milliseconds(when) << 80 | int.from_bytes(noise, "big"))


def _milliseconds(when: Any) -> int:
    return min(max(int(when), 0), _LATEST) if isinstance(when, (int, float)) else 0


def _ulid(number: int) -> str:
    """Write 128 bits as a ULID, ten at a time; a loop, or a library, takes twice as long."""
    pairs = _PAIRS
    return (
        pairs[number >> 120]
        + pairs[number >> 110 & 1023]
        + pairs[number >> 100 & 1023]
        + pairs[number >> 90 & 1023]
        + pairs[number >> 80 & 1023]
        + pairs[number >> 70 & 1023]
        + pairs[number >> 60 & 1023]
        + pairs[number >> 50 & 1023]
        + pairs[number >> 40 & 1023]
        + pairs[number >> 30 & 1023]
        + pairs[number >> 20 & 1023]
        + pairs[number >> 10 & 1023]
        + pairs[number & 1023]
    )
