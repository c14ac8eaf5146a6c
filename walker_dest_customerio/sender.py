"""One round of delivery: requests in order, and what each failure holds back."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Final

import orjson
from customerio import CustomerIOException

from walker_collector import DestinationDown, NotAttempted, Rejected, RetryLater, SpoolError
from walker_dest_customerio.at_most_once import InDoubt, at_most_once
from walker_dest_customerio.batches import OPERATION_BYTES, split_by_size
from walker_dest_customerio.blocked_people import ApiName, BlockedPeople, api_of
from walker_dest_customerio.clients import AppClient, Clients, TrackClient
from walker_dest_customerio.encode import dumps
from walker_dest_customerio.event_delivery import EventDelivery, Task
from walker_dest_customerio.operations import Message, Operation
from walker_dest_customerio.responses import (
    Invalid,
    NoResponse,
    NotProcessed,
    RequestRejected,
    batch_errors,
)

_HALTING = (NotProcessed, NoResponse, DestinationDown)
_MAX_SERVER_ERRORS: Final = 2
"""Errors of the server, each over another operation and none accepted between, that stop an API."""
_MAX_REJECTIONS: Final = 20
"""Events refused, each by a request of its own and none accepted between, that stop an API."""


class Sender:
    """One round of delivery: what has gone wrong in it holds back what it must."""

    def __init__(self, clients: Clients) -> None:
        self.halted: dict[ApiName, Exception] = {}
        self._clients = clients
        self._blocked = BlockedPeople()
        self._is_unimpeded = True
        self._server_errors: dict[ApiName, int] = {"track": 0, "app": 0}
        self._rejected: dict[ApiName, set[int]] = {"track": set(), "app": set()}

    def encode(self, tasks: Sequence[Task]) -> None:
        """Write the tasks' entries, where they have one that a batch takes."""
        for task in tasks:
            try:
                text = _entry(task.operation)
            except Exception as error:  # of one operation: the others go on
                self._fail([task], error)
            else:
                if text:
                    task.entry, task.is_exclusive = text, task.operation.exclusive

    def send_stage(self, tasks: Sequence[Task]) -> None:
        """Do tasks of which all may share a request, but for those without an entry."""
        for group in split_by_size([task for task in tasks if task.entry], _size):
            self._send_batch(group)
        for task in tasks:
            if not task.entry:
                self.send_single(task)

    def send_single(self, task: Task) -> None:
        """Do a task by an SDK call of its own."""
        if not self._admit([task]):
            return
        operation = task.operation
        try:
            if isinstance(operation, Message):
                at_most_once(
                    operation.part, task.job.progress, lambda: self._send_message(operation)
                )
            else:
                _call(operation, self._clients.track)
        except SpoolError as error:  # that it is begun could not be recorded: so it is not
            self._fail([task], RetryLater(str(error)))
        except Exception as error:
            self._fail([task], error)
        else:
            self._succeed([task])

    def _send_message(self, message: Message) -> None:
        if self._clients.app is None:
            raise Rejected("transactional messages need settings.appApiKey")
        _call(message, self._clients.app)

    def _client_of(self, operation: Operation) -> TrackClient | AppClient | None:
        return self._clients.app if api_of(operation) == "app" else self._clients.track

    def _send_batch(self, tasks: Sequence[Task]) -> None:
        """Do tasks with one request; where it fails as a whole, find out for which of them."""
        group = self._admit(tasks)
        error = self._request(group) if group else None
        if error is None:
            return
        # An error of the server over one event's operations says nothing more in pieces.
        if len(group) == 1 or (isinstance(error, RetryLater) and _is_one_event(group)):
            self._fail(group, error)
        else:
            self._bisect(group)

    def _bisect(self, group: Sequence[Task]) -> None:
        """Do a group in halves: the second begins once the first is decided, as far as it can be,
        and without the people of whom something is not.
        """
        middle = len(group) // 2
        for half in (group[:middle], group[middle:]):
            self._send_batch(half)

    def _request(self, group: Sequence[Task]) -> Exception | None:
        """Make one request; return an error that may be about only some of several tasks."""
        try:
            answer = self._clients.track.batch([orjson.Fragment(task.entry) for task in group])
        except _HALTING as error:
            self._fail(group, error)
        except RequestRejected as error:
            if error.status not in (404, 405):
                return error
            advice = "batches do not go there; check settings.trackUrl"
            self._fail(group, DestinationDown(f"{error.reason}: {advice}"))
        except RetryLater as error:
            return error
        else:
            self._apply_batch_errors(group, batch_errors(answer.content))
        return None

    def _apply_batch_errors(
        self, group: Sequence[Task], errors: list[tuple[int | None, str]]
    ) -> None:
        """Note item by item what was accepted.

        An error without a usable index is some item's: the rest is sent again in halves until it
        is clear whose. Repeating an operation does no harm.
        """
        if not errors:
            self._succeed(group)
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
            self._bisect(rest)
        else:
            self._succeed(rest)

    def _admit(self, tasks: Sequence[Task]) -> list[Task]:
        """Wait for the turn of a call; return the tasks that may go then. Others have their error.

        Whether an event may proceed is asked last, so that nothing comes between that and the call.
        """
        if not self._is_unimpeded:
            tasks = [task for task in tasks if self._is_admitted(task)]
        if not tasks:
            return []
        if (client := self._client_of(tasks[0].operation)) is not None:
            client.wait_for_turn()
        admitted = []
        asked: EventDelivery | None = None
        for task in tasks:
            job = task.job
            if job is not asked:
                _check_may_proceed(job)
            asked = job
            calm = self._is_unimpeded and not job.is_stopped  # as almost always
            if calm or self._is_admitted(task):
                admitted.append(task)
        return admitted

    def _is_admitted(self, task: Task) -> bool:
        """Tell whether nothing keeps a task from being sent now; else it has its error."""
        error = self._obstacle(task)
        if error is not None:
            self._fail([task], error)
        return error is None

    def _obstacle(self, task: Task) -> Exception | None:
        """Return the reason why a task may not go now."""
        if task.job.is_stopped:
            return NotAttempted("withdrawn, or erased, before it was sent")
        if self._blocked.contains(task.operation, task.people):
            return NotAttempted("waits for an earlier event of the same person")
        return self.halted.get(api_of(task.operation)) if self.halted else None

    def _succeed(self, tasks: Sequence[Task]) -> None:
        for task in tasks:
            task.job.done.append(task.operation)
        if tasks:
            api = api_of(tasks[0].operation)
            self._server_errors[api] = 0
            self._rejected[api].clear()

    def _fail(self, tasks: Sequence[Task], error: Exception) -> None:
        """Note the error of tasks that share an API; all but a refusal holds others back."""
        cause = error.cause if isinstance(error, InDoubt) and error.cause else error
        api = api_of(tasks[0].operation)
        self._update_halted(api, tasks, cause)
        if not isinstance(cause, Rejected):
            self._is_unimpeded = False
        for task in tasks:
            task.error = error
            task.job.failed.append(task)
            if not isinstance(error, Rejected):
                self._blocked.add(task.operation, task.people)

    def _update_halted(self, api: ApiName, tasks: Sequence[Task], cause: Exception) -> None:
        """Stop an API that an error says is in trouble, alone or by what came before it."""
        if isinstance(cause, RetryLater):
            self._server_errors[api] += 1
        if isinstance(cause, _HALTING) or self._server_errors[api] >= _MAX_SERVER_ERRORS:
            self.halted.setdefault(api, cause)
        if isinstance(cause, RequestRejected):
            refused = self._rejected[api]
            refused.update(id(task.job) for task in tasks)
            if len(refused) >= _MAX_REJECTIONS:
                self.halted.setdefault(
                    api, NotProcessed(f"{cause.reason}; it refuses every request")
                )
                self._is_unimpeded = False


def _size(task: Task) -> int:
    return len(task.entry)


def _check_may_proceed(job: EventDelivery) -> None:
    """Ask whether a job may proceed; once told no, it is not asked again."""
    if job.may_proceed is None or job.is_stopped:
        return
    try:
        job.is_stopped = not job.may_proceed()
    except SpoolError:  # nobody can tell: then not
        job.is_stopped = True


def _entry(operation: Operation) -> bytes:
    """Return the operation's part of a batch; "" where it goes by itself."""
    if isinstance(operation, Message):
        return b""
    if operation.refusal is not None:
        raise Invalid(operation.refusal)
    entry = operation.entry()
    text = b"" if entry is None else dumps(entry, "it")
    return text if len(text) <= OPERATION_BYTES else b""


def _call(operation: Operation, client: Any) -> None:
    problem = operation.refusal or operation.size_problem()
    if problem is not None:
        raise Invalid(problem)
    try:
        operation.send(client)
    except CustomerIOException as error:  # the SDK itself refuses blank ids
        raise Rejected(str(error)) from None
    except UnicodeError:
        raise Invalid("an id holds half a character, which no path can") from None


def _is_one_event(group: Sequence[Task]) -> bool:
    return all(task.job is group[0].job for task in group)
