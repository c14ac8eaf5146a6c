"""Sends the operations of a batch of events, and stops at failures as far as each one requires."""

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
"""Consecutive server errors, over different operations, after which an API counts as down."""
_MAX_REJECTIONS: Final = 20
"""Events refused one by one, without a success between, after which an API counts as down."""


class Sender:
    """Sends operations during one delivery; earlier failures block people, or a whole API."""

    def __init__(self, clients: Clients) -> None:
        self.halted: dict[ApiName, Exception] = {}
        self._suspended: set[ApiName] = set()
        self._clients = clients
        self._blocked = BlockedPeople()
        self._is_unimpeded = True
        self._server_errors: dict[ApiName, int] = {"track": 0, "app": 0}
        self._rejected: dict[ApiName, set[int]] = {"track": set(), "app": set()}

    def encode(self, tasks: Sequence[Task]) -> None:
        """Encode the tasks' batch entries; a task that cannot be in a batch keeps none."""
        for task in tasks:
            try:
                text = _entry(task.operation)
            except Exception as error:  # concerns one operation: the others go on
                self._fail([task], error)
            else:
                if text:
                    task.entry, task.is_exclusive = text, task.operation.exclusive

    def send_stage(self, tasks: Sequence[Task]) -> None:
        """Send the tasks of one stage: in as few batches as possible, tasks without entry alone."""
        for group in split_by_size([task for task in tasks if task.entry], _size):
            self._send_batch(group)
        for task in tasks:
            if not task.entry:
                self.send_single(task)

    def send_single(self, task: Task) -> None:
        """Send a task by an SDK call of its own."""
        if not self._admit([task]):
            return
        operation = task.operation
        try:
            if isinstance(operation, Message):
                at_most_once(
                    operation.part, task.delivery.progress, lambda: self._send_message(operation)
                )
            else:
                _call(operation, self._clients.track)
        except SpoolError as error:  # "begun" was not recorded, so the message was not sent
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
        """Send tasks in one request. If it fails as a whole, bisect to find the tasks at fault."""
        group = self._admit(tasks)
        error = self._request(group) if group else None
        if error is None:
            return
        # After a server error, bisecting only serves to spare other events. With a single event in
        # the request there is none to spare, and each piece would load a struggling server.
        if len(group) == 1 or (isinstance(error, RetryLater) and _is_one_event(group)):
            self._fail(group, error)
        else:
            self._bisect(group)

    def _bisect(self, group: Sequence[Task]) -> None:
        """Send a group in two halves.

        A batch may hold several operations of a person, in order. So the second half starts after
        the first is settled, and `_admit` drops from it the people whom the first left undecided.
        A single bad operation among n costs about 2 log2(n) requests. Repeating those of its
        neighbours that the failed request may have stored is harmless: identifies are absolute and
        events carry ids by which Customer.io drops duplicates.
        """
        middle = len(group) // 2
        for half in (group[:middle], group[middle:]):
            self._send_batch(half)

    def _request(self, group: Sequence[Task]) -> Exception | None:
        """Make one request. Return an error that may concern only some of its tasks."""
        try:
            answer = self._clients.track.batch([orjson.Fragment(task.entry) for task in group])
        except _HALTING as error:
            self._fail(group, error)
        except RequestRejected as error:
            if error.status not in (404, 405):
                return error
            advice = "batches cannot be sent to it; check settings.trackUrl"
            self._fail(group, DestinationDown(f"{error.reason}: {advice}"))
        except RetryLater as error:
            return error
        else:
            self._apply_batch_errors(group, batch_errors(answer.content))
        return None

    def _apply_batch_errors(
        self, group: Sequence[Task], errors: list[tuple[int | None, str]]
    ) -> None:
        """Settle each task of an accepted batch from the errors that came with it.

        An error without a usable index belongs to an unknown task. The tasks not named are then
        bisected until a request of one task shows it; repeating the others does no harm.
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
        """Wait for the rate limit, then return the tasks that may be sent; fail the others.

        `may_proceed` comes after the wait, directly before the request: meanwhile consent may be
        withdrawn, or the person erased.
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
            delivery = task.delivery
            if delivery is not asked:
                _check_may_proceed(delivery)
            asked = delivery
            calm = self._is_unimpeded and not delivery.is_stopped  # the usual case
            if calm or self._is_admitted(task):
                admitted.append(task)
        return admitted

    def _is_admitted(self, task: Task) -> bool:
        """Return whether a task may be sent now; fail it otherwise."""
        error = self._obstacle(task)
        if error is not None:
            self._fail([task], error)
        return error is None

    def _obstacle(self, task: Task) -> Exception | None:
        """Return the reason that a task may not be sent now, or None."""
        if task.delivery.is_stopped:
            return NotAttempted("consent was withdrawn, or the person erased, before it was sent")
        if self._blocked.contains(task.operation, task.people):
            return NotAttempted("waits for an earlier event of the same person")
        api = api_of(task.operation)
        if api in self._suspended:
            return NotAttempted("events of others failed before it")
        return self.halted.get(api) if self.halted else None

    def _succeed(self, tasks: Sequence[Task]) -> None:
        for task in tasks:
            task.delivery.done.append(task.operation)
        if tasks:
            api = api_of(tasks[0].operation)
            self._server_errors[api] = 0
            self._rejected[api].clear()

    def _fail(self, tasks: Sequence[Task], error: Exception) -> None:
        """Fail tasks of one API. Unless refused, they block later operations of their people."""
        cause = error.cause if isinstance(error, InDoubt) and error.cause else error
        api = api_of(tasks[0].operation)
        self._update_halted(api, tasks, cause)
        if not isinstance(cause, Rejected):
            self._is_unimpeded = False
        for task in tasks:
            task.error = error
            task.delivery.failed.append(task)
            if not isinstance(error, Rejected):
                self._blocked.add(task.operation, task.people)

    def _update_halted(self, api: ApiName, tasks: Sequence[Task], cause: Exception) -> None:
        """Halt an API after an error that concerns all its requests, or after too many errors."""
        if cause is self.halted.get(api):
            return  # it failed for that error, not by a request of its own
        if isinstance(cause, RetryLater):
            self._server_errors[api] += 1
        if api == "track" and len(tasks) == 1 and _may_concern_one(cause):
            # The request of one event, which may be in trouble by itself. After some of these in a
            # row the others are not attempted: the core finds out whether everybody is.
            if self._server_errors[api] >= _MAX_SERVER_ERRORS:
                self._suspended.add(api)
        elif isinstance(cause, _HALTING) or self._server_errors[api] >= _MAX_SERVER_ERRORS:
            self.halted.setdefault(api, cause)
        if isinstance(cause, RequestRejected):
            refused = self._rejected[api]
            refused.update(id(task.delivery) for task in tasks)
            if len(refused) >= _MAX_REJECTIONS:
                self.halted.setdefault(
                    api, NotProcessed(f"{cause.reason}; it refuses every request")
                )
                self._is_unimpeded = False


def _may_concern_one(cause: Exception) -> bool:
    """Return whether a failed request may fail for its event alone.

    Not where the other side asks to wait: that concerns every request.
    """
    return isinstance(cause, NotProcessed | NoResponse) and cause.after is None


def _size(task: Task) -> int:
    return len(task.entry)


def _check_may_proceed(delivery: EventDelivery) -> None:
    """Stop a delivery that may not proceed any more."""
    if delivery.may_proceed is None or delivery.is_stopped:
        return
    try:
        delivery.is_stopped = not delivery.may_proceed()
    except SpoolError:  # consent is unknown, so nothing is sent
        delivery.is_stopped = True


def _entry(operation: Operation) -> bytes:
    """Return an operation's batch entry; empty if it needs a request of its own."""
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
        raise Invalid("an id contains a lone surrogate, which no URL can encode") from None


def _is_one_event(group: Sequence[Task]) -> bool:
    return all(task.delivery is group[0].delivery for task in group)
