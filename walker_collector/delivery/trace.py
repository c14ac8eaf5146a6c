"""Log lines about deliveries: batches by their outcomes, events by their ids."""

import contextlib
import logging
from collections import Counter
from collections.abc import Sequence

from walker_collector.delivery.destination import Destination
from walker_collector.delivery.task import Task
from walker_collector.events import decode
from walker_collector.spool import Entry


def event_id(entry: Entry) -> str:
    """Return the id of an entry's event for the log, or its number if it cannot be read."""
    return _id_and_name(entry)[0]


def _id_and_name(entry: Entry) -> tuple[str, str]:
    try:
        event = decode(entry[3])
        return str(event["id"]), str(event.get("name"))
    except (ValueError, KeyError, TypeError):
        return f"number {entry[0]}", "?"


def trace(destination: Destination, tasks: Sequence[Task]) -> None:
    """Log the outcomes of a batch, and at level DEBUG the outcome of each event.

    Never raises, whatever handlers and filters of the application do: the outcomes stand.
    """
    with contextlib.suppress(BaseException):
        _trace(destination, tasks)


def _trace(destination: Destination, tasks: Sequence[Task]) -> None:
    logger = destination.context.logger
    kinds = Counter(_shown(task) for task in tasks)
    figures = ", ".join(f"{count:,} {kind}" for kind, count in kinds.items())
    fields = {"destination": destination.id}
    batch = len(tasks)
    logger.info("destination %s: batch of %d: %s", destination.id, batch, figures, extra=fields)
    if not logger.isEnabledFor(logging.DEBUG):
        return
    for task in tasks:
        id_, name = _id_and_name(task.entry)
        rule = task.item.rule if task.item else None
        logger.debug(
            "destination %s: event %s (%s): %s; rule %s, attempt %s%s",
            destination.id,
            id_,
            name,
            _shown(task),
            rule.key if rule else "none",
            task.item.context.attempt if task.item else "none",
            f": {reason}" if (reason := task.outcome.shown_reason) else "",
            extra={**fields, "event": id_},
        )


def _shown(task: Task) -> str:
    words = {
        "retry": "to be retried",
        "bug": "failed unexpectedly",
        "not_attempted": "not attempted",
    }
    return words.get(task.outcome.kind, task.outcome.kind)
