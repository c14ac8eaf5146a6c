"""From planned operations to Customer.io, through the official SDK's clients.

`batch` puts many operations into a request (Track v2), `single` makes one SDK call for each.
Transactional messages always go one by one. Nothing is retried here: each job's error says how.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Literal

import orjson
from attrs import define, field
from customerio import CustomerIOException

from walker_collector import DestinationDown, Progress, Rejected, RetryLater
from walker_dest_customerio.answers import NoAnswer, Refused, Untaken, batch_errors
from walker_dest_customerio.batches import OPERATION_BYTES, requests, waves
from walker_dest_customerio.clients import Clients
from walker_dest_customerio.encode import dumps
from walker_dest_customerio.once import once
from walker_dest_customerio.operations import Message, Operation
from walker_dest_customerio.plan import Plan

_HALTING = (Untaken, NoAnswer, DestinationDown)


@define(eq=False)
class Job:
    """The delivery of one event: what is to be done, what is done, and why it stopped, if it did.

    The people of its plan have their later events wait for this one.
    """

    plan: Plan
    progress: Progress | None = None
    done: list[Operation] = field(factory=list)
    error: Exception | None = None


@define(eq=False)
class _Task:
    """One operation of one job; `entry` is its place in a batch, written just before."""

    job: Job
    operation: Operation
    entry: bytes = b""

    @property
    def people(self) -> tuple[str, ...]:
        return self.job.plan.people + self.operation.people


class Delivery:
    """Delivers jobs through the clients; one instance may serve several threads."""

    def __init__(self, clients: Clients, mode: Literal["batch", "single"] = "batch") -> None:
        self._clients = clients
        self._mode = mode

    def deliver(self, jobs: Sequence[Job]) -> None:
        """Do the operations of all jobs, each job's in order, each person's jobs in order.

        Each job's `done` and `error` tell what became of it. A job stops at its first error. After
        an error that is not about the event itself, later jobs of the same people are not begun;
        where an API cannot be reached or asks to wait, nothing more is sent to it.
        """
        run = _Run(self._clients)
        tasks = [
            _Task(job, operation)
            for job in jobs
            for operation in job.plan.operations
            if not _is_done(operation, job.progress)
        ]
        if self._mode == "single":
            for task in tasks:
                run.single(task)
        else:
            for wave in waves(tasks, lambda task: task.operation.alone, lambda task: task.people):
                run.wave(wave)
        for job in jobs:
            _record(job)

    def close(self) -> None:
        """Close the connections."""
        self._clients.close()


def _is_done(operation: Operation, progress: Progress | None) -> bool:
    """Tell whether an earlier attempt has done the operation."""
    return progress is not None and progress.state(operation.part) == "done"


def _record(job: Job) -> None:
    """Keep what is done of a job that failed, so that another attempt leaves it out."""
    if job.error is None or job.progress is None:
        return
    for operation in job.done:
        if not isinstance(operation, Message):
            job.progress.finish(operation.part)


def _is_clear(group: Sequence[_Task], error: Exception) -> bool:
    """Tell whose an error is without asking further: a refusal is one task's, else one job's."""
    if isinstance(error, Refused):
        return len(group) == 1
    return all(task.job is group[0].job for task in group)


class _Run:
    """One round of delivery: what has gone wrong in it holds back what it must."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._halted: dict[bool, Exception] = {}  # by "is a message": each kind has its API
        self._waiting: set[str] = set()

    def wave(self, tasks: Sequence[_Task]) -> None:
        """Do tasks of which all may share a request."""
        begun = self._begun(tasks)
        # What cannot be written stops what comes after it in its job.
        ready = [task for task in begun if task.job.error is None and self._write(task)]
        written = [task for task in ready if task.entry]
        for group in requests(written, lambda task: len(task.entry)):
            self._batch(group)
        for task in ready:
            if not task.entry:
                self.single(task)

    def single(self, task: _Task) -> None:
        """Do a task by an SDK call of its own."""
        if not self._may_begin(task):
            return
        operation = task.operation
        try:
            if isinstance(operation, Message):
                self._message(operation, task.job.progress)
            else:
                operation.send(self._clients.track)
        except CustomerIOException as error:  # the SDK itself refuses blank ids
            self._fail([task], Rejected(str(error)))
        except (Rejected, RetryLater, DestinationDown) as error:
            self._fail([task], error)
        else:
            task.job.done.append(operation)

    def _message(self, message: Message, progress: Progress | None) -> None:
        app = self._clients.app
        if app is None:
            raise Rejected("transactional messages need settings.appApiKey")
        once(message.part, progress, lambda: message.send(app))

    def _write(self, task: _Task) -> bool:
        """Write the task's entry, if it has one; tell whether it can be sent."""
        try:
            entry = task.operation.entry()
            if entry is None:
                return True
            task.entry = dumps(entry, "it")
            if len(task.entry) > OPERATION_BYTES:
                size = f"{len(task.entry)} bytes of JSON"
                raise Rejected(f"{size}; Customer.io takes at most {OPERATION_BYTES}")
        except Rejected as error:
            self._fail([task], error)
            return False
        return True

    def _batch(self, tasks: Sequence[_Task]) -> None:
        """Do tasks with one request; where it fails as a whole, find out for which of them."""
        group = self._begun(tasks)
        if group and self._request(group) is not None:
            self._halves(group)

    def _halves(self, group: Sequence[_Task]) -> None:
        """Do a group's halves, and theirs, until it is clear whose the trouble is.

        Where both halves meet an error of the server, it is the server that is in trouble.
        """
        middle = len(group) // 2
        undecided = []
        for half in (group[:middle], group[middle:]):
            ready = self._begun(half)
            if ready and (error := self._request(ready)) is not None:
                undecided.append((ready, error))
        hopeless = len(undecided) == 2 and all(isinstance(e, RetryLater) for _, e in undecided)
        for half, error in undecided:
            if hopeless:
                self._fail(half, error)
            else:
                self._halves(half)

    def _request(self, group: Sequence[_Task]) -> Exception | None:
        """Make one request; return an error that may be about only some of several tasks."""
        try:
            answer = self._clients.track.batch([orjson.Fragment(task.entry) for task in group])
        except (Refused, RetryLater, DestinationDown) as error:
            if isinstance(error, Refused) and error.status in (404, 405):
                advice = "batches do not go there; check settings.trackUrl"
                self._fail(group, DestinationDown(f"{error.reason}: {advice}"))
            elif isinstance(error, _HALTING) or _is_clear(group, error):
                self._fail(group, error)
            else:
                return error
        else:
            self._settle(group, batch_errors(answer.content))
        return None

    def _settle(self, group: Sequence[_Task], errors: list[tuple[int | None, str]]) -> None:
        """Note item by item what was accepted.

        An error without a usable index is some item's: the rest is sent again in halves until it
        is clear whose. Repeating an operation does no harm.
        """
        if not errors:
            for task in group:
                task.job.done.append(task.operation)
            return
        refused: dict[int, list[str]] = defaultdict(list)
        unplaced = []
        for index, message in errors:
            if index is None or not 0 <= index < len(group):
                unplaced.append(message)
            else:
                refused[index].append(message)
        if unplaced and len(group) == 1:
            refused[0] += unplaced
        for index, messages in refused.items():
            self._fail([group[index]], Rejected("; ".join(messages)))
        rest = [task for index, task in enumerate(group) if index not in refused]
        if unplaced and rest:
            self._halves(rest)
        else:
            for task in rest:
                task.job.done.append(task.operation)

    def _begun(self, tasks: Sequence[_Task]) -> list[_Task]:
        """Return the tasks that nothing holds back; where something does, their jobs stop."""
        if self._halted or self._waiting:
            return [task for task in tasks if self._may_begin(task)]
        return [task for task in tasks if task.job.error is None]

    def _may_begin(self, task: _Task) -> bool:
        """Tell whether nothing holds the task back; where something does, its job stops."""
        job = task.job
        if job.error is None and (self._halted or self._waiting):
            job.error = self._halted.get(isinstance(task.operation, Message))
            if job.error is None and not self._waiting.isdisjoint(task.people):
                job.error = RetryLater("waits for an earlier event of the same person")
            if job.error is not None:
                self._waiting.update(task.people)
        return job.error is None

    def _fail(self, tasks: Sequence[_Task], error: Exception) -> None:
        if isinstance(error, _HALTING):
            self._halted[isinstance(tasks[0].operation, Message)] = error
        for task in tasks:
            job = task.job
            if isinstance(error, Rejected):
                job.error = job.error or Rejected(f"{task.operation.part}: {error.reason}")
            else:
                job.error = job.error or error
                self._waiting.update(task.people)
