"""Simulate a flow: the effects of each event, without delivering it.

Events come in as in a real run, and are held, released and mapped in the same way; each destination
is asked for the calls that it would make. Nothing is initialised, sent or stored. Of extensions,
only `transform` is run, of those that the flow names.
"""

import itertools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeVar

from attrs import Factory, evolve, field, frozen

from walker_collector.config import MISSING, Consent, FlowConfig
from walker_collector.delivery.consent_hold import ConsentHold
from walker_collector.delivery.destination import Destination, build_destinations
from walker_collector.delivery.hook_calls import person_of
from walker_collector.delivery.preparation import CONSENT_CHANGED, context_for
from walker_collector.error_details import definition_of, failure_of, reason_of
from walker_collector.errors import Ignored, NothingToSend, Rejected
from walker_collector.events import Bounds, Defaults, decode
from walker_collector.hooks import BrokenContract
from walker_collector.hookspecs import Event, PushContext, Received, Rule
from walker_collector.intake.accept import Intake
from walker_collector.intake.unknown_keys import UnknownKeys
from walker_collector.mapping import UNMATCHED, Mapped
from walker_collector.people.consent import ConsentStore, Grant
from walker_collector.people.identity import KINDS
from walker_collector.spool import Entry, NewEvent, PeopleUpdate, Position
from walker_collector.spool.memory import MemorySpool
from walker_collector.spool.repeats import Unstored
from walker_collector.text import type_name
from walker_collector.tracebacks import log_traceback

Status = Literal["deliver", "held", "ignored", "dropped", "unidentified", "empty", "invalid"]
Call = list[Any]
T = TypeVar("T")


@frozen(kw_only=True)
class Simulated:
    """The effect of one event at one destination.

    event: its name as given. person: the key of its person; "" for nobody.
    status: `held`: it waits for consent. `dropped`: consent is denied, and the destination holds
        no events. `ignored`: a rule says so. `empty`: it gives the destination nothing to send;
        `error` is the reason. `unidentified`, `invalid`: it would be a dead letter, for `error`.
    warnings: the parts of the event that are left out or changed, though the rest is delivered.
    rule: the key of the rule that matched. unmatched: there are rules, but none matched.
    required, rule_required: the consent that destination and rule require.
    mode: whether any one of the required keys is enough, or all are needed.
    grants: each key of consent that holds for the event, with its source.
    policies: the paths that policies have written.
    public_values: values that are no secret of the person: identifiers and names of the event.
    released: the event was held before.
    evicted: the number of held events that are dropped, as there is no room for this one too.
    planned: what the plugin's `estimate` needs to count the requests; None if nothing is sent.
    """

    event: str
    destination: str
    status: Status
    rule: str | None = None
    unmatched: bool = False
    calls: list[Call] = Factory(list)
    error: str | None = None
    warnings: tuple[str, ...] = ()
    person: str = ""
    required: Consent | None = None
    rule_required: Consent | None = None
    mode: str = "any"
    grants: tuple[Grant, ...] = ()
    policies: tuple[str, ...] = ()
    public_values: frozenset[str] = field(default=frozenset(), repr=False)
    released: bool = False
    evicted: int = 0
    planned: Any = field(default=None, repr=False)


class Simulation:
    """The intake of a flow, with a sink that asks destinations instead of delivering to them.

    `now` returns ms since 1970 and `new_id` ids for events that have none.
    """

    def __init__(
        self, flow: FlowConfig, *, now: Callable[[], int], new_id: Callable[[], str]
    ) -> None:
        config, unknown = flow.collector, UnknownKeys()
        consents = ConsentStore(MemorySpool(), config.consent, config.people_max, now)
        self.destinations = build_destinations(flow)
        self._sink = _SimulatedSink(self.destinations, consents)
        self._intake = Intake(
            Defaults.of(
                config,
                new_id,
                trace="simulation",
                on_unknown=unknown.of_event,
                on_misnamed=unknown.of_user,
            ),
            Bounds(config.max_depth, config.max_bytes),
            consents,
            self._sink,
            now,
        )

    def push(self, raw: Mapping[str, Any] | Received) -> list[Simulated]:
        """Return the effects of an event at each destination, after the held events it releases.

        A command yields the events that it releases, after the calls that destinations make for a
        change of consent itself. Raises EventError for an invalid event or command.
        """
        if isinstance(raw, Received):
            (result,) = self._intake.accept_many([raw], lambda: None)
            if isinstance(result, Exception):
                raise result
        else:
            self._intake.accept(raw, wait=False)
        return self._sink.take_results()


