"""Delivery of planned operations to Customer.io, through the official SDK's clients.

`batch` puts many operations into a request (Track v2), `single` makes one SDK call for each.
Transactional messages always go one by one. Nothing is retried here; each delivery's error tells
the collector whether to.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

import orjson
from customerio import CustomerIOException

from walker_collector import (
    DestinationDown,
    NotAttempted,
    PartDown,
    Rejected,
    RetryLater,
    SpoolError,
)
from walker_collector.clients import listed
from walker_dest_customerio.at_most_once import at_most_once
from walker_dest_customerio.batches import REQUEST_BYTES
from walker_dest_customerio.clients import Clients
from walker_dest_customerio.event_delivery import (
    EventDelivery,
    Task,
    batches_of,
    conclude,
    remaining_operations,
)
from walker_dest_customerio.obstacles import HALTING, Obstacles
from walker_dest_customerio.operations import ApiName, Message, Operation
from walker_dest_customerio.responses import (
    USUAL_SUCCESS,
    Invalid,
    RequestRejected,
    batch_errors,
)

Mode = Literal["batch", "single"]

_ONE_REQUEST: Final = REQUEST_BYTES - 100
"""Bytes of operations that surely fit into one request: the rest is room for its frame."""
_MAX_SEARCHES: Final = 64
"""Requests of one delivery that search for bad operations. One among 500 takes 18."""


class Delivery:
    """Delivers events through the clients; one instance may serve several threads."""

    def __init__(self, clients: Clients, mode: Mode = "batch") -> None:
        self._clients = clients
        self._mode = mode

    def deliver(
        self,
        deliveries: Sequence[EventDelivery],
        now: float | None = None,
        may_all_proceed: Callable[[], bool] = lambda: False,
    ) -> dict[ApiName, Exception]:
        """Send the operations of all deliveries, in order for each event and each person.

        Sets `done`, `failed` and `error` of each delivery. A refused operation stops no other.
        After an undecided one, nothing more of the same person is sent; after an error of a whole
        API (unreachable, or it asks to wait), nothing more is sent there. Returns those errors by
        API. `now` is in unix seconds. After `may_all_proceed` the events are not asked about one by
        one.
        """
        sender = _Sender(self._clients, time.time() if now is None else now, may_all_proceed)
        tasks: list[Task] = []
        for delivery in deliveries:
            operations, progress = delivery.plan.operations, delivery.progress
            if progress is not None and (earlier := progress.parts):
                operations = remaining_operations(delivery, earlier)
            tasks += [Task(delivery, operation) for operation in operations]
        if self._mode == "batch":
            sender.send_batches(tasks)
        else:
            for task in tasks:
                sender.send_single(task)
        for delivery in deliveries:
            if delivery.failed or delivery.has_earlier_attempts:
                conclude(delivery)
        return sender.obstacles.halted if sender.obstacles else {}

    def close(self) -> None:
        """Close the connections."""
        self._clients.close()


class _Sender:
    """Sends the operations of one delivery, as far as earlier failures let them.

    obstacles: None as long as nothing has failed, as almost always.
    """

    def __init__(self, clients: Clients, now: float, may_all_proceed: Callable[[], bool]) -> None:
        self.obstacles: Obstacles | None = None
        self._may_all_proceed = may_all_proceed
        self._clients = clients
        self._now = now
        self._searches = 0

    def send_batches(self, tasks: Sequence[Task]) -> None:
        """Send tasks in as few batches as their order and size allow."""
        ready, size, is_plain = [], 0, True
        for task in tasks:
            try:
                task.prepare(self._now)
            except Exception as error:  # concerns one operation: the others go on
                self._fail([task], error)
                continue
            ready.append(task)
            size += len(task.entry) + 1
            is_plain = is_plain and not task.is_exclusive and not task.operation.fences
        if is_plain and size < _ONE_REQUEST:
            if ready:
                self._send_batch(ready)
            return
        for group in batches_of(ready):
            if group[0].entry:
                self._send_batch(group)
            else:
                self.send_single(group[0])

    def send_single(self, task: Task) -> None:
        """Send a task by an SDK call of its own."""
        if not self._admit([task]):
            return
        operation = task.operation
        try:
            if isinstance(operation, Message):
                self._send_message(operation, task.delivery)
            else:
                self._call(operation, self._clients.track)
        except DestinationDown as error:
            # The APIs are apart: messages wait, and all else is delivered.
            self._fail([task], PartDown(error.reason) if operation.api == "app" else error)
        except SpoolError as error:  # "begun" was not recorded, so the message was not sent
            self._fail([task], RetryLater(str(error)))
        except Exception as error:
            self._fail([task], error)
        else:
            self._succeed([task])

    def _send_message(self, message: Message, delivery: EventDelivery) -> None:
        app, answers = self._clients.app, []

        def send() -> None:
            if app is None:
                raise Rejected("transactional messages need settings.appApiKey")
            answers.append(self._call(message, app))

        at_most_once(message.part, delivery.progress, send)
        if delivery.on_sent is not None:
            delivery.on_sent(message, answers[0])

    def _call(self, operation: Operation, client: Any) -> Any:
        problem = operation.problem(self._now) or operation.path_problem()
        problem = problem or operation.size_problem()
        if problem is not None:
            raise Invalid(problem)
        try:
            return operation.send(client)
        except CustomerIOException as error:  # the SDK itself refuses blank ids
            raise Rejected(str(error)) from None
        except UnicodeError:
            raise Invalid("an id contains a lone surrogate, which no URL can encode") from None

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
            self._bisect(group, error)

    def _bisect(self, group: Sequence[Task], error: Exception) -> None:
        """Send a group in two halves, to find the tasks at fault for an error.

        A batch may hold several operations of a person, in order. So the second half starts after
        the first is settled, and `_admit` drops from it the people whom the first left undecided.
        A single bad operation among n costs about 2 log2(n) requests. Repeating those of its
        neighbours that the failed request may have stored is harmless: identifies are absolute and
        events carry ids by which Customer.io drops duplicates. With many bad operations, some are
        found by a later attempt.
        """
        if self._searches >= _MAX_SEARCHES:
            self._fail(group, RetryLater(f"{error}; which operations are meant is not known yet"))
            return
        self._searches += 2
        middle = len(group) // 2
        for half in (group[:middle], group[middle:]):
            self._send_batch(half)

    def _request(self, group: Sequence[Task]) -> Exception | None:
        """Make one request. Return an error that may concern only some of its tasks."""
        try:
            answer = self._clients.track.batch([orjson.Fragment(task.entry) for task in group])
        except HALTING as error:
            self._fail(group, error)
        except RequestRejected as error:
            if error.status not in (404, 405):
                return error
            advice = "batches cannot be sent to it; check settings.trackUrl"
            self._fail(group, DestinationDown(f"{error.reason}: {advice}"))
        except RetryLater as error:
            return error
        else:
            is_usual = answer.content.strip() == USUAL_SUCCESS
            self._apply_batch_errors(group, [] if is_usual else batch_errors(answer.content))
        return None

    def _apply_batch_errors(
        self, group: Sequence[Task], errors: list[tuple[int | None, str]]
    ) -> None:
        """Settle each task of an accepted batch from the errors that came with it.

        An error without an index belongs to an unknown task. The tasks not named are then bisected
        until a request of one task shows it; repeating the others does no harm. An index that no
        task has is the service's mistake, and says nothing about a task.
        """
        if not errors:
            self._succeed(group)
            return
        refused: dict[int, list[str]] = defaultdict(list)
        unplaced, odd = [], []
        for index, message in errors:
            if index is None:
                unplaced.append(message)
            elif 0 <= index < len(group):
                refused[index].append(message)
            else:
                odd.append(message)
        if unplaced and len(group) == 1:
            refused[0] += unplaced
        for index, messages in refused.items():
            self._fail([group[index]], Rejected(listed(messages)))
        rest = [task for index, task in enumerate(group) if index not in refused]
        error = RetryLater(f"errors of operations that were not sent: {listed(unplaced + odd)}")
        if rest and len(group) > 1 and (unplaced or odd):
            self._bisect(rest, error)
        elif rest and odd:
            self._fail(rest, error)
        else:
            self._succeed(rest)

    def _admit(self, tasks: Sequence[Task]) -> Sequence[Task]:
        """Wait for the rate limit, then return the tasks that may be sent; fail the others.

        Each event is asked about after the wait, directly before the request: during the wait its
        consent may be withdrawn, or its person erased.
        """
        if self.obstacles:
            tasks = [task for task in tasks if self._is_admitted(task)]
        if not tasks:
            return tasks
        self._clients.limits[tasks[0].operation.api].wait()
        if self.obstacles is None and self._may_all_proceed():
            return tasks
        asked: EventDelivery | None = None
        is_any_stopped = False
        for task in tasks:
            delivery = task.delivery
            if delivery is asked:
                continue
            asked = delivery
            if delivery.may_proceed is not None and not delivery.is_stopped:
                try:
                    delivery.is_stopped = not delivery.may_proceed()
                except SpoolError:  # consent is unknown, so nothing is sent
                    delivery.is_stopped = True
            is_any_stopped = is_any_stopped or delivery.is_stopped
        if is_any_stopped:
            # Task by task: one that is dropped blocks the later ones of its person.
            tasks = [task for task in tasks if self._is_admitted(task)]
        return tasks

    def _is_admitted(self, task: Task) -> bool:
        """Return whether a task may be sent now; fail it otherwise."""
        error: Exception | None = None
        if task.delivery.is_stopped:
            error = NotAttempted("consent was withdrawn, or the person erased, before it was sent")
        elif self.obstacles:
            error = self.obstacles.before(task)
        if error is not None:
            self._fail([task], error)
        return error is None

    def _succeed(self, tasks: Sequence[Task]) -> None:
        for task in tasks:
            task.delivery.done.append(task.operation)
        if tasks and self.obstacles:
            self.obstacles.succeeded(tasks[0].operation.api)

    def _fail(self, tasks: Sequence[Task], error: Exception) -> None:
        self.obstacles = self.obstacles or Obstacles()
        self.obstacles.failed(tasks, error)
        for task in tasks:
            task.error = error
            task.delivery.failed.append(task)


def _is_one_event(group: Sequence[Task]) -> bool:
    return all(task.delivery is group[0].delivery for task in group)
