"""Split a batch into calls: one per rule with its own batch, one per change of consent. Pure."""

from collections.abc import Iterable

from walker_collector.config import BatchConfig, Rules
from walker_collector.delivery.task import Task
from walker_collector.mapping import each_rule


def any_rule_batches(rules: Rules | None) -> bool:
    """Return whether any rule has a batch of its own."""
    return any(rule.batch for _, rule in each_rule(rules))


def split(tasks: Iterable[Task]) -> list[list[Task]]:
    """Split a batch into runs, each for one call, in the order in which to send them.

    A change of consent is a run by itself. Events of rules with a batch of their own are in runs
    of that batch, no longer than its `size`; all others share runs. Each person's order is kept.
    """
    runs: list[list[Task]] = []
    open_runs: dict[BatchConfig | None, list[Task]] = {}
    places: dict[str, BatchConfig | None] = {}  # the open run with events of each person
    for task in tasks:
        batch = task.item.rule.batch if task.item and task.item.rule else None
        before = places.get(task.person, batch)
        # This person has earlier events in another open run. That run must be sent first, so it
        # ends here; the events of other people after it form a new one.
        if before in open_runs and (task.notice or before != batch) and task.person in places:
            _close(before, runs, open_runs, places)
        if task.notice:
            runs.append([task])
            continue
        run = open_runs.setdefault(batch, [])
        run.append(task)
        if task.person:
            places[task.person] = batch
        if batch is not None and batch.size is not None and len(run) >= batch.size:
            _close(batch, runs, open_runs, places)
    return [*runs, *open_runs.values()]


def _close(
    batch: BatchConfig | None,
    runs: list[list[Task]],
    open_runs: dict[BatchConfig | None, list[Task]],
    places: dict[str, BatchConfig | None],
) -> None:
    run = open_runs.pop(batch)
    runs.append(run)
    for task in run:
        places.pop(task.person, None)
