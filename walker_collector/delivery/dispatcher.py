"""Dispatch a batch: prepare its entries, call the hooks, and return each entry's outcome.

Knows nothing of queues and retries: entries in, outcomes out, in the same order.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Protocol

import attrs
from attrs import Factory, define

from walker_collector.clients import RateLimiter
from walker_collector.config import MISSING
from walker_collector.delivery.backoff import wary_from
from walker_collector.delivery.batching import any_rule_batches, split
from walker_collector.delivery.destination import Destination
from walker_collector.delivery.hook_calls import HookCalls
from walker_collector.delivery.outcome import DELIVERED, NOT_ATTEMPTED, Outcome
from walker_collector.delivery.preparation import Preparation
from walker_collector.delivery.task import Task
from walker_collector.delivery.trace import trace
from walker_collector.errors import DestinationDown, PartDown, RetryLater, SpoolError
from walker_collector.people.consent import ConsentSnapshot, ConsentStore
from walker_collector.spool import Entry
from walker_collector.text import storable


class Erasing(Protocol):
    """People under erasure, and the entries in flight that an erasure has revoked."""

    blocked: set[str]
    revoked: set[int]

    def may_proceed(self, entry: Entry) -> bool: ...


class Stopping(Protocol):
    """Threads that may be told to stop."""

    @property
    def stopping(self) -> bool: ...

    def sleep(self, seconds: float) -> bool: ...


@define(eq=False)
class Dispatcher:
    """Delivers batches to one destination.

    Calls no hook before `rate_limit` allows it, and none once the threads stop. `is_new` says, for
    an event's number and person, whether its failure would say something new about the
    destination.
    """

    destination: Destination
    consents: ConsentStore
    preparation: Preparation
    calls: HookCalls
    rate_limit: RateLimiter | None
    threads: Stopping
    is_new: Callable[[int, str], bool]
    erasing: Erasing
    rules_batch: bool = attrs.field(init=False)

    @rules_batch.default
    def _any_rule_batches(self) -> bool:
        return any_rule_batches(self.destination.config.mapping)

    def run(self, entries: Sequence[Entry], snapshot: ConsentSnapshot) -> list[Outcome]:
        """Deliver entries in order and return their outcomes; never raises.

        `snapshot` is the consent of their people, the same for the whole batch: a grant in between
        must not let a later event overtake an earlier one. A withdrawal in between counts.
        """
        run = _Run(self, snapshot)
        names, may_proceed = snapshot.names, run.may_proceed
        tasks = run.tasks = [
            Task(entry, names[entry[1]], partial(may_proceed, at))
            for at, entry in enumerate(entries)
        ]
        run.send()
        # Nothing of this batch goes further now, not even a call that hung and returns later. It
        # also ends the circle of tasks, contexts and run, which only the collector would free.
        run.tasks = []
        if self.destination.context.logger.isEnabledFor(logging.INFO):
            trace(self.destination, tasks)
        return [
            task.outcome if task.outcome is DELIVERED else _with_consent(task) for task in tasks
        ]


@define(eq=False)
class _Run:
    """One batch under way. `waiting`: people with an event that holds back their later ones."""

    parts: Dispatcher
    snapshot: ConsentSnapshot
    tasks: list[Task] = Factory(list)
    waiting: set[str] = Factory(set)

    def send(self) -> None:
        """Send the tasks in order; a person's later events wait behind one that must be retried."""
        parts = self.parts
        ready = self._prepared()
        try:
            if parts.destination.config.mock is not MISSING:
                for task in ready:
                    task.outcome = DELIVERED
            elif parts.destination.hooks.push_batch is None:
                # Each is mapped just before its call, while it is in the processor's cache.
                self._send_each(ready, parts.calls.push)
            else:
                self._send_batches(list(ready))
        except SpoolError as error:  # the consent of people could not be read
            for task in self.tasks:
                if task.outcome is NOT_ATTEMPTED:
                    task.outcome = Outcome("unavailable", storable(error))

    def may_proceed(self, at: int) -> bool:
        """Return whether an item may still be sent: not after a withdrawal or an erasure.

        Nor after its delivery was given up (`timeout`): a call that hung must not go on then.
        """
        if not self.tasks:
            return False
        task, parts = self.tasks[at], self.parts
        erasing = parts.erasing
        if task.outcome is not NOT_ATTEMPTED:
            return False
        if (erasing.revoked or erasing.blocked) and not erasing.may_proceed(task.entry):
            return False
        if self.snapshot.version == parts.consents.version:
            return True
        return parts.preparation.admits(task, parts.consents.snapshot([task.entry[1]]))

    def _prepared(self) -> Iterator[Task]:
        """Map the tasks and yield those to send; those of waiting people are left out.

        A person whose event cannot be mapped waits, so that later ones stay behind it.
        """
        prepare, waiting = self.parts.preparation.prepare, self.waiting
        for task in self.tasks:
            prepare(task, self.snapshot)
            if task.item is None:
                self._note(task)
            elif task.person not in waiting:
                yield task

    def _send_batches(self, tasks: Sequence[Task]) -> None:
        # All are mapped before the first call: the later events of people who wait were left out
        # already, and the earlier ones may go.
        self.waiting = set()
        for run in self._runs(tasks):
            if run[0].notice:
                going = self._send_each(run, self.parts.calls.push)
            else:
                going = self._send_batch(run)
            if not going:
                return

    def _runs(self, tasks: Sequence[Task]) -> Iterable[Sequence[Task]]:
        if self.parts.rules_batch or any(task.notice for task in tasks):
            return split(tasks)
        return [tasks] if tasks else []

    def _may_go(self, tasks: Sequence[Task]) -> Sequence[Task]:
        """Return the tasks that may still be sent, right before their call."""
        erasing, consents, snapshot = self.parts.erasing, self.parts.consents, self.snapshot
        if erasing.revoked or erasing.blocked:
            tasks = [task for task in tasks if erasing.may_proceed(task.entry)]
        outdated = snapshot.version != consents.version
        if not outdated and not self.waiting:
            return tasks  # as almost always: consent has not changed, and nothing has failed
        if outdated:
            # Consent has changed since the batch was mapped. A withdrawal must count; an event
            # that a grant would admit is not among these tasks, and is decided on again later.
            snapshot = consents.snapshot({task.entry[1] for task in tasks})
        going = []
        for task in tasks:
            if task.person in self.waiting:
                continue
            if outdated:
                self.parts.preparation.prepare(task, snapshot)
            if task.item is not None:
                going.append(task)
            elif task.person:
                # Withdrawn: this person's later events in the batch must not overtake it.
                self.waiting.add(task.person)
        return going

    def _send_each(self, tasks: Iterable[Task], send: Callable[[Task], Outcome]) -> bool:
        """Send the tasks one by one; return False if the rest must not be tried."""
        parts = self.parts
        failures, enough = 0, wary_from(parts.destination.config.breaker.threshold)
        for task in tasks:
            if not _may_call(parts):
                return False
            if not self._may_go([task]):
                continue
            task.outcome = send(task)
            if task.outcome is DELIVERED:
                failures = 0
                continue
            if task.outcome.kind == "unavailable":
                return False
            self._note(task)
            if task.outcome.kind == "retry":
                failures += parts.is_new(task.entry[0], task.person)
            else:
                failures = 0
            if failures >= enough:
                return False  # it may fail for everybody: the breaker, now wary, has to find out
        return True

    def _send_batch(self, run: Sequence[Task]) -> bool:
        """Send the tasks with one call; return False if the rest must not be tried."""
        calls = self.parts.calls
        if not _may_call(self.parts):
            return False
        tasks = self._may_go(run)
        if not tasks:
            return True
        try:
            failures = calls.push_batch(tasks)
        except PartDown as error:  # not the whole destination, so each event waits by itself
            failures = dict.fromkeys(range(len(tasks)), error)
        except (RetryLater, DestinationDown) as error:
            whole = attrs.evolve(calls.outcome_of(error, tasks[0]), kind="unavailable")
            for task in tasks:
                task.outcome = whole
            return False
        except BaseException as error:  # one event may have broken the call: send each by itself
            if len(tasks) > 1:
                return self._send_each(tasks, self._push_alone)
            failures = {0: error}
        if not failures:
            for task in tasks:
                task.outcome = DELIVERED
            return True
        for index, task in enumerate(tasks):
            failure = failures.get(index)
            task.outcome = DELIVERED if failure is None else calls.outcome_of(failure, task)
            self._note(task)
        return not any(task.outcome.kind == "unavailable" for task in tasks)

    def _push_alone(self, task: Task) -> Outcome:
        calls = self.parts.calls
        try:
            failures = calls.push_batch([task])
        except PartDown as error:
            return calls.outcome_of(error, task)
        except (RetryLater, DestinationDown) as error:
            return attrs.evolve(calls.outcome_of(error, task), kind="unavailable")
        except BaseException as error:  # even SystemExit must not end the thread that delivers
            return calls.outcome_of(error, task)
        return calls.outcome_of(failures[0], task) if 0 in failures else DELIVERED

    def _note(self, task: Task) -> None:
        if task.outcome.kind in ("retry", "bug", "not_attempted") and task.person:
            self.waiting.add(task.person)


def _may_call(parts: Dispatcher) -> bool:
    """Wait until `rateLimit` allows a call; return False when the threads stop."""
    if parts.rate_limit is None:
        return not parts.threads.stopping
    return parts.threads.sleep(parts.rate_limit.reserve())


def _with_consent(task: Task) -> Outcome:
    """Return the outcome, with the consent it was tried under if the entry will be kept."""
    if task.item is not None and task.outcome.kind in ("rejected", "retry", "bug"):
        # The plugin had it in hand: only keys as there are in events may go into the spool.
        consent = {key: True for key in list(task.item.context.consent) if type(key) is str}
        return attrs.evolve(task.outcome, consent=consent)
    return task.outcome
