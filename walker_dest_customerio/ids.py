"""Event ids by which Customer.io knows a repetition."""

from hashlib import blake2b
from typing import Any

from ulid import ULID

_LATEST = 2**48 - 1


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
    return str(ULID.from_bytes(_milliseconds(when).to_bytes(6, "big") + noise))


def _milliseconds(when: Any) -> int:
    return min(max(int(when), 0), _LATEST) if isinstance(when, int | float) else 0
