"""Moments at which a process can be stopped, so that it is killed there and nowhere else."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from walker_collector.delivery.claims import Claim
from walker_collector.delivery.hook_calls import HookCalls
from walker_collector.delivery.owned_shards import OwnedShards
from walker_collector.delivery.unacked import UnackedUpdates
from walker_collector.spool.sqlite import SqliteSpool, event_tables

_PAUSE: Final = 0.002

Method = tuple[Any, str]

BEFORE: Final[dict[str, Method]] = {
    "claims": (SqliteSpool, "claim"),
    "calls": (HookCalls, "push_batch"),
    "acknowledges": (UnackedUpdates, "ack"),
    "abandons": (OwnedShards, "abandon"),
    "takes_over": (OwnedShards, "take_over"),
}
"""Before this method is called."""
AFTER: Final[dict[str, Method]] = {
    "has_claimed": (Claim, "hold"),
    "has_called": (HookCalls, "push_batch"),
    "has_inserted": (event_tables, "insert"),
    "has_deleted": (event_tables, "ack"),
    "has_committed": (SqliteSpool, "append"),
    "has_acknowledged": (SqliteSpool, "ack"),
    "has_abandoned": (OwnedShards, "abandon"),
}
"""After this method has returned: within a transaction, for those of `event_tables`."""


def stop_at(moment: str, sign: Path) -> None:
    """Stop at a moment, the first time: make the file `sign`, and go on when it is gone."""
    owner, name = (BEFORE | AFTER)[moment]
    method: Callable[..., Any] = getattr(owner, name)
    stopped: list[bool] = []

    def stop() -> None:
        if not stopped:
            stopped.append(True)
            sign.touch()
            while sign.exists():  # bounded: the process is killed, or the file deleted
                time.sleep(_PAUSE)

    def replacement(*args: Any, **options: Any) -> Any:
        if moment in BEFORE:
            stop()
            return method(*args, **options)
        result = method(*args, **options)
        stop()
        return result

    setattr(owner, name, replacement)
