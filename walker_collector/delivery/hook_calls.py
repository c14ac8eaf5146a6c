"""Calls of the hooks of a destination; their exceptions become outcomes."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from walker_collector.delivery.destination import Destination
from walker_collector.delivery.outcome import DELIVERED, NOTIFIED, Outcome
from walker_collector.delivery.task import Task
from walker_collector.delivery.timeout import TimeLimit
from walker_collector.delivery.trace import event_id
from walker_collector.error_details import after_of, attribute_of, place_of, reason_of
from walker_collector.errors import (
    DestinationDown,
    NotAttempted,
    NothingToSend,
    PartDown,
    PluginError,
    Rejected,
    RetryLater,
    SpoolError,
)
from walker_collector.hookspecs import Event, Item, Person
from walker_collector.people.identity import KINDS
from walker_collector.text import describe, storable, type_name

FOUND_BY_PLUGIN: Final = ("unidentified", "invalid")
"""The `status` of rejections that a plugin finds without asking the service."""


class HookCalls:
    """Calls `push`, `push_batch`, `consent` and `erased`, within the destination's `timeout`."""

    def __init__(self, destination: Destination) -> None:
        timeout = destination.config.timeout
        self._destination = destination
        self._hooks = destination.hooks
        self._limit = None if timeout is None else TimeLimit(destination.id, timeout / 1000)

    def includes(self, thread: int) -> bool:
        """Return whether this thread, started for a time limit, is inside a hook."""
        return self._limit is not None and thread in self._limit.running

    def push(self, task: Task) -> Outcome:
        """Send one event, or a change of consent, by itself; never raises."""
        item = task.item
        assert item is not None
        try:
            if task.notice:
                self._call(self._notify, item)
                return NOTIFIED
            self._call(
                self._hooks.push,
                event=item.event,
                data=item.data,
                rule=item.rule,
                context=item.context,
            )
        except BaseException as error:  # even SystemExit must not end the thread that delivers
            return self.outcome_of(error, task)
        return DELIVERED

    def push_batch(self, tasks: Sequence[Task]) -> Mapping[int, BaseException]:
        """Send a batch; return the failures by their index. Raises whatever the hook raises."""
        failures = self._call(
            self._hooks.push_batch,
            batch=[task.item for task in tasks],
            context=self._destination.context,
        )
        if failures is None:
            return {}
        if isinstance(failures, Mapping):
            found = dict(failures.items())  # a class of the plugin's may raise later
            if not found:
                return found
            if all(
                type(index) is int
                and 0 <= index < len(tasks)
                and issubclass(type(error), BaseException)
                for index, error in found.items()
            ):
                return found
        plugin = type(self._destination.instance).__qualname__
        raise PluginError(
            f"{plugin}.push_batch must return None, or exceptions by the index of their events"
        )

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

    def outcome_of(self, error: BaseException, task: Task) -> Outcome:
        """Return the outcome of an event, given the error of its call."""
        kind = type(error)  # isinstance would ask `__class__` as well, which may raise
        if issubclass(kind, NothingToSend):
            return Outcome("empty", reason_of(error))
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
        return self.bug(error, "push", task)

    def bug(self, error: BaseException, where: str, task: Task) -> Outcome:
        """Log an unexpected exception, and return it as an outcome."""
        self._destination.log_bug(where, error, event_id(task.entry))
        place = place_of(error)
        brief = f"an unexpected {type_name(error)} in {where} at {place}"
        return Outcome("bug", f"{describe(error, 400)} (at {place})", brief=brief)

    def _call(self, hook: Any, *args: Any, **kwargs: Any) -> Any:
        return self._limit(hook, *args, **kwargs) if self._limit else hook(*args, **kwargs)

    def _notify(self, item: Item) -> None:
        self._hooks.consent(
            update=item.event["data"],
            state=item.event["custom"],
            person=person_of(item.event),
            context=item.context,
        )


def person_of(event: Event) -> Person | None:
    """Return the person of a change of consent; None: the default."""
    user = event.get("user") or {}
    return Person(**{key: _text(user.get(key)) for key in KINDS}) if user else None


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
