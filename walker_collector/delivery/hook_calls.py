"""Calls of the hooks of a destination; their exceptions become outcomes."""

import contextlib
import inspect
import threading
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from walker_collector.delivery.destination import Destination
from walker_collector.delivery.outcome import DELIVERED, NOTIFIED, Outcome
from walker_collector.delivery.task import Task
from walker_collector.delivery.timeout import TimeLimit
from walker_collector.delivery.trace import event_id
from walker_collector.error_details import (
    after_of,
    attribute_of,
    definition_of,
    reason_of,
)
from walker_collector.errors import (
    DestinationDown,
    Ignored,
    NotAttempted,
    NothingToSend,
    PartDown,
    Rejected,
    RetryLater,
    SpoolError,
)
from walker_collector.hooks import BrokenContract
from walker_collector.hookspecs import Event, Item, Person
from walker_collector.people.identity import KINDS
from walker_collector.text import storable, type_name

BATCH_RETURNS: Final = (
    "return None, or a dict of exceptions by the index of their events in the batch"
)
PUSH_RETURNS: Final = "return nothing after a delivery, and raise an exception for a failure"
FOUND_BY_PLUGIN: Final = ("unidentified", "invalid")
"""The `status` of rejections that a plugin finds without asking the service."""


class HookCalls:
    """Calls `push`, `push_batch`, `consent` and `erased`, within the destination's `timeout`."""

    def __init__(self, destination: Destination) -> None:
        timeout = destination.config.timeout
        self._destination = destination
        self._hooks = destination.hooks
        self._told: set[str] = set()
        self._under_way: dict[int, tuple[str, float]] = {}
        """The hook that each thread is inside of, and when it was called (monotonic, s)."""
        self._limit = None if timeout is None else TimeLimit(destination.id, timeout / 1000)

    def includes(self, thread: int) -> bool:
        """Return whether this thread, started for a time limit, is inside a hook."""
        return self._limit is not None and thread in self._limit.running

    def push(self, task: Task) -> Outcome:
        """Send one event, or a change of consent, by itself; never raises."""
        item, thread = task.item, threading.get_ident()
        assert item is not None
        try:
            if task.notice:
                self._noted("consent", self._notify, item)
                return NOTIFIED
            # As `_noted` does, without calls in between: it runs for each event.
            self._under_way[thread] = "push", time.monotonic()
            hook = (
                self._hooks.push if self._limit is None else partial(self._limit, self._hooks.push)
            )
            answer = hook(event=item.event, data=item.data, rule=item.rule, context=item.context)
            if answer is not None:
                self._check_answer(answer)
        except BaseException as error:  # even SystemExit must not end the thread that delivers
            return self.outcome_of(error, task)
        finally:
            self._under_way.pop(thread, None)
        return DELIVERED

    def push_batch(self, tasks: Sequence[Task]) -> Mapping[int, BaseException]:
        """Send a batch; return the failures by their index. Raises whatever the hook raises."""
        failures = self._noted(
            "push_batch",
            self._hooks.push_batch,
            batch=[task.item for task in tasks],
            context=self._destination.context,
        )
        if failures is None:
            return {}
        self._check_ran("push_batch", failures)
        if not isinstance(failures, Mapping):
            raise self._broken("push_batch", f"returned {type_name(failures)}")
        found = dict(failures.items())  # a class of the plugin's may raise later
        for index, error in found.items():
            if type(index) is not int or not 0 <= index < len(tasks):
                given = index if type(index) is int else type_name(index)
                of = f"the index {given} for a batch of {len(tasks)}"
                raise self._broken("push_batch", f"returned {of}")
            if not issubclass(type(error), BaseException):
                raise self._broken("push_batch", f"returned {type_name(error)} as a failure")
        return found

    def _check_answer(self, answer: Any) -> None:
        """Refuse a result of `push` that stands for a failure; tell once of any other."""
        self._check_ran("push", answer)
        if (error := _as_exception(answer)) is not None:
            raise self._broken("push", f"returned {error}", "raise it")
        if answer is False:
            raise self._broken("push", "returned False", PUSH_RETURNS)
        # Such as the response of a service: a second call could repeat what has arrived.
        advice = f"the event counts as delivered; {PUSH_RETURNS}"
        self._tell_once(self._broken("push", f"returned {type_name(answer)}", advice))

    def _check_ran(self, hook: str, answer: Any) -> None:
        """Refuse the result of an async function, which has not run."""
        if inspect.iscoroutine(answer):
            answer.close()  # else Python warns that nobody awaits it
            advice = "a hook is a plain function (see the guide about async clients)"
            raise self._broken(hook, "returned a coroutine, which is not run", advice)

    def _broken(self, hook: str, problem: str, advice: str = BATCH_RETURNS) -> BrokenContract:
        plugin = self._destination.instance
        place = definition_of(getattr(type(plugin), hook, None))
        return BrokenContract(hook, f"{type(plugin).__qualname__}.{hook}", place, problem, advice)

    def erased(self, person: Person | None) -> None:
        """Call the hook `erased`, for the destination to drop its memory of a person; None: of all.

        Never raises: no plugin stops an erasure.
        """
        destination = self._destination
        try:
            self._call(self._hooks.erased, person=person, context=destination.context)
        except (RetryLater, DestinationDown) as error:
            destination.log.error(
                "destination %s: erased has failed, and it may remember the person: %s",
                destination.id,
                reason_of(error),
            )
        except BaseException as error:
            destination.log_bug("erased", error)

    def outcome_of(self, error: BaseException, task: Task, hook: str = "push") -> Outcome:
        """Return the outcome of an event, given the error of its call."""
        kind = type(error)  # isinstance would ask `__class__` as well, which may raise
        if issubclass(kind, NothingToSend):
            return Outcome("empty", reason_of(error))
        if issubclass(kind, Ignored):
            return Outcome("ignored", reason_of(error))
        if issubclass(kind, NotAttempted):
            return Outcome("not_attempted", reason_of(error))
        if issubclass(kind, Rejected):
            status = attribute_of(error, "status")
            found_by_plugin = type(status) is str and status in FOUND_BY_PLUGIN
            return Outcome("rejected", reason_of(error), found_by_plugin=found_by_plugin)
        if issubclass(kind, PartDown):
            return Outcome("retry", reason_of(error), counted=False, part=True)
        if issubclass(kind, RetryLater):
            return Outcome("retry", reason_of(error), after=after_of(error))
        if issubclass(kind, DestinationDown):
            return Outcome("unavailable", reason_of(error), down=True)
        if issubclass(kind, SpoolError):  # progress could not be recorded
            return Outcome("retry", storable(error))
        return self.bug(error, hook, task)

    def bug(self, error: BaseException, where: str, task: Task) -> Outcome:
        """Log an unexpected exception, and return it as an outcome."""
        if type(error) is BrokenContract:  # isinstance would ask `__class__`, as above
            return self._told_broken(error)
        destination = self._destination
        destination.log_bug(where, error, event_id(task.entry))
        # Without the text, which may quote an event: reasons are shown, and counted by reason.
        reason = f"{where} raised {destination.failure_of(where, error)}"
        return Outcome("bug", reason, error=storable(error))

    def _told_broken(self, error: BrokenContract) -> Outcome:
        self._tell_once(error)
        return Outcome("bug", str(error), brief=error.brief)

    def _tell_once(self, error: BrokenContract) -> None:
        """Log a breach of the contract once: it is the same for every event."""
        if error.hook not in self._told:
            self._told.add(error.hook)
            log = self._destination.context.logger
            with contextlib.suppress(BaseException):  # handlers of the application may raise
                log.error("destination %s: %s", self._destination.id, error)

    def longest_call(self) -> str:
        """Return the call under way that began first, and its time so far; "" if there is none."""
        calls = list(self._under_way.values())
        if not calls:
            return ""
        name, began = min(calls, key=lambda call: call[1])
        plugin = type(self._destination.instance).__qualname__
        return f"a call to {plugin}.{name} has been under way for {time.monotonic() - began:.1f} s"

    def _noted(self, name: str, hook: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a hook, noted as under way: one that hangs can be named."""
        thread = threading.get_ident()
        self._under_way[thread] = name, time.monotonic()
        try:
            return self._call(hook, *args, **kwargs)
        finally:
            del self._under_way[thread]

    def _call(self, hook: Any, *args: Any, **kwargs: Any) -> Any:
        return self._limit(hook, *args, **kwargs) if self._limit else hook(*args, **kwargs)

    def _notify(self, item: Item) -> None:
        self._hooks.consent(
            update=item.event["data"],
            state=item.event["custom"],
            person=person_of(item.event),
            context=item.context,
        )


def _as_exception(answer: Any) -> str | None:
    """Return the name of an exception, or of a class of exceptions; None for other values."""
    if issubclass(type(answer), BaseException):
        return type_name(answer)
    if isinstance(answer, type) and issubclass(answer, BaseException):
        return storable(answer.__name__)
    return None


def person_of(event: Event) -> Person | None:
    """Return the person of a change of consent; None: the default."""
    user = event.get("user") or {}
    return Person(**{key: _text(user.get(key)) for key in KINDS}) if user else None


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
