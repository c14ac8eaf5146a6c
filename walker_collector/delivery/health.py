"""The condition of a destination: whether a delivery may start, and what outcomes teach."""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Literal

import attrs
from attrs import Factory, define

from walker_collector.config import RetryConfig
from walker_collector.delivery.backoff import Breaker, asked, backoff, down_delay
from walker_collector.delivery.outcome import Outcome
from walker_collector.delivery.refusals import RefusalRun

News = Literal["down", "failing", "retrying", "recovered"]
Judged = tuple[int, str, Outcome]
"""An entry's number, whom it belongs to, and the outcome of its delivery."""

_FAILING_PEOPLE_MAX: Final = 100_000
_SUCCESSES: Final = ("delivered", "notified")
_ANSWERS: Final = (*_SUCCESSES, "rejected")


@define
class Health:
    """The breaker of a destination, and the pauses that its failures as a whole ask for.

    Some people's trouble is not the destination's: where somebody's events fail and others' arrive,
    further failures of theirs say nothing about it.

    `reason` is why it does not deliver; times in ms.
    """

    retry: RetryConfig
    breaker: Breaker
    random: Callable[[], float]
    reason: str = ""
    down: int = 0
    whole_failures: int = 0
    pause_until: int = 0
    ready: bool = False
    refusals: RefusalRun = Factory(RefusalRun)
    _failing_people: OrderedDict[str, None] = Factory(OrderedDict)
    """Those whose last tried event failed."""
    _streak: set[str] = Factory(set)
    """Those of them who failed since the last success of anybody."""

    @property
    def failing(self) -> bool:
        """Whether it fails for everybody, so that a failure says nothing about one event."""
        return self.breaker.open

    @property
    def cautious(self) -> bool:
        """Whether to try one event at a time, to learn how the destination fares."""
        return self.breaker.wary or self.down > 0

    @property
    def state(self) -> str:
        """Its name in figures: "idle" before the first delivery."""
        if self.down:
            return "down"
        if self.failing:
            return "failing"
        return "ready" if self.ready else "idle"

    def wait(self, now: int, has_new: Callable[[], bool]) -> int | None:
        """Return how long until a delivery may start; None: until the probe is back.

        `has_new` tells whether an event waits whose outcome would say something new: such a one
        need not wait for the whole cooldown.
        """
        if now < self.pause_until:
            return self.pause_until - now
        if self.breaker.probing:
            return None
        if self.breaker.allows(now):
            return 0
        early = not self.whole_failures and self.breaker.early_at < self.breaker.opens_at
        at = self.breaker.early_at if early and has_new() else self.breaker.opens_at
        return max(0, at - now)

    def started(self) -> None:
        """Note that a delivery starts; while cautious it is the probe."""
        self.breaker.probing = self.cautious

    def blocked_beyond(self, horizon: int) -> bool:
        """Tell whether nothing may start until after `horizon`."""
        return self.pause_until > horizon or (self.failing and self.breaker.opens_at > horizon)

    def is_new(self, seq: int, person: str) -> bool:
        """Tell whether the outcome of an event would say something new about the destination."""
        return person not in self._failing_people and seq not in self.refusals.events

    def single_out(self, people: Sequence[str], outcomes: list[Outcome]) -> list[Outcome]:
        """Return a failure of the whole as failures of each, where it says nothing new.

        A batch may hold nothing but retries of the same people. Such a failure still is none of
        the attempts that an event has.
        """
        whole = [item.kind == "unavailable" and not item.down for item in outcomes]
        troubled = self._failing_people.keys() - self._streak
        if not any(whole) or not troubled.issuperset(people):
            return outcomes
        return [
            attrs.evolve(item, kind="retry", counted=False) if is_whole else item
            for item, is_whole in zip(outcomes, whole, strict=True)
        ]

    def without_refusals(self, seqs: Sequence[int], outcomes: list[Outcome]) -> list[Outcome]:
        """Return the outcomes with refusals that are the destination's trouble as such."""
        if not (self.down and self.refusals.is_general):
            return outcomes
        kept = Outcome("unavailable", self.reason, down=True)
        return [
            kept if seq in self.refusals.events and _is_refusal(outcome) else outcome
            for seq, outcome in zip(seqs, outcomes, strict=True)
        ]

    def judge(self, judged: Sequence[Judged], now: int) -> News | None:
        """Learn from the outcomes of a batch; return what is worth telling."""
        probed, self.breaker.probing = self.breaker.probing, False
        telling = self._learn(judged)
        outcomes = [outcome for _, _, outcome in judged]
        whole = next((item for item in outcomes if item.kind == "unavailable"), None)
        if whole is not None:
            return self._fails(whole, now)
        refused = [item for item in outcomes if _is_refusal(item)]
        if refused and self.refusals.is_general:
            return self._refuses(refused[-1], now)
        if any(item.kind in _ANSWERS and not item.known for item in outcomes):
            return self._recover()
        return self._fails_singly(outcomes, telling, probed, now)

    def delivered(self, people: Iterable[str]) -> News | None:
        """Note that all events of a batch, of these people, have arrived; as `judge` does."""
        if self._failing_people:
            for person in people:
                self._failing_people.pop(person, None)
        self.refusals.end()
        return self._recover()

    def _recover(self) -> News | None:
        self._streak.clear()
        news: News | None = "recovered" if self.down or self.failing else None
        self.breaker.succeeded()
        self.down = self.whole_failures = 0
        self.reason = ""
        return news

    def _learn(self, judged: Sequence[Judged]) -> int:
        """Note how each person fares; return how many failures may be the destination's."""
        telling = 0
        for seq, person, outcome in judged:
            if outcome.kind in _SUCCESSES:
                self._failing_people.pop(person, None)
                self._streak.clear()
                self.refusals.end()
            elif outcome.kind == "retry":
                if person not in self._failing_people:
                    self._failing_people[person] = None
                    self._streak.add(person)
                telling += person in self._streak
            elif _is_refusal(outcome):
                self.refusals.add(seq, person)
        while len(self._failing_people) > _FAILING_PEOPLE_MAX:
            self._failing_people.popitem(last=False)
        return telling

    def _fails_singly(
        self, outcomes: Sequence[Outcome], telling: int, probed: bool, now: int
    ) -> News | None:
        reason = next((item.reason for item in reversed(outcomes) if item.kind == "retry"), None)
        if reason is None:
            return None
        # Deliveries that were under way before it became cautious say nothing new; a probe does.
        if telling and (probed or not self.breaker.wary):
            self.breaker.failed_for(telling, now)
        elif self.failing:
            return None
        self.reason = reason
        return "failing" if self.failing else "retrying"

    def _refuses(self, last: Outcome, now: int) -> News:
        run = f"{len(self.refusals.events)} different events of {self.refusals.people} people"
        self.reason = f"{run} were refused in a row, the last: {last.told}"
        self._rest(now)
        return "down"

    def _fails(self, whole: Outcome, now: int) -> News:
        self.reason = whole.reason
        if whole.down:
            self._rest(now)
            return "down"
        self.whole_failures += 1
        self.breaker.failed(now)
        wanted = asked(whole.after, self.retry.cap)
        pause = max(backoff(self.retry, self.whole_failures, self.random), wanted)
        self.pause_until = max(self.pause_until, now + pause)
        return "failing"

    def _rest(self, now: int) -> None:
        self.down += 1
        self.pause_until = max(self.pause_until, now + down_delay(self.down))


def _is_refusal(outcome: Outcome) -> bool:
    """Tell whether the other side, or the plugin's code, could not take this event.

    An unexpected error is neither success nor failure of the service; many in a row are.
    """
    return outcome.kind == "bug" or (outcome.kind == "rejected" and not outcome.known)
