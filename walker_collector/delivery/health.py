"""The health of a destination: it learns from outcomes, and says whether a delivery may start."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Literal

import attrs
from attrs import Factory, define

from walker_collector.config import RetryConfig
from walker_collector.delivery.backoff import Breaker, backoff, down_delay, requested_wait
from walker_collector.delivery.outcome import Outcome
from walker_collector.delivery.refusals import RefusalRun
from walker_collector.delivery.status import DestinationState

HealthChange = Literal["down", "part down", "failing", "retrying", "recovered"]
Judged = tuple[int, str, Outcome]
"""An entry's number, its person, and the outcome of its delivery."""

_FAILING_PEOPLE_MAX: Final = 100_000
_SUCCESSES: Final = ("delivered", "notified")
_ANSWERS: Final = (*_SUCCESSES, "rejected")


@define
class Health:
    """The breaker of a destination, and the pauses after failures of the destination as a whole.

    A person's failures are not the destination's: while one person's events fail and the others'
    arrive, further failures of that person say nothing about the destination.

    `reason` says why it does not deliver, `part_reason` why a part of it did not when it was needed
    last; times in ms.
    """

    retry: RetryConfig
    breaker: Breaker
    random: Callable[[], float]
    reason: str = ""
    part_reason: str = ""
    times_down: int = 0
    whole_failures: int = 0
    pause_until: int = 0
    ready: bool = False
    untroubled: bool = True
    """Whether no failure or refusal is remembered, so that the others need not be asked."""
    refusals: RefusalRun = Factory(RefusalRun)
    _failing_people: OrderedDict[str, None] = Factory(OrderedDict)
    """People with a failure since their last success; a bounded set, the oldest first."""
    _streak: set[str] = Factory(set)
    """The failing people of the current streak: since the last success of any person."""

    @property
    def failing(self) -> bool:
        """Whether it fails for everybody, so that a failure says nothing about one event."""
        return self.breaker.open

    @property
    def cautious(self) -> bool:
        """Whether to try one event at a time, to learn whether the destination works."""
        return self.breaker.wary or self.times_down > 0

    @property
    def state(self) -> DestinationState:
        """The state shown in figures; "idle" before the first delivery."""
        if self.times_down:
            return "down"
        if self.failing:
            return "failing"
        return "ready" if self.ready else "idle"

    @property
    def next_start(self) -> int:
        """The time before which no delivery starts; 0: at any time."""
        return max(self.pause_until, self.breaker.probe_at if self.failing else 0)

    def wait(self, now: int, has_new: Callable[[], bool]) -> int | None:
        """Return the wait until a delivery may start; None: until the probe is back.

        `has_new` says whether an event waits that `is_new`: it may be an early probe, and need not
        wait for the whole cooldown.
        """
        if now < self.pause_until:
            return self.pause_until - now
        if self.breaker.probing:
            return None
        if self.breaker.allows(now):
            self.untroubled = not (
                self.times_down
                or self.breaker.failures
                or self._failing_people
                or self._streak
                or self.refusals.events
                or self.reason
            )
            return 0
        early = self._probes_early and has_new()
        at = self.breaker.early_probe_at if early else self.breaker.probe_at
        return max(0, at - now)

    def heeds_events(self, now: int) -> bool:
        """Return whether one more event may let a delivery start, or start earlier."""
        if now < self.pause_until or self.breaker.probing:
            return False
        return self._probes_early or self.breaker.allows(now)

    @property
    def _probes_early(self) -> bool:
        # Failures that the plugin reports for the whole destination need no early probes: they do
        # not depend on the person.
        return not self.whole_failures and self.breaker.early_probe_at < self.breaker.probe_at

    def started(self) -> None:
        """Note that a delivery starts; while cautious, it is the probe."""
        self.breaker.probing = self.cautious

    def blocked_beyond(self, horizon: int) -> bool:
        """Return whether no delivery may start until after `horizon`."""
        return self.pause_until > horizon or (self.failing and self.breaker.probe_at > horizon)

    def is_new(self, seq: int, person: str) -> bool:
        """Return whether an event's outcome would say something new about the destination."""
        return person not in self._failing_people and seq not in self.refusals.events

    def single_out(self, people: Sequence[str], outcomes: list[Outcome]) -> list[Outcome]:
        """Turn a failure of the whole destination into one of each event, if it says nothing new.

        The batch may hold retries of people with failing events only, and then it says nothing
        about the others. Such a failure costs no attempt either.
        """
        whole = [item.kind == "unavailable" and not item.down for item in outcomes]
        # Others have succeeded since these people began to fail, so the failures are theirs.
        failing = self._failing_people.keys() - self._streak
        if not any(whole) or not failing.issuperset(people):
            return outcomes
        return [
            attrs.evolve(item, kind="retry", counted=False) if is_whole else item
            for item, is_whole in zip(outcomes, whole, strict=True)
        ]

    def without_refusals(self, seqs: Sequence[int], outcomes: list[Outcome]) -> list[Outcome]:
        """Turn refusals that belong to a general run into failures of the whole destination."""
        if not (self.times_down and self.refusals.is_general):
            return outcomes
        kept = Outcome("unavailable", self.reason, down=True, refuses_all=True)
        return [
            kept if seq in self.refusals.events and _is_refusal(outcome) else outcome
            for seq, outcome in zip(seqs, outcomes, strict=True)
        ]

    def judge(self, judged: Sequence[Judged], now: int) -> HealthChange | None:
        """Learn from the outcomes of a batch; return the change of health to log, if any."""
        probed, self.breaker.probing = self.breaker.probing, False
        self.untroubled = False
        new_failures = self._learn(judged)
        outcomes = [outcome for _, _, outcome in judged]
        whole = next((item for item in outcomes if item.kind == "unavailable"), None)
        if whole is not None:
            return self._failed_as_a_whole(whole, now)
        refused = [item for item in outcomes if _is_refusal(item)]
        if refused and self.refusals.is_general:
            return self._refused(refused[-1], now)
        if any(item.kind in _ANSWERS and not item.found_by_plugin for item in outcomes):
            return self._recover()
        return self._failed_singly(outcomes, new_failures, probed, now)

    def note_parts(self, outcomes: Iterable[Outcome]) -> HealthChange | None:
        """Note failures of a part of the destination, which say nothing about the rest of it."""
        reason = next((item.reason for item in outcomes if item.part), None)
        if reason is None:
            return None
        self.part_reason = reason
        return "part down"

    def delivered(self, people: Iterable[str]) -> HealthChange | None:
        """Learn that a batch of events of these people was delivered: the fast twin of `judge`."""
        if self._failing_people:
            for person in people:
                self._failing_people.pop(person, None)
        self.refusals.end()
        return self._recover()

    def _recover(self) -> HealthChange | None:
        self._streak.clear()
        change: HealthChange | None = "recovered" if self.times_down or self.failing else None
        self.breaker.succeeded()
        self.times_down = self.whole_failures = 0
        self.reason = ""
        return change

    def _learn(self, judged: Sequence[Judged]) -> int:
        """Note each person's outcome; return the number of failures that say something new."""
        new_failures = 0
        for seq, person, outcome in judged:
            if outcome.kind in _SUCCESSES:
                self._failing_people.pop(person, None)
                self._streak.clear()
                self.refusals.end()
            elif outcome.kind == "retry":
                if person not in self._failing_people:
                    self._failing_people[person] = None
                    self._streak.add(person)
                # A person who was failing before anybody's last success says nothing new.
                new_failures += person in self._streak
            elif _is_refusal(outcome):
                self.refusals.add(seq, person)
        while len(self._failing_people) > _FAILING_PEOPLE_MAX:
            self._failing_people.popitem(last=False)
        return new_failures

    def _failed_singly(
        self, outcomes: Sequence[Outcome], new_failures: int, probed: bool, now: int
    ) -> HealthChange | None:
        reason = next((item.reason for item in reversed(outcomes) if item.kind == "retry"), None)
        if reason is None:
            bugs = [item.reason for item in outcomes if item.kind == "bug"]
            if bugs and not self.reason:  # so that a close can say why events are left
                self.reason = bugs[-1]
            return None
        # While wary only a probe counts: other failures are of deliveries that began before.
        if new_failures and (probed or not self.breaker.wary):
            self.breaker.failed_for(new_failures, now)
        elif self.failing:
            return None
        if probed or not self.times_down:  # else it began before, and says nothing of the trouble
            self.reason = reason
        return "failing" if self.failing else "retrying"

    def _refused(self, last: Outcome, now: int) -> HealthChange:
        run = f"{len(self.refusals.events):,} different events of {self.refusals.people:,} people"
        self.reason = f"{run} were refused in a row, the last: {last.shown_reason}"
        self._rest(now)
        return "down"

    def _failed_as_a_whole(self, whole: Outcome, now: int) -> HealthChange:
        self.reason = whole.reason
        if whole.down:
            self._rest(now)
            return "down"
        self.whole_failures += 1
        self.breaker.failed(now)
        wanted = requested_wait(whole.after, self.retry.cap)
        pause = max(backoff(self.retry, self.whole_failures, self.random), wanted)
        self.pause_until = max(self.pause_until, now + pause)
        return "failing"

    def _rest(self, now: int) -> None:
        self.times_down += 1
        self.pause_until = max(self.pause_until, now + down_delay(self.times_down))


def _is_refusal(outcome: Outcome) -> bool:
    """Return whether the service refused this event, or the plugin's code broke on it.

    An unexpected error says nothing about the service by itself, but many in a row do.
    """
    return outcome.kind == "bug" or (outcome.kind == "rejected" and not outcome.found_by_plugin)
