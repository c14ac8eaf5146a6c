"""Dispatch a batch: decode, check consent, map, call the hook, and return each entry's outcome.

Knows nothing of queues and retries: entries in, outcomes out, in the same order.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

import attrs

from walker_collector.config import MISSING, Consent, PartState
from walker_collector.delivery.backoff import wary_from
from walker_collector.delivery.batching import any_rule_batches, split
from walker_collector.delivery.destination import Destination, context_for
from walker_collector.delivery.log_limiter import LogLimiter
from walker_collector.delivery.outcome import (
    DELIVERED,
    IGNORED,
    NOT_ATTEMPTED,
    NOTIFIED,
    Outcome,
    OutcomeKind,
)
from walker_collector.delivery.task import Task
from walker_collector.delivery.timeout import TimeLimit
from walker_collector.delivery.trace import event_id, trace
from walker_collector.error_details import after_of, place_of, reason_of
from walker_collector.errors import (
    DestinationDown,
    NotAttempted,
    NothingToSend,
    PluginError,
    Rejected,
    RetryLater,
    SpoolError,
)
from walker_collector.events import decode
from walker_collector.hookspecs import Event, Item, Person, Progress
from walker_collector.mapping import UNMATCHED
from walker_collector.people.consent import ConsentSnapshot, ConsentStore
from walker_collector.people.identity import KINDS
from walker_collector.spool import DeliveryState, Entry
from walker_collector.text import describe, storable

CONSENT_CHANGED: Final = "walker consent"
"""The event name of a change of consent in the queues of destinations that listen to it."""
_UNMATCHED_MAX: Final = 50
"""Names of events without a rule that are logged, once each."""
FOUND_BY_PLUGIN: Final = ("unidentified", "invalid")
"""The `status` of rejections that a plugin finds without asking the service."""


class Dispatcher:
    """Delivers batches to one destination.

    `acquire_rate_limit` is called before every hook: it waits until the call is allowed, and
    returns False when no more may be made. `is_new` says, for an event's number and person,
    whether its failure would say something new about the destination. `is_current` says whether
    an entry may still be sent: not if its person is being erased.
    """

    def __init__(
        self,
        destination: Destination,
        consents: ConsentStore,
        attempt_of: Callable[[int], DeliveryState],
        progress_of: Callable[[Entry, Mapping[str, PartState], Mapping[str, str]], Progress],
        acquire_rate_limit: Callable[[], bool],
        is_new: Callable[[int, str], bool],
        is_current: Callable[[Entry], bool],
        log: LogLimiter,
    ) -> None:
        self._destination = destination
        timeout = destination.config.timeout
        self._limit = None if timeout is None else TimeLimit(destination.id, timeout / 1000)
        self._consents = consents
        self._attempt_of = attempt_of
        self._progress_of = progress_of
        self._acquire_rate_limit = acquire_rate_limit
        self._is_new = is_new
        self._is_current = is_current
        self._log = log
        config = destination.config
        self._rules_batch = any_rule_batches(config.mapping)
        self._warns_unmatched = bool(config.mapping) and config.data is None
        self._unmatched: set[str] = set()

    def run(self, entries: Sequence[Entry], said: ConsentSnapshot) -> list[Outcome]:
        """Deliver entries in order and return their outcomes; never raises.

        `said` is the consent of their people, one snapshot for the whole batch: a grant in between
        must not let a later event overtake an earlier one. A withdrawal in between counts.
        """
        tasks = [Task(entry, said.names[entry[1]]) for entry in entries]
        self._send(tasks, said)
        if self._destination.context.logger.isEnabledFor(logging.INFO):
            trace(self._destination, tasks)
        outcomes = [
            task.outcome if task.outcome is DELIVERED else _with_consent(task) for task in tasks
        ]
        for task in tasks:
            if task.item is not None:
                # A task and its context refer to each other: only the garbage collector would
                # free them. And a call that hung may return after this, and must not go on.
                task.item.context.proceed = _never
        return outcomes

    def _prepared(
        self, tasks: Iterable[Task], waiting: set[str], said: ConsentSnapshot
    ) -> Iterator[Task]:
        """Map the tasks and yield those to send; those of people in `waiting` are left out.

        A person whose event cannot be mapped joins `waiting`, so that later ones stay behind it.
        """
        for task in tasks:
            self._prepare(task, said)
            if task.item is None:
                self._note(task, waiting)
            elif task.person not in waiting:
                yield task

    def _prepare(self, task: Task, said: ConsentSnapshot) -> None:
        """Give the task an item to send, or an outcome that needs no call."""
        try:
            made = self._map(task, said)
        except SpoolError:
            raise
        except BaseException as error:  # from a function of the plugin or the user in the mapping
            made = self._bug(error, "mapping", task)
        if isinstance(made, Outcome):
            task.item, task.outcome = None, made
        else:
            task.item = made

    def _map(self, task: Task, said: ConsentSnapshot) -> Item | Outcome:
        entry = task.entry
        event = decode(entry[3])
        attempt = self._attempt_of(entry[0])
        progress = self._progress_of(entry, attempt.parts, attempt.refusals)
        context = context_for(self._destination, said.bases[entry[1]], event, attempt, progress)
        context.proceed = partial(self._may_proceed, task, said)
        context.person = task.person
        task.notice = event["name"] == CONSENT_CHANGED
        if task.notice:
            return Item(event, MISSING, None, context)
        if not self._destination.admits(context.consent):
            return self._denied(context.consent)
        mapped = self._destination.mapper(event, context)
        if mapped.outcome == "ignored":
            return IGNORED
        if mapped.outcome == "denied":
            return self._denied(context.consent)
        if mapped.outcome == "unmatched":
            return Outcome("rejected", UNMATCHED, known=True)
        if mapped.rule is None and self._warns_unmatched:
            self._warn_unmatched(event["name"])
        context.event = mapped.event
        return Item(mapped.event, mapped.data, mapped.rule, context)

    def _warn_unmatched(self, name: str) -> None:
        """Log a name without a rule, the first time it comes up."""
        if name in self._unmatched or len(self._unmatched) >= _UNMATCHED_MAX:
            return
        self._unmatched.add(name)
        self._destination.context.logger.warning(
            "destination %s: no rule of its mapping is for %r, which goes out without data; write "
            "one, or set unmatched to ignore or error",
            self._destination.id,
            name[:80],
        )

    def _may_proceed(self, task: Task, said: ConsentSnapshot) -> bool:
        """Return whether an item may still be sent: not after a withdrawal or an erasure.

        Nor after its delivery was given up (`timeout`): a call that hung must not go on then.
        """
        if task.outcome is not NOT_ATTEMPTED or not self._is_current(task.entry):
            return False
        if said.version == self._consents.version:
            return True
        return isinstance(self._map(task, self._consents.snapshot([task.entry[1]])), Item)

    def _denied(self, consent: Consent) -> Outcome:
        kind: OutcomeKind = "held" if self._destination.config.queue else "dropped"
        return Outcome(kind, "consent not granted", consent=consent)

    def _send(self, tasks: Sequence[Task], said: ConsentSnapshot) -> None:
        """Send the tasks in order; a person's later events wait behind one that must be retried."""
        waiting: set[str] = set()  # people with an event that cannot be mapped
        ready = self._prepared(tasks, waiting, said)
        try:
            if self._destination.config.mock is not MISSING:
                for task in ready:
                    task.outcome = DELIVERED
            elif self._destination.hooks.push_batch is None:
                # Each is mapped just before its call, while it is in the processor's cache.
                self._send_each(ready, waiting, said, self._push)
            else:
                # All are mapped before the first call. `waiting` starts empty: the later events of
                # its people were left out already, and the earlier ones may go.
                self._send_batches(list(ready), set(), said)
        except SpoolError as error:  # the consent of people could not be read
            for task in tasks:
                if task.outcome is NOT_ATTEMPTED:
                    task.outcome = Outcome("unavailable", storable(error))

    def _send_batches(
        self, tasks: Sequence[Task], waiting: set[str], said: ConsentSnapshot
    ) -> None:
        for run in self._runs(tasks):
            if run[0].notice:
                going = self._send_each(run, waiting, said, self._push)
            else:
                going = self._send_batch(run, waiting, said)
            if not going:
                return

    def _runs(self, tasks: Sequence[Task]) -> Iterable[Sequence[Task]]:
        if self._rules_batch or any(task.notice for task in tasks):
            return split(tasks)
        return [tasks] if tasks else []

    def _may_go(
        self, tasks: Iterable[Task], waiting: set[str], said: ConsentSnapshot
    ) -> list[Task]:
        """Return the tasks that may still be sent, right before their call."""
        outdated = said.version != self._consents.version
        tasks = [task for task in tasks if self._is_current(task.entry)]
        if not outdated and not waiting:
            return tasks  # as almost always: consent has not changed, and nothing has failed
        if outdated:
            # Consent has changed since the batch was mapped. A withdrawal must count; an event
            # that a grant would admit is not among these tasks, and is decided on again later.
            said = self._consents.snapshot({task.entry[1] for task in tasks})
        going = []
        for task in tasks:
            if task.person in waiting:
                continue
            if outdated:
                self._prepare(task, said)
            if task.item is not None:
                going.append(task)
            elif task.person:
                # Withdrawn: this person's later events in the batch must not overtake it.
                waiting.add(task.person)
        return going

    def _send_each(
        self,
        tasks: Iterable[Task],
        waiting: set[str],
        said: ConsentSnapshot,
        send: Callable[[Task], Outcome],
    ) -> bool:
        """Send the tasks one by one; return False if the rest must not be tried."""
        failures, enough = 0, wary_from(self._destination.config.breaker.threshold)
        for task in tasks:
            if not self._acquire_rate_limit():
                return False
            if not self._may_go([task], waiting, said):
                continue
            task.outcome = send(task)
            if task.outcome is DELIVERED:
                failures = 0
                continue
            if task.outcome.kind == "unavailable":
                return False
            self._note(task, waiting)
            if task.outcome.kind == "retry":
                failures += self._is_new(task.entry[0], task.person)
            else:
                failures = 0
            if failures >= enough:
                return False  # it may fail for everybody: the breaker, now wary, has to find out
        return True

    def _note(self, task: Task, waiting: set[str]) -> None:
        if task.outcome.kind in ("retry", "bug", "not_attempted") and task.person:
            waiting.add(task.person)

    def _push(self, task: Task) -> Outcome:
        item = task.item
        assert item is not None
        try:
            if task.notice:
                self._call(self._notify, item)
                return NOTIFIED
            self._call(
                self._destination.hooks.push,
                event=item.event,
                data=item.data,
                rule=item.rule,
                context=item.context,
            )
        except BaseException as error:  # even SystemExit must not end the thread that delivers
            return self._failed(error, task)
        return DELIVERED

    def _notify(self, item: Item) -> None:
        self._destination.hooks.consent(
            update=item.event["data"],
            state=item.event["custom"],
            person=person_of(item.event),
            context=item.context,
        )

    def _send_batch(self, run: Sequence[Task], waiting: set[str], said: ConsentSnapshot) -> bool:
        if not self._acquire_rate_limit():
            return False
        tasks = self._may_go(run, waiting, said)
        if not tasks:
            return True
        try:
            failures = self._push_batch(tasks)
        except (RetryLater, DestinationDown) as error:
            whole = attrs.evolve(self._failed(error, tasks[0]), kind="unavailable")
            for task in tasks:
                task.outcome = whole
            return False
        except BaseException as error:  # one event may have broken the call: send each by itself
            if len(tasks) > 1:
                return self._send_each(tasks, waiting, said, self._push_alone)
            failures = {0: error}
        if not failures:
            for task in tasks:
                task.outcome = DELIVERED
            return True
        for index, task in enumerate(tasks):
            task.outcome = self._failed(failures[index], task) if index in failures else DELIVERED
            self._note(task, waiting)
        return not any(task.outcome.kind == "unavailable" for task in tasks)

    def _push_alone(self, task: Task) -> Outcome:
        try:
            failures = self._push_batch([task])
        except (RetryLater, DestinationDown) as error:
            return attrs.evolve(self._failed(error, task), kind="unavailable")
        except BaseException as error:  # see _push
            return self._failed(error, task)
        return self._failed(failures[0], task) if 0 in failures else DELIVERED

    def _push_batch(self, tasks: Sequence[Task]) -> Mapping[int, BaseException]:
        failures = self._call(
            self._destination.hooks.push_batch,
            batch=[task.item for task in tasks],
            context=self._destination.context,
        )
        if failures is None:
            return {}
        if isinstance(failures, Mapping) and all(
            type(index) is int and 0 <= index < len(tasks) and isinstance(error, BaseException)
            for index, error in failures.items()
        ):
            return failures
        plugin = type(self._destination.instance).__qualname__
        raise PluginError(
            f"{plugin}.push_batch must return None, or exceptions by the index of their events"
        )

    def _call(self, hook: Any, *args: Any, **kwargs: Any) -> Any:
        if self._limit is None:
            return hook(*args, **kwargs)
        return self._limit(hook, *args, **kwargs)

    def _failed(self, error: BaseException, task: Task) -> Outcome:
        if isinstance(error, NothingToSend):
            return Outcome("empty", reason_of(error))
        if isinstance(error, NotAttempted):
            return NOT_ATTEMPTED
        if isinstance(error, Rejected):
            known = getattr(error, "status", None) in FOUND_BY_PLUGIN
            return Outcome("rejected", reason_of(error), known=known)
        if isinstance(error, RetryLater):
            return Outcome("retry", reason_of(error), after=after_of(error))
        if isinstance(error, DestinationDown):
            return Outcome("unavailable", reason_of(error), down=True)
        if isinstance(error, SpoolError):  # progress could not be recorded
            return Outcome("retry", storable(error))
        return self._bug(error, "push", task)

    def _bug(self, error: BaseException, where: str, task: Task) -> Outcome:
        place = place_of(error)
        # The exception's text may quote an event; the log gets type and place only.
        self._log.error(
            "destination %s: %s raised %s at %s (event %s)",
            self._destination.id,
            where,
            type(error).__name__,
            place,
            event_id(task.entry),
        )
        brief = f"an unexpected {type(error).__name__} in {where} at {place}"
        return Outcome("bug", f"{describe(error, 400)} (at {place})", brief=brief)


def _never() -> bool:
    """Return that an event must not be sent: its delivery is over."""
    return False


def _with_consent(task: Task) -> Outcome:
    """Return the outcome, with the consent it was tried under if the entry will be kept."""
    if task.item is not None and task.outcome.kind in ("rejected", "retry", "bug"):
        return attrs.evolve(task.outcome, consent=task.item.context.consent)
    return task.outcome


def person_of(event: Event) -> Person | None:
    """Return the person of a change of consent; None: the process default."""
    user = event.get("user") or {}
    return Person(**{key: _text(user.get(key)) for key in KINDS}) if user else None


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
