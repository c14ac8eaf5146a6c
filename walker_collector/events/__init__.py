"""Events: from what an application hands in to a complete, plain-JSON event.

An accepted event is kept as JSON bytes, which are quick to make, cheap to hold (nothing for the
garbage collector to walk) and what a spool stores anyway.
"""

from walker_collector.events.complete import (
    KEYS,
    PARTS,
    Defaults,
    check_grants,
    check_parts,
    complete,
    hint_at_part,
    plain_object,
    split_name,
)
from walker_collector.events.encode import Bounds, decode, encode
from walker_collector.events.merging import merge
from walker_collector.events.period import Period

__all__ = [
    "KEYS",
    "PARTS",
    "Bounds",
    "Defaults",
    "Period",
    "check_grants",
    "check_parts",
    "complete",
    "decode",
    "encode",
    "hint_at_part",
    "merge",
    "plain_object",
    "split_name",
]
