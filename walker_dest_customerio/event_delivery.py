"""What is to be delivered of each event, and what became of it."""

import contextlib
from collections.abc import Callable, Sequence

from attrs import Factory, define

from walker_collector import (
    DestinationDown,
    NotAttempted,
    Progress,
    Rejected,
    RetryLater,
    SpoolError,
)
from walker_dest_customerio.operations import Message, Operation
from walker_dest_customerio.plan import Plan
from walker_dest_customerio.responses import Invalid


@define(eq=False)
class EventDelivery:
    """The delivery of one event.

    The people of its plan, and the collector's `person`, have their later events wait for this one.

    may_proceed: asked before each call whether the event may still be sent.
    done: the operations that this delivery did.
    error: why the event is not delivered, if it is not; each operation has a fate of its own.
    failed: what this delivery did not do. is_stopped: the event may not be sent any more.
    was_begun: an earlier attempt has done something, or was refused.
    """

    plan: Plan
    progress: Progress | None = None
    person: str = ""
    may_proceed: Callable[[], bool] | None = None
    done: list[Operation] = Factory(list)
    error: Exception | None = None
    failed: list["Task"] = Factory(list)
    is_stopped: bool = False
    was_begun: bool = False


@define(eq=False)
class Task:
    """One operation of one job.

    entry: its part of a batch, "" where it goes by itself.
    is_exclusive: nothing else of its people may share its wave.
    """

    job: EventDelivery
    operation: Operation
    entry: bytes = b""
    is_exclusive: bool = True
    error: Exception | None = None

    @property
    def people(self) -> tuple[str, ...]:
        people = self.job.plan.people + self.operation.people
        return (*people, self.job.person) if self.job.person else people


def remaining_operations(job: EventDelivery) -> Sequence[Operation]:
    """Return what is left to do of a job: not what an earlier attempt has done, or was refused."""
    earlier = job.progress.parts if job.progress is not None else None
    if not earlier:
        return job.plan.operations
    job.was_begun = True
    return [op for op in job.plan.operations if earlier.get(op.part, "begun") == "begun"]


def conclude(job: EventDelivery) -> None:
    """Set the job's error, and keep the states of its parts for another attempt or a dead letter.

    As long as anything may be tried again, the event is; then it is rejected for what was refused.
    """
    if not job.failed and not job.was_begun:
        return
    errors = [task.error for task in job.failed if task.error is not None]
    open_ = [error for error in errors if not isinstance(error, Rejected)]
    refusals = _refusals(job)
    if open_:
        job.error = min(open_, key=_precedence)
    elif refusals:
        reason = "; ".join(f"{part}: {text}" for part, text in refusals.items())
        found_here = len(errors) == len(refusals) and all(map(_is_invalid, errors))
        job.error = Invalid(reason) if found_here else Rejected(reason)
    if job.error is not None and job.progress is not None:
        with contextlib.suppress(RetryLater, SpoolError):  # what is not recorded is done again
            _record(job, job.progress)


def _refusals(job: EventDelivery) -> dict[str, str]:
    """Return the reason of each part that was refused, also by an earlier attempt."""
    progress, found = job.progress, {}
    if progress is not None and (earlier := progress.parts):
        found = {part: progress.reason(part) for part in earlier if earlier[part] == "rejected"}
    for task in job.failed:
        if isinstance(task.error, Rejected):
            found[task.operation.part] = task.error.reason
    return found


def _precedence(error: Exception) -> tuple[int, float]:
    """Order errors that leave something to do: first the one that is to decide on the event."""
    if isinstance(error, DestinationDown):
        return (0, 0.0)
    if isinstance(error, RetryLater):
        return (1, -(error.after or 0.0))  # whoever asked for the longest wait
    return (3, 0.0) if isinstance(error, NotAttempted) else (2, 0.0)


def _record(job: EventDelivery, progress: Progress) -> None:
    """Record what is done and what was refused; messages have recorded that themselves."""
    for operation in job.done:
        if not isinstance(operation, Message):
            progress.finish(operation.part)
    for task in job.failed:
        if isinstance(task.error, Rejected) and not isinstance(task.operation, Message):
            progress.reject(task.operation.part, task.error.reason)


def _is_invalid(error: Exception) -> bool:
    return getattr(error, "status", None) == "invalid"
