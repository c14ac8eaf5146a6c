"""The delivery of one event: its operations, their results, and the event's outcome."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from walker_collector import (
    DestinationDown,
    NotAttempted,
    PartDown,
    Progress,
    Rejected,
    RetryLater,
    SpoolError,
)
from walker_dest_customerio.at_most_once import InDoubt, RestLater
from walker_dest_customerio.batches import OPERATION_BYTES, requests_of, stages
from walker_dest_customerio.encode import dumps
from walker_dest_customerio.operations import Message, Operation
from walker_dest_customerio.plan import Plan
from walker_dest_customerio.responses import Invalid


class EventDelivery(Struct, eq=False):
    """The delivery of one event.

    person: the collector's key of its person. Later events of that person, and of the people of the
        plan, wait for this one.
    may_proceed: asked before each call whether the event may still be sent.
    on_sent: called with each message that was sent, and the answer.
    done: the operations that succeeded.
    error: the reason if the event is not delivered; operations fail one by one.
    failed: the operations that did not succeed.
    is_stopped: the event may not be sent any more.
    has_earlier_attempts: an earlier attempt recorded the state of some part.
    """

    plan: Plan
    progress: Progress | None = None
    person: str = ""
    may_proceed: Callable[[], bool] | None = None
    on_sent: Callable[[Message, Any], None] | None = None
    done: list[Operation] = []
    error: Exception | None = None
    failed: list["Task"] = []
    is_stopped: bool = False
    has_earlier_attempts: bool = False

    @property
    def is_partial(self) -> bool:
        """Whether this attempt has not delivered all of the event."""
        return bool(self.failed) or self.error is not None or self.has_earlier_attempts


class Task(Struct, eq=False):
    """One operation of a delivery.

    entry: its JSON in a batch; empty if it needs a request of its own.
    is_exclusive: nothing else of the same people may share its stage.
    """

    delivery: EventDelivery
    operation: Operation
    entry: bytes = b""
    is_exclusive: bool = True
    error: Exception | None = None

    def prepare(self, now: float) -> None:
        """Set `entry` and `is_exclusive`; raises Rejected if Customer.io would. `now`: unix s."""
        operation = self.operation
        self.entry = b""
        if not isinstance(operation, Message):
            if (problem := operation.problem(now)) is not None:
                raise Invalid(problem)
            entry = operation.entry()
            text = b"" if entry is None else dumps(entry, "it")
            self.entry = text if len(text) <= OPERATION_BYTES else b""
        self.is_exclusive = operation.exclusive or not self.entry

    @property
    def people(self) -> tuple[str, ...]:
        """Keys of all people concerned; later operations of theirs wait for this one."""
        people = self.delivery.plan.people + self.operation.people
        return (*people, self.delivery.person) if self.delivery.person else people

    @property
    def fences(self) -> tuple[str, ...]:
        """Keys that nothing else in its stage may have."""
        fences = self.operation.fences
        return (*self.people, *fences) if self.is_exclusive else fences


def batches_of(tasks: Sequence[Task]) -> Iterator[list[Task]]:
    """Yield the tasks of each request, in the order in which they must be made.

    A task without an entry has a request of its own.
    """
    for stage in stages(tasks, _fences_of, _people_of, _objects_of):
        yield from requests_of(stage, _size_of)


def _size_of(task: Task) -> int:
    return len(task.entry)


def _fences_of(task: Task) -> tuple[str, ...]:
    return task.fences


def _people_of(task: Task) -> tuple[str, ...]:
    return task.people


def _objects_of(task: Task) -> tuple[str, ...]:
    return task.operation.objects


def remaining_operations(
    delivery: EventDelivery, earlier: Mapping[str, str]
) -> Sequence[Operation]:
    """Return the operations that earlier attempts neither finished nor had refused."""
    delivery.has_earlier_attempts = True
    return [
        op for op in delivery.plan.operations if earlier.get(op.progress_part, "begun") == "begun"
    ]


def conclude(delivery: EventDelivery) -> None:
    """Set the delivery's error and record its parts for the next attempt or a dead letter.

    The event is retried while any operation may be; after that, refused operations reject it.
    """
    errors = [task.error for task in delivery.failed if task.error is not None]
    open_ = [error for error in errors if not isinstance(error, Rejected)]
    refusals = _refusals(delivery)
    if open_:
        delivery.error = _with_doubts(delivery, min(open_, key=_precedence))
    elif refusals:
        reason = "; ".join(f"{part}: {text}" for part, text in refusals.items())
        found_here = len(errors) == len(refusals) and all(map(_is_invalid, errors))
        delivery.error = Invalid(reason) if found_here else Rejected(reason)
    if delivery.error is not None and delivery.progress is not None:
        with contextlib.suppress(RetryLater, SpoolError):  # then they are repeated
            _record(delivery, delivery.progress)


def _with_doubts(delivery: EventDelivery, error: Exception) -> Exception:
    """Return the error, with the messages that its retry leaves out."""
    parts = [
        task.operation.progress_part for task in delivery.failed if isinstance(task.error, InDoubt)
    ]
    if not parts or not isinstance(error, RetryLater) or isinstance(error, PartDown):
        return error  # a part that is down costs the event no attempt: it must stay one
    return RestLater(error, parts)


def _refusals(delivery: EventDelivery) -> dict[str, str]:
    """Return the reason of each refused part, those of earlier attempts included."""
    progress, found = delivery.progress, {}
    if progress is not None and (earlier := progress.parts):
        found = {part: progress.reason(part) for part in earlier if earlier[part] == "rejected"}
    for task in delivery.failed:
        if isinstance(task.error, Rejected):
            found[task.operation.progress_part] = task.error.reason
    return found


def _precedence(error: Exception) -> tuple[int, float]:
    """Return the sort key of an error that allows a retry: the first decides on the event."""
    if isinstance(error, DestinationDown):
        return (0, 0.0)
    if isinstance(error, RetryLater):
        return (1, -(error.after or 0.0))  # the longest wait asked for comes first
    return (3, 0.0) if isinstance(error, NotAttempted) else (2, 0.0)


def _record(delivery: EventDelivery, progress: Progress) -> None:
    """Record finished and refused parts, except messages: `at_most_once` has recorded them."""
    for operation in delivery.done:
        if not isinstance(operation, Message):
            progress.finish(operation.progress_part)
    for task in delivery.failed:
        if isinstance(task.error, Rejected) and not isinstance(task.operation, Message):
            progress.reject(task.operation.progress_part, task.error.reason)


def _is_invalid(error: Exception) -> bool:
    return getattr(error, "status", None) == "invalid"
