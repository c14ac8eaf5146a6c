"""The figures of the outbox, for status and commands."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from walker_collector.spool.engine_protocol import DurableSpool


def outbox_figures(spool: "DurableSpool", now: int) -> tuple[int, float] | None:
    """Return the number of events in the outbox, and the seconds since the first was pushed.

    `now` is in ms. None: the spool has no outbox. Raises SpoolError.
    """
    if spool.outbox is None:
        return None
    count, oldest = spool.outbox.figures()
    return count, max(0.0, now / 1000 - oldest / 1e6) if count else 0.0
