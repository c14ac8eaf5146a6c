"""The room of a spool: its bounds, in any engine."""

from typing import Protocol


class Bounds(Protocol):
    """The most events, and bytes of events, that a spool keeps."""

    @property
    def max_events(self) -> int: ...

    @property
    def max_bytes(self) -> int: ...


def lack_of_room(events: int, size: int, count: int, added: int, bounds: Bounds) -> str:
    """Return the bound that leaves no room for `count` events of `added` bytes; "" if none does.

    `events` and `size` (bytes) are what the spool keeps already.
    """
    if events + count > bounds.max_events:
        return f"holds {events:,} events of at most {bounds.max_events:,} (spool.maxEvents)"
    if size + added > bounds.max_bytes:
        return f"holds {size:,} bytes of events of at most {bounds.max_bytes:,} (spool.maxBytes)"
    return ""
