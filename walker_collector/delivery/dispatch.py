"""One batch on its way: decode, gate by consent, map, call the hook, and say what came of each.

Knows nothing of queues and retries: entries in, outcomes out, in the same order.
"""

import logging
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

import attrs
from attrs import frozen

from walker_collector.config import MISSING, Consent, DestinationConfig
from walker_collector.consent import Ledger, granted, grants, identifiers
from walker_collector.delivery.timeout import call_within
from walker_collector.errors import DestinationDown, Rejected, RetryLater, SpoolError
from walker_collector.events import decode
from walker_collector.hookspecs import Context, Event, Item, Person, Progress, PushContext
from walker_collector.mapping import Mapper
from walker_collector.plugins import Hooks
from walker_collector.spool import FRESH, Attempt, Entry

CONSENT_CHANGED: Final = "walker consent"
"""The name under which a change of consent queues for the destinations that listen to it."""

_Numbered = tuple[int, Item]
Kind = Literal[
    "delivered", "told", "ignored", "held", "dropped", "rejected", "retry", "bug", "back"
]


@frozen
class Outcome:
    """What came of one entry.

    told: no event, but a change of consent has arrived. retry: transient, for this event. bug: an
    unexpected exception. back: not tried, or the destination as a whole failed; `after` (s) is what
    the other side asked for, `down` that it cannot deliver anything at all.
    """

    kind: Kind
    reason: str = ""
    after: float | None = None
    down: bool = False
    consent: Consent = attrs.field(factory=dict)


DELIVERED: Final = Outcome("delivered")
TOLD: Final = Outcome("told")
IGNORED: Final = Outcome("ignored")
UNTRIED: Final = Outcome("back")


@frozen(eq=False)
class Destination:
    """A destination ready for use: configuration, hooks and compiled mapping."""

    id: str
    config: DestinationConfig
    context: Context
    hooks: Hooks
    mapper: Mapper
    instance: Any = attrs.field(default=None, repr=False)
    listens: bool = False
    batch_size: int = 1
    batch_bytes: int | None = None
    concurrency: int = 1
    linger: int = 0

    @property
    def requires_consent(self) -> bool:
        """Whether the destination as a whole asks for consent."""
        return bool(self.config.consent)


def context_for(
    destination: Destination,
    base: Consent,
    event: Event,
    attempt: Attempt = FRESH,
    progress: Progress | None = None,
) -> PushContext:
    """Decide consent for an event and put it into the event, as the gate of walkerOS does.

    `base` is what holds for the person (`Ledger.base`); the event's own consent goes above it.
    """
    own = event.get("consent")
    state = granted({**base, **own} if own else base)
    event["consent"] = state
    return PushContext(destination.context, event, state, attempt.count + 1, progress)


def admits(destination: Destination, consent: Consent) -> bool:
    """Tell whether the destination's own requirement is met."""
    return grants(destination.config.consent, consent, destination.config.consent_mode)


