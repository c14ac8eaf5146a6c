"""The wait for calls under way, after a withdrawal or an erasure."""

import time
from collections.abc import Collection
from typing import Final

from walker_collector.spool import DurableSpool

IN_FLIGHT_WAIT: Final = 1.0
"""How long (s) a withdrawal, and an erasure, waits for calls under way, of any process."""
_POLL: Final = 0.002


def wait_for_calls(spool: DurableSpool, people: Collection[str] | None, deadline: float) -> int:
    """Wait for the calls under way with events of these people; None: with any.

    Returns the number of those left at the monotonic `deadline` (s). Calls that are claimed from
    now on know of whatever was stored before.
    """
    calls = spool.calls_of(people)
    while calls and time.monotonic() < deadline:
        time.sleep(_POLL)
        calls &= spool.calls_of(people)
    return len(calls)
