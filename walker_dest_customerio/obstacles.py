"""The obstacles that come up during one delivery, and stop its later operations. Pure.

Within one delivery, nothing of a person is sent to an API after something earlier of theirs failed
there without a final answer, and no change of an object after an earlier one. The APIs are
independent: a message never blocks the Track API, and waits only for changes of its person. An API
that failed as a whole gets no more requests.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from walker_collector import DestinationDown, NotAttempted, PartDown, Rejected, RetryLater
from walker_dest_customerio.at_most_once import InDoubt
from walker_dest_customerio.event_delivery import Task
from walker_dest_customerio.operations import ApiName, Message, Occurrence
from walker_dest_customerio.responses import NoResponse, NotProcessed, RequestRejected

HALTING: Final = (NotProcessed, NoResponse, DestinationDown, PartDown)
"""Errors that concern all requests of their API."""
_MAX_SERVER_ERRORS: Final = 2
"""Consecutive server errors, over different operations, after which an API counts as down."""
_MAX_REJECTIONS: Final = 20
"""Events refused one by one, without a success between, after which an API counts as down."""


class Obstacles:
    """The people and the APIs that failed during one delivery.

    halted: by API, the error with which its later operations fail without a request.
    """

    def __init__(self) -> None:
        self.halted: dict[ApiName, Exception] = {}
        self._blocked: defaultdict[ApiName, set[str]] = defaultdict(set)
        # A change is an identify, a device, a merge or a suppression; an event changes nobody, so
        # that messages need not wait for one.
        self._with_pending_change: set[str] = set()
        self._server_errors: defaultdict[ApiName, int] = defaultdict(int)
        self._rejected: defaultdict[ApiName, set[int]] = defaultdict(set)

    def before(self, task: Task) -> Exception | None:
        """Return the reason that an operation may not be sent, or None."""
        api, people = task.operation.api, task.people
        blocked = self._blocked[api]
        is_message = isinstance(task.operation, Message)
        if not blocked.isdisjoint(people) or (
            is_message and not self._with_pending_change.isdisjoint(people)
        ):
            return NotAttempted("waits for an earlier event of the same person")
        if not blocked.isdisjoint((*task.operation.objects, *task.operation.fences)):
            return NotAttempted("waits for an earlier event about the same object")
        return self.halted.get(api)

    def succeeded(self, api: ApiName) -> None:
        """Note a success: failures in a row are over."""
        self._server_errors.pop(api, None)
        self._rejected.pop(api, None)

    def failed(self, tasks: Sequence[Task], error: Exception) -> None:
        """Note that tasks of one API failed. Unless refused, they block their people's later ones.

        An API is halted by an error that concerns all its requests, or by too many errors.
        """
        api = tasks[0].operation.api
        cause = error.cause if isinstance(error, InDoubt) and error.cause else error
        if cause is not self.halted.get(api) and not isinstance(cause, NotAttempted):
            self._judge(api, tasks, cause)
        if isinstance(error, Rejected):
            return
        for task in tasks:
            self._blocked[api].update((*task.people, *task.operation.fences))
            if not isinstance(task.operation, Message | Occurrence):
                self._with_pending_change.update(task.people)

    def _judge(self, api: ApiName, tasks: Sequence[Task], cause: Exception) -> None:
        if isinstance(cause, RetryLater):
            self._server_errors[api] += 1
        is_down = self._server_errors[api] >= _MAX_SERVER_ERRORS
        if api == "track" and len(tasks) == 1 and _may_concern_one(cause):
            # The request of one event, which may be in trouble by itself. After some of these in a
            # row the others are not attempted: the core finds out whether everybody is.
            if is_down:
                self.halted.setdefault(api, NotAttempted("events of others failed before it"))
        elif isinstance(cause, HALTING) or is_down:
            self.halted.setdefault(api, cause)
        if isinstance(cause, RequestRejected):
            rejected = self._rejected[api]
            rejected.update(id(task.delivery) for task in tasks)
            if len(rejected) >= _MAX_REJECTIONS:
                reason = f"{cause.reason}; it refuses every request"
                self.halted.setdefault(api, NotProcessed(reason))


def _may_concern_one(cause: Exception) -> bool:
    """Return whether a failed request may fail for its event alone.

    Not where the other side asks to wait: that concerns every request.
    """
    return isinstance(cause, NotProcessed | NoResponse) and cause.after is None