class Dispatch:
    """Delivers batches to one destination."""

    def __init__(
        self,
        destination: Destination,
        ledger: Ledger,
        attempt_of: Callable[[int], Attempt],
        progress_of: Callable[[Entry], Progress],
    ) -> None:
        self._destination = destination
        self._ledger = ledger
        self._attempt_of = attempt_of
        self._progress_of = progress_of

    def run(self, entries: Sequence[Entry], bases: Mapping[str, Consent]) -> list[Outcome]:
        """Deliver entries in order; never raises.

        `bases` is what each person's consent is (`Ledger.base`), asked once for the whole batch,
        so that a grant in between can't let a later event overtake an earlier one.
        """
        outcomes: list[Outcome] = [UNTRIED] * len(entries)
        items: list[_Numbered] = []
        for at, entry in enumerate(entries):
            prepared = self._prepare(entry, bases[entry[1]])
            if isinstance(prepared, Outcome):
                outcomes[at] = prepared
            else:
                items.append((at, prepared))
        sent = self._send(items)
        for at, item in items:
            outcomes[at] = _with_consent(sent.get(at, UNTRIED), item)
        return outcomes

    def _prepare(self, entry: Entry, base: Consent) -> Item | Outcome:
        try:
            return self._map(entry, base)
        except Exception as error:  # a plugin's or user's function inside a mapping: their bug
            return self._bug(error, "mapping")

    def _map(self, entry: Entry, base: Consent) -> Item | Outcome:
        event = decode(entry[3])
        progress = self._progress_of(entry)
        attempt = self._attempt_of(entry[0])
        context = context_for(self._destination, base, event, attempt, progress)
        if event["name"] == CONSENT_CHANGED:
            return Item(event, MISSING, None, context)
        if not admits(self._destination, context.consent):
            return self._denied(context.consent)
        mapped = self._destination.mapper(event, context)
        if mapped.outcome == "ignored":
            return IGNORED
        if mapped.outcome == "denied":
            return self._denied(context.consent)
        context.event = mapped.event
        return Item(mapped.event, mapped.data, mapped.rule, context)

    def _denied(self, consent: Consent) -> Outcome:
        kind: Kind = "held" if self._destination.config.queue else "dropped"
        return Outcome(kind, "consent not granted", consent=consent)

    def _send(self, items: list[_Numbered]) -> dict[int, Outcome]:
        if self._destination.config.mock is not MISSING:
            return {at: DELIVERED for at, _ in items}
        outcomes: dict[int, Outcome] = {}
        waiting: set[str] = set()
        for run in _runs(items):
            batched = self._destination.hooks.push_batch and run[0][1].event["name"] != (
                CONSENT_CHANGED
            )
            if batched and not waiting:
                outcomes.update(self._send_batch(run, waiting))
            else:
                send = self._send_alone if batched else self._push
                outcomes.update(self._send_each(run, waiting, send))
            if any(outcome.kind == "back" for outcome in outcomes.values()):
                break
        return outcomes

    def _send_each(
        self, items: list[_Numbered], waiting: set[str], send: Callable[[Item], Outcome]
    ) -> dict[int, Outcome]:
        """Send one by one; a person's later events wait behind one that is to be tried again."""
        outcomes: dict[int, Outcome] = {}
        failures = 0
        for at, item in items:
            person = self._person(item)
            if person and person in waiting:
                continue
            outcome = outcomes[at] = send(item)
            if outcome.kind == "back":
                break
            if outcome.kind in ("retry", "bug"):
                waiting.add(person)
            failures = failures + 1 if outcome.kind == "retry" else 0
            if failures >= self._destination.config.breaker.threshold:
                break  # it fails for everybody: the others need not find out one by one
        return outcomes

    def _person(self, item: Item) -> str:
        keys = identifiers(item.context.event.get("user") or {})
        return self._ledger.canonical(keys[0]) if keys else ""

    def _push(self, item: Item) -> Outcome:
        try:
            if item.event["name"] == CONSENT_CHANGED:
                self._call(self._tell, item)
                return TOLD
            self._call(
                self._destination.hooks.push,
                event=item.event,
                data=item.data,
                rule=item.rule,
                context=item.context,
            )
        except Exception as error:  # whatever a plugin raises must not stop the others
            return self._failed(error)
        return DELIVERED

    def _tell(self, item: Item) -> None:
        user = item.event.get("user") or {}
        person = Person(**{key: _text(user.get(key)) for key in ("id", "device", "session")})
        self._destination.hooks.consent(
            update=item.event["data"],
            state=item.event["custom"],
            person=person if user else None,
            context=item.context,
        )

    def _send_batch(self, items: list[_Numbered], waiting: set[str]) -> dict[int, Outcome]:
        push_batch = self._destination.hooks.push_batch
        assert push_batch is not None
        batch = [item for _, item in items]
        try:
            failures = self._call(push_batch, batch=batch, context=self._destination.context)
        except (RetryLater, DestinationDown) as error:
            whole = attrs.evolve(self._failed(error), kind="back")
            return dict.fromkeys((at for at, _ in items), whole)
        except Exception as error:  # one event may have broken it for all: each by itself
            if len(items) == 1:
                return {items[0][0]: self._failed(error)}
            return self._send_each(items, waiting, self._send_alone)
        outcomes = dict.fromkeys((at for at, _ in items), DELIVERED)
        for index, failure in (failures or {}).items():
            if 0 <= index < len(items):
                outcome = outcomes[items[index][0]] = self._failed(failure)
                if outcome.kind in ("retry", "bug"):
                    waiting.add(self._person(items[index][1]))
        return outcomes

    def _send_alone(self, item: Item) -> Outcome:
        return self._send_batch([(0, item)], set())[0]

    def _call(self, hook: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        timeout = self._destination.config.timeout
        if timeout is None:
            return hook(*args, **kwargs)
        return call_within(timeout / 1000, self._destination.id, hook, *args, **kwargs)

    def _failed(self, error: BaseException) -> Outcome:
        if isinstance(error, Rejected):
            return Outcome("rejected", error.reason)
        if isinstance(error, RetryLater):
            return Outcome("retry", error.reason, after=error.after)
        if isinstance(error, DestinationDown):
            return Outcome("back", error.reason, down=True)
        if isinstance(error, SpoolError):  # progress could not be recorded
            return Outcome("retry", str(error))
        return self._bug(error, "push")

    def _bug(self, error: BaseException, where: str) -> Outcome:
        frames = traceback.extract_tb(error.__traceback__)
        place = f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "?"
        # The exception's text may quote an event; the log gets type and place only.
        logging.getLogger("walker_collector.delivery").error(
            "destination %s: %s raised %s at %s",
            self._destination.id,
            where,
            type(error).__name__,
            place,
        )
        return Outcome("bug", f"{type(error).__name__}: {error} (at {place})"[:500])


def _runs(items: list[_Numbered]) -> list[list[_Numbered]]:
    """Split a batch where it must be: changes of consent by themselves, rules with a batch
    of their own apart, each no longer than it says. Order is kept.
    """
    runs: list[list[_Numbered]] = []
    last: object = runs
    for at, item in items:
        batch = item.rule.batch if item.rule else None
        key: object = CONSENT_CHANGED if item.event["name"] == CONSENT_CHANGED else batch
        full = batch is not None and batch.size is not None and runs and len(runs[-1]) >= batch.size
        if not runs or key != last or full:
            runs.append([])
        runs[-1].append((at, item))
        last = key
    return runs


def _with_consent(outcome: Outcome, item: Item) -> Outcome:
    """Add to what is kept of an event the consent that it was tried under."""
    if outcome.kind in ("rejected", "retry", "bug"):
        return attrs.evolve(outcome, consent=item.context.consent)
    return outcome


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
