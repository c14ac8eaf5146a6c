"""Dispatch a batch: prepare its entries, call the hooks, and return each entry's outcome.

Knows nothing of queues and retries: entries in, outcomes out, in the same order.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count, repeat
from typing import Final, Protocol

import attrs
from attrs import Factory, define

from walker_collector.clients import RateLimiter
from walker_collector.config import MISSING
from walker_collector.delivery.backoff import wary_from
from walker_collector.delivery.batching import any_rule_batches, split
from walker_collector.delivery.claims import Claim
from walker_collector.delivery.destination import Destination
from walker_collector.delivery.hook_calls import HookCalls
from walker_collector.delivery.outcome import DELIVERED, NOT_ATTEMPTED, Outcome
from walker_collector.delivery.preparation import Preparation
from walker_collector.delivery.quick_calls import QuickCalls
from walker_collector.delivery.task import Task
from walker_collector.delivery.trace import trace
from walker_collector.delivery.watch import Watch
from walker_collector.errors import DestinationDown, PartDown, RetryLater, SpoolError
from walker_collector.people.consent import ConsentSnapshot, ConsentStore
from walker_collector.spool import Entry, LeaseLost
from walker_collector.spool.person_keys import claimed, ordering_key
from walker_collector.text import storable

_UNCLAIMED: Final = 0.05
"""Seconds before a batch that could not be claimed is tried again."""


class Erasing(Protocol):
    """People under erasure, and the entries in flight that an erasure has revoked.

    `overtaking`: entries in flight that came before older ones, which have become their person's.
    """

    blocked: set[str]
    revoked: set[int]
    overtaking: set[int]

    def may_proceed(self, entry: Entry) -> bool: ...


class Stopping(Protocol):
    """Threads that may be told to stop, and that nobody waits for any longer then."""

    @property
    def stopping(self) -> bool: ...

    @property
    def abandoned(self) -> bool: ...

    def sleep(self, seconds: float) -> bool: ...


@define(eq=False)
class Dispatcher:
    """Delivers batches to one destination.

    Calls no hook before `rate_limit` allows it, and none once the threads stop. `is_new` says, for
    an event's number and person, whether its failure would say something new about the
    destination. `new_claim` makes the claim of a batch; None if no other process can have a say.
    `watch` has those who see the outcomes, `quick_calls` is told how long calls take.
    """

    destination: Destination
    consents: ConsentStore
    preparation: Preparation
    calls: HookCalls
    rate_limit: RateLimiter | None
    threads: Stopping
    is_new: Callable[[int, str], bool]
    erasing: Erasing
    new_claim: Callable[[], Claim] | None = None
    watch: Watch = Factory(Watch)
    quick_calls: QuickCalls = Factory(QuickCalls)
    rules_batch: bool = attrs.field(init=False)

    @rules_batch.default
    def _any_rule_batches(self) -> bool:
        return any_rule_batches(self.destination.config.mapping)

    def run(self, entries: Sequence[Entry], snapshot: ConsentSnapshot) -> list[Outcome]:
        """Deliver entries in order and return their outcomes; never raises.

        `snapshot` is the consent of their people, the same for the whole batch: a grant in between
        must not let a later event overtake an earlier one. A withdrawal in between counts.
        """
        began = time.monotonic() if self.watch.watchers else 0.0
        batch = _BatchInProgress(self, snapshot, self.new_claim() if self.new_claim else None)
        tasks = batch.tasks = [
            *map(Task, entries, _people(entries, snapshot), repeat(batch), count())
        ]
        try:
            batch.send()
        finally:
            if batch.claim is not None:
                batch.claim.end()
        if batch.is_unclaimed and all(task.outcome is NOT_ATTEMPTED for task in tasks):
            self.threads.sleep(_UNCLAIMED)  # else the same would be tried at once, for ever
        # Nothing of this batch goes further now, not even a call that hung and returns later. It
        # also ends the circle of tasks, contexts and batch, which only the collector would free.
        batch.tasks = []
        if self.destination.context.logger.isEnabledFor(logging.INFO):
            trace(self.destination, tasks)
        if began:  # somebody looks
            took = time.monotonic() - began
            self.watch.dispatched(self.destination, self.consents, tasks, took)
        outcomes = [task.outcome for task in tasks]
        if outcomes.count(DELIVERED) == len(outcomes):  # as almost always
            return outcomes
        return [_with_consent(task) for task in tasks]


@define(eq=False)
class _BatchInProgress:
    """A batch on its way.

    held_up: people with an event that their later ones wait behind.
    interrupted: a hook was told not to send an event, after a withdrawal or the like.
    is_unclaimed: no claim can be made just now.
    """

    dispatcher: Dispatcher
    snapshot: ConsentSnapshot
    claim: Claim | None
    tasks: list[Task] = Factory(list)
    held_up: set[str] = Factory(set)
    interrupted: bool = False
    is_unclaimed: bool = False

    def send(self) -> None:
        """Send the tasks in order; a person's later events wait behind one that must be retried."""
        dispatcher = self.dispatcher
        ready = self._prepared()
        try:
            if dispatcher.destination.config.mock is not MISSING:
                for task in ready:
                    task.outcome = DELIVERED
            elif dispatcher.destination.hooks.push_batch is None:
                # Each is mapped just before its call, while it is in the processor's cache.
                self._send_each(ready, dispatcher.calls.push)
            else:
                self._send_batches(list(ready))
        except LeaseLost:  # whoever delivers now begins with the tasks that were not attempted
            self.is_unclaimed = True
        except SpoolError as error:  # the consent of people could not be read
            for task in self.tasks:
                if task.outcome is NOT_ATTEMPTED:
                    task.outcome = Outcome("unavailable", storable(error))

    def may_proceed(self, at: int) -> bool:
        """Return whether an item may still be sent: not after a withdrawal or an erasure.

        Nor after its delivery was given up (`timeout`), or the collector was closed: whoever
        tries it next would send it a second time.
        """
        proceeds = self._proceeds(at)
        if not proceeds:
            self.interrupted = True
        return proceeds

    def may_all_proceed(self, places: Sequence[int]) -> bool:
        """Return whether all of some items may still be sent: nothing has changed, as mostly."""
        proceed = self._all_proceed(places)
        if not proceed:
            self.interrupted = True
        return proceed

    def _all_proceed(self, places: Sequence[int]) -> bool:
        dispatcher, tasks, erasing = self.dispatcher, self.tasks, self.dispatcher.erasing
        if not tasks or dispatcher.threads.abandoned:
            return False
        if self.claim is not None and not self._is_claimed(self.claim):
            return False
        if erasing.revoked or erasing.blocked or erasing.overtaking:
            return False
        if any(tasks[at].outcome is not NOT_ATTEMPTED for at in places):
            return False
        return self.snapshot.version == dispatcher.consents.version

    def _proceeds(self, at: int) -> bool:
        if not self.tasks or self.dispatcher.threads.abandoned:
            return False
        task, dispatcher = self.tasks[at], self.dispatcher
        erasing = dispatcher.erasing
        if task.outcome is not NOT_ATTEMPTED:
            return False
        if self.claim is not None and not self._is_claimed(self.claim):
            return False
        if (erasing.revoked or erasing.blocked or erasing.overtaking) and not erasing.may_proceed(
            task.entry
        ):
            return False
        if self.snapshot.version == dispatcher.consents.version:
            return True
        current = dispatcher.consents.snapshot([task.entry[1]])
        return dispatcher.preparation.admits(task, current)

    def _is_claimed(self, claim: Claim) -> bool:
        try:
            claim.hold(self.tasks)
        except SpoolError:
            self.is_unclaimed = True
            return False
        return True

    def _prepared(self) -> Iterator[Task]:
        """Map the tasks and yield those to send; those of people held up are left out.

        A person whose event cannot be mapped is held up, so that later ones stay behind it.
        """
        held_up = self.held_up
        for task in self.dispatcher.preparation.prepare_each(self.tasks, self.snapshot):
            if task.item is None:
                self._note(task)
            elif task.person not in held_up:
                yield task

    def _send_batches(self, tasks: Sequence[Task]) -> None:
        # All are mapped before the first call: the later events of people held up were left
        # out already, and the earlier ones may go.
        self.held_up = set()
        quick, began, took = self.dispatcher.quick_calls, time.monotonic(), 0.0
        are_shared = len(tasks) > self.dispatcher.destination.batch_size
        for group in self._call_groups(tasks):
            if are_shared and quick.are_slow(took):
                quick.end()
                return  # the rest is taken again at once, by other threads as well
            if group[0].notice:
                going = self._send_each(group, self.dispatcher.calls.push)
            else:
                going = self._send_batch(group)
            if not going:
                quick.end()
                return
            took = time.monotonic() - began
        if tasks:
            quick.note(took)

    def _call_groups(self, tasks: Sequence[Task]) -> Iterable[Sequence[Task]]:
        are_apart = self.dispatcher.rules_batch or any(task.notice for task in tasks)
        runs = split(tasks) if are_apart else [tasks]
        size = self.dispatcher.destination.batch_size
        return [run[at : at + size] for run in runs for at in range(0, len(run), size)]

    def _may_all_go(self) -> bool:
        """Return whether all tasks may still be sent, as almost always: nothing has changed."""
        dispatcher, erasing = self.dispatcher, self.dispatcher.erasing
        return (
            self.snapshot.version == dispatcher.consents.version
            and self.claim is None
            and not (erasing.revoked or erasing.blocked or erasing.overtaking or self.held_up)
        )

    def _may_go(self, tasks: Sequence[Task]) -> Sequence[Task]:
        """Return the tasks that may still be sent, right before their call."""
        if self._may_all_go():
            return tasks
        dispatcher, snapshot = self.dispatcher, self.snapshot
        erasing, consents = dispatcher.erasing, dispatcher.consents
        if self.claim is not None:
            self.claim.hold(self.tasks)
            tasks = [task for task in tasks if task.outcome is NOT_ATTEMPTED]
        if erasing.revoked or erasing.blocked or erasing.overtaking:
            tasks = [task for task in tasks if erasing.may_proceed(task.entry)]
        outdated = snapshot.version != consents.version
        if not outdated and not self.held_up:
            return tasks
        if outdated:
            # Consent has changed since the batch was mapped. A withdrawal must count; an event
            # that a grant would admit is not among these tasks, and is decided on again later.
            snapshot = consents.snapshot({task.entry[1] for task in tasks})
        going = []
        for task in tasks:
            if task.person in self.held_up:
                continue
            if outdated:
                dispatcher.preparation.prepare(task, snapshot)
            if task.item is not None:
                going.append(task)
            elif task.person:
                # Withdrawn: this person's later events in the batch must not overtake it.
                self.held_up.add(task.person)
        return going

    def _send_each(self, tasks: Iterable[Task], send: Callable[[Task], Outcome]) -> bool:
        """Send the tasks one by one; return False if the rest must not be tried."""
        dispatcher = self.dispatcher
        failures, enough = 0, wary_from(dispatcher.destination.config.breaker.threshold)
        for task in tasks:
            if not _may_call(dispatcher):
                return False
            if not (self._may_all_go() or self._may_go([task])):
                continue
            task.outcome = send(task)
            if task.outcome is DELIVERED:
                failures = 0
                continue
            (task.outcome,) = self._without_idling([task.outcome])
            if task.outcome.kind == "unavailable":
                return False
            self._note(task)
            if task.outcome.kind == "retry":
                failures += dispatcher.is_new(task.entry[0], task.person)
            else:
                failures = 0
            if failures >= enough:
                return False  # it may fail for everybody: the breaker, now wary, has to find out
        return True

    def _send_batch(self, group: Sequence[Task]) -> bool:
        """Send the tasks with one call; return False if the rest must not be tried."""
        if not _may_call(self.dispatcher):
            return False
        tasks = self._may_go(group)
        if not tasks:
            return True
        outcomes = self._outcomes_of(tasks)
        if outcomes is None:  # one event may have broken the call: send each by itself
            return self._send_each(tasks, self._push_alone)
        outcomes, going = self._without_idling(outcomes), True
        for task, outcome in zip(tasks, outcomes, strict=True):
            task.outcome = outcome
            if outcome is not DELIVERED:
                self._note(task)
                going &= outcome.kind != "unavailable"
        return going

    def _outcomes_of(self, tasks: Sequence[Task]) -> Sequence[Outcome] | None:
        """Send the tasks with one call; None if it raised an error that one of several caused."""
        calls = self.dispatcher.calls
        try:
            failures = calls.push_batch(tasks)
        except PartDown as error:  # not the whole destination, so each event waits by itself
            failures = dict.fromkeys(range(len(tasks)), error)
        except (RetryLater, DestinationDown) as error:
            whole = attrs.evolve(calls.outcome_of(error, tasks[0]), kind="unavailable")
            return [whole] * len(tasks)
        except BaseException as error:  # even SystemExit must not end the thread that delivers
            if len(tasks) > 1:
                return None
            failures = {0: error}
        if not failures:
            return [DELIVERED] * len(tasks)
        return [
            calls.outcome_of(failures[at], task, "push_batch") if at in failures else DELIVERED
            for at, task in enumerate(tasks)
        ]

    def _push_alone(self, task: Task) -> Outcome:
        outcomes = self._outcomes_of([task])
        assert outcomes is not None
        return outcomes[0]

    def _without_idling(self, outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
        """Turn the outcomes of a call that attempted nothing, without cause, into failures.

        Otherwise the same call would be repeated at once, for ever.
        """
        if self.interrupted or any(outcome.kind != "not_attempted" for outcome in outcomes):
            return outcomes
        why = "not attempted, though nothing came in between"
        return [Outcome("retry", f"{why}: {outcome.reason}") for outcome in outcomes]

    def _note(self, task: Task) -> None:
        if task.outcome.kind in ("retry", "bug", "not_attempted") and task.person:
            self.held_up.add(task.person)


def _people(entries: Sequence[Entry], snapshot: ConsentSnapshot) -> list[str]:
    """Return the key of each entry for the order of its person."""
    people = [snapshot.names[entry[1]] for entry in entries]
    if max(people, default="") < claimed(""):  # no letter is greater: mostly there are no claims
        return people
    return [ordering_key(person) for person in people]


def _may_call(dispatcher: Dispatcher) -> bool:
    """Wait until `rateLimit` allows a call; return False when the threads stop."""
    if dispatcher.rate_limit is None:
        return not dispatcher.threads.stopping
    return dispatcher.threads.sleep(dispatcher.rate_limit.reserve())


def _with_consent(task: Task) -> Outcome:
    """Return the outcome, with the consent it was tried under if the entry will be kept."""
    if task.item is not None and task.outcome.kind in ("rejected", "retry", "bug"):
        # The plugin had it in hand: only keys as there are in events may go into the spool.
        consent = {key: True for key in list(task.item.context.consent) if type(key) is str}
        return attrs.evolve(task.outcome, consent=consent)
    return task.outcome