class _SimulatedSink:
    """Asks each destination about the events that a spool would store."""

    def __init__(self, destinations: Sequence[Destination], consents: ConsentStore) -> None:
        self.destinations = destinations
        self._stages = [_Stage(item, consents) for item in destinations]
        self._next_seq = itertools.count(1).__next__
        self._notices: list[NewEvent] = []
        self._results: list[Simulated] = []

    def take_results(self) -> list[Simulated]:
        """Return the results since the last call."""
        results, self._results = self._results, []
        return results

    def store(self, records: Sequence[NewEvent], *, waits: bool = True) -> int:
        """Ask about events."""
        for record in records:
            entry = (self._next_seq(), record.person, record.at, record.body)
            self._results += [stage.take(entry) for stage in self._stages]
        return len(records)

    def store_learning(
        self, records: Sequence[NewEvent], update: PeopleUpdate, show: Callable[[], None]
    ) -> None:
        """Ask about events, after the held ones that their links release."""
        show()
        self.release(set())
        self.store(records)

    def came_before(self, marks: Collection[bytes], now: int) -> set[bytes]:
        """Return none: nothing is remembered."""
        return set()

    def keep_mark(self, mark: bytes, now: int) -> None:
        """Remember nothing."""

    def keep_unstored(self, events: Sequence[Unstored]) -> None:
        """Remember nothing."""

    def count_unstored(self, event: Mapping[str, Any], statuses: Mapping[str, str]) -> None:
        """Count nothing: `store` asks about these events too."""

    def keep_positions(self, positions: Sequence[Position]) -> None:
        """Keep nothing."""

    def record(
        self,
        update: PeopleUpdate | None,
        notice: Sequence[NewEvent],
        position: Position | None = None,
    ) -> None:
        """Keep a notice until its statement counts, which is when `release` is called."""
        self._notices += notice

    def maintain(self) -> None:
        """Write nothing: a simulation keeps nothing."""

    def release(self, people: Iterable[str] | None) -> None:
        """Ask about a change of consent, then about the held events that may go now."""
        notices, self._notices = self._notices, []
        for notice in notices:
            for stage in self._stages:
                if stage.id in notice.states:
                    self._results += stage.notify(notice)
        for stage in self._stages:
            self._results += stage.release(people)

    def wait_for_calls(self, people: set[str] | None) -> int:
        """Return 0: there are no calls."""
        return 0

    def wait_for_room(self, work: Callable[[], T]) -> T:
        """Call `work`; there is always room."""
        return work()


@frozen
class _Answer:
    """A destination's answer to an event."""

    status: Status
    calls: list[Call] = Factory(list)
    error: str | None = None
    warnings: tuple[str, ...] = ()
    planned: Any = None


class _Stage:
    """One destination with the events held for it."""

    def __init__(self, destination: Destination, consents: ConsentStore) -> None:
        self._destination = destination
        self._consents = consents
        self._joins = consents.follow()
        self._held = ConsentHold(destination.config.queue_max)

    def take(self, entry: Entry) -> Simulated:
        """Return the effect of an event, and hold it if consent is missing."""
        result = self._simulate(entry)
        if result.status == "held" and (evicted := self._held.add(entry)):
            return evolve(result, evicted=len(evicted))
        return result

    def release(self, people: Iterable[str] | None) -> list[Simulated]:
        """Return the effects of the held events of these people that consent admits now."""
        joined: set[int] = set()
        while self._joins:
            joined.update(self._held.join(*self._joins.popleft()))
        results = []
        for entry in self._held.of(people, joined):
            result = self._simulate(entry)
            if result.status != "held":
                self._held.remove(entry)
                results.append(evolve(result, released=True))
        return results

    @property
    def id(self) -> str:
        """The id of the destination."""
        return self._destination.id

    def notify(self, notice: NewEvent) -> list[Simulated]:
        """Return the effect of a change of consent, or of a statement that is relayed, if any."""
        destination, person = self._destination, notice.person
        change, basis = decode(notice.body), self._consents.basis(person)
        name = "simulate" if destination.relays else "simulate_consent"
        simulate = getattr(destination.instance, name, None)
        if simulate is None or self._mocked:
            return []
        context = context_for(destination, basis, change, key=person)
        if destination.relays:
            answer = _ask(simulate, change, MISSING, None, context)
        else:
            answer = _ask(simulate, change["data"], change["custom"], person_of(change), context)
        if not answer.calls and not answer.error:
            return []
        shown = Simulated(
            event=CONSENT_CHANGED,
            destination=destination.id,
            status=answer.status,
            calls=answer.calls,
            error=answer.error,
            warnings=answer.warnings,
            planned=answer.planned,
            person=person,
            grants=tuple(self._consents.explain({}, person)),
            public_values=_public_values(change, CONSENT_CHANGED),
        )
        return [shown]

    def _simulate(self, entry: Entry) -> Simulated:
        """Decide as a delivery would. Denied events are mapped as well, to show their rule."""
        destination, (_, person, _, body) = self._destination, entry
        event = decode(body)
        name, own = event["name"], event.get("consent") or {}
        grants = tuple(self._consents.explain(own, person))
        basis = self._consents.basis(person)
        context = context_for(destination, basis, event, person=person, key=person)
        try:
            left_out = self._transform(event, context)
            mapped = destination.mapper(event, context)
            answer = self._answer(name, body, mapped, context, left_out)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a function of the mapping that even tries to exit
            log_traceback(f"{destination.id}: mapping", error)
            mapped = Mapped(event, MISSING, None, "deliver")
            answer = _Answer("invalid", error=f"its mapping raised {failure_of(error)}")
        return Simulated(
            event=name,
            destination=destination.id,
            status=answer.status,
            rule=mapped.rule.key if mapped.rule else None,
            unmatched=bool(destination.config.mapping) and mapped.rule is None,
            calls=answer.calls,
            error=answer.error,
            warnings=answer.warnings,
            planned=answer.planned,
            person=person,
            required=destination.config.consent,
            rule_required=mapped.required,
            mode=destination.config.consent_mode,
            grants=grants,
            policies=mapped.policies,
            public_values=_public_values(event, name, mapped.event["name"], _name_of(mapped.rule)),
        )

    def _transform(self, event: Event, context: PushContext) -> _Answer | None:
        """Have the flow's extensions change the event; return the answer if one leaves it out."""
        transform = self._destination.hooks.transform
        try:
            if transform is not None:
                transform(event=event, context=context)
        except Ignored as error:
            return _Answer("ignored", error=reason_of(error))
        except Rejected as error:
            return _Answer("invalid", error=reason_of(error))
        except BrokenContract as error:
            return _Answer("invalid", error=str(error))
        return None

    def _answer(
        self,
        name: str,
        body: bytes,
        mapped: Mapped,
        context: PushContext,
        left_out: _Answer | None,
    ) -> _Answer:
        destination = self._destination
        ignoring = destination.ignoring
        if ignoring is not None and ignoring.by_name(name):
            return _Answer("ignored")
        if not destination.admits(context.consent):
            return _Answer(destination.status_when_denied(name, body))
        if left_out is not None:
            return left_out
        if mapped.outcome == "denied":
            return _Answer(destination.status_without_consent)
        if mapped.outcome == "ignored":
            return _Answer("ignored")
        if mapped.outcome == "unmatched":
            return _Answer("invalid", error=UNMATCHED)
        if self._mocked:
            return _Answer("deliver")
        simulate = getattr(destination.instance, "simulate", None)
        if simulate is None:
            data = None if mapped.data is MISSING else mapped.data
            return _Answer("deliver", [["push", mapped.event["name"], data]])
        context.event = mapped.event
        return _ask(simulate, mapped.event, mapped.data, mapped.rule, context)

    @property
    def _mocked(self) -> bool:
        """Whether the destination is mocked, and nothing is ever sent."""
        return self._destination.config.mock is not MISSING


def _ask(simulate: Callable[..., list[Call]], *arguments: Any) -> _Answer:
    """Return the calls that a plugin says it would make, or its reason to refuse."""
    try:
        calls = simulate(*arguments)
        listed = _listed(calls)
    except NothingToSend as error:
        return _Answer("empty", error=reason_of(error))
    except Rejected as error:
        unidentified = getattr(error, "status", None) == "unidentified"
        return _Answer("unidentified" if unidentified else "invalid", error=reason_of(error))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a plugin raises must not stop the others
        log_traceback("simulate", error)
        # Its text may quote the event.
        failure = failure_of(error, getattr(simulate, "__module__", None) or "")
        return _Answer("invalid", error=f"the plugin's simulation raised {failure}")
    if isinstance(listed, str):
        name = getattr(simulate, "__name__", "simulate")
        place = f"{name} of the plugin ({definition_of(simulate)})"
        advice = 'return a list of calls, each a list of a name and values: [["send", data]]'
        return _Answer("invalid", error=f"{place} returned {listed}; {advice}")
    refused = getattr(calls, "refused", None)
    return _Answer(
        "invalid" if refused else "deliver" if listed else "empty",
        listed,
        refused,
        tuple(getattr(calls, "warnings", ())),
        getattr(calls, "planned", None),
    )


def _listed(calls: Any) -> list[Call] | str:
    """Return the calls of a plugin; of anything else, its name."""
    if not isinstance(calls, Iterable) or isinstance(calls, str | Mapping):
        return type_name(calls)
    listed = list(calls)
    for call in listed:
        if not isinstance(call, list | tuple):
            return f"{type_name(call)} as a call"
        if not call or not isinstance(call[0], str):
            return "a call without a name"
    return listed


def _name_of(rule: Rule | None) -> str | None:
    return rule.name if rule else None


def _public_values(event: Event, *names: str | None) -> frozenset[str]:
    user = event.get("user") or {}
    ids = (user.get(kind) for kind in KINDS)
    return frozenset(str(item) for item in (*ids, *names) if item is not None)
