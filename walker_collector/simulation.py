"""What each event would do: the collector's decisions on a flow, with no delivery.

Consent, holding and releasing, and mapping are those of a real run; a destination is asked what it
would call. Nothing is initialised, sent or stored. Extensions take no part: they are code of other
people's that may do anything.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from attrs import Factory, field, frozen

from walker_collector.config import MISSING, Consent, FlowConfig
from walker_collector.delivery import (
    CONSENT_CHANGED,
    Destination,
    context_for,
    person_of,
)
from walker_collector.delivery.consent_hold import ConsentHold
from walker_collector.delivery.destination import build_destinations
from walker_collector.error_details import reason_of
from walker_collector.errors import EventError, NothingToSend, Rejected
from walker_collector.events import (
    Bounds,
    Defaults,
    complete,
    decode,
    encode,
    merge,
    plain_object,
)
from walker_collector.hookspecs import Event, PushContext, Rule
from walker_collector.intake.commands import COMMANDS, address, consent_change, plain_statement
from walker_collector.mapping import UNMATCHED, Mapped
from walker_collector.people.consent import ConsentStore, Grant, News
from walker_collector.people.gate import granted
from walker_collector.people.identity import KINDS
from walker_collector.spool import Entry
from walker_collector.spool.memory import MemorySpool

Status = Literal["deliver", "held", "ignored", "dropped", "unidentified", "empty", "invalid"]
Call = list[Any]


@frozen(kw_only=True)
class Simulated:
    """What one event would do at one destination.

    event: its name as given. person: the key of whom it is about; "" for nobody.
    status: `held` waits for consent, `dropped` is denied by a destination that holds nothing;
        `ignored` is sent nothing, by rule; `empty` asks nothing of the destination, for `error`;
        `unidentified` and `invalid` would be dead letters, for `error`.
    warnings: what of the event is left out or changed, though the rest is delivered.
    rule: the key of the rule that matched.
    required, rule_required: the consent that destination and rule ask for.
    mode: whether any one of that is enough, or all.
    grants: each key of consent that holds for the event, with where it comes from.
    policies: the paths that policies have written.
    known: what is no secret of the person's: identifiers and names of the event.
    """

    event: str
    destination: str
    status: Status
    rule: str | None = None
    calls: list[Call] = Factory(list)
    error: str | None = None
    warnings: tuple[str, ...] = ()
    person: str = ""
    required: Consent | None = None
    rule_required: Consent | None = None
    mode: str = "any"
    grants: tuple[Grant, ...] = ()
    policies: tuple[str, ...] = ()
    known: frozenset[str] = field(default=frozenset(), repr=False)


class Simulation:
    """A flow's collector without deliveries.

    `now` returns ms since 1970 and `new_id` ids for events that have none.
    """

    def __init__(
        self, flow: FlowConfig, *, now: Callable[[], int], new_id: Callable[[], str]
    ) -> None:
        config = flow.collector
        self._consents = ConsentStore(MemorySpool(), config.consent, config.people_max, now)
        self._stages = [_Stage(item, self._consents) for item in build_destinations(flow)]
        self._bounds = Bounds(config.max_depth, config.max_bytes)
        self._defaults = Defaults.of(config, new_id, trace="simulation")
        self._now = now
        self._new_id = new_id
        self._next_seq = itertools.count(1).__next__

    def push(self, raw: Mapping[str, Any]) -> list[Simulated]:
        """Return what an event would do at each destination, after the held events it releases.

        A command yields what it releases, after what destinations do about a change of consent.
        Raises EventError for an event or command that is none.
        """
        if raw.get("name") in COMMANDS:
            return self._command(raw)
        entry, news = self._accept(raw)
        people = [entry[1]] if news == "said" else []
        released = self._release(people) if news else []
        return [*released, *(stage.take(entry) for stage in self._stages)]

    def _accept(self, raw: Mapping[str, Any]) -> tuple[Entry, News]:
        """Return the completed event, and whether people turned out to be one."""
        now = self._now()
        event = complete(raw, now, 0.0, self._defaults)
        body = encode(event, self._bounds)
        person, news = self._consents.identify(event["user"])
        return (self._next_seq(), person, now, body), news

    def _command(self, raw: Mapping[str, Any]) -> list[Simulated]:
        data = raw.get("data")
        if not isinstance(data, Mapping):
            raise EventError(f"{raw['name']}: data must be an object")
        if raw["name"] == "walker consent":
            return self._consent(data, raw.get("user"))
        defaults = self._defaults
        if raw["name"] == "walker user":
            defaults.user = merge(defaults.user, plain_object("user", data, self._bounds))
        else:
            defaults.globals = merge(defaults.globals, plain_object("globals", data, self._bounds))
        return []

    def _consent(self, update: Consent, user: Mapping[str, Any] | None) -> list[Simulated]:
        update, user = plain_statement(update, user, self._bounds)
        if user is None:
            self._consents.set_default(update)
            told = self._announce(update, self._consents.default, {}, "")
            return [*told, *self._release(None)]
        person, state = self._consents.record_consent(update, user)
        told = self._announce(update, state, address(user, person), person)
        return [*told, *self._release([person])]

    def _announce(
        self, update: Consent, state: Consent, user: Mapping[str, Any], person: str
    ) -> list[Simulated]:
        change = consent_change(update, state, user, id=self._new_id(), now=self._now())
        told = (stage.tell(change, person) for stage in self._stages)
        return [result for result in told if result is not None]

    def _release(self, people: Iterable[str] | None) -> list[Simulated]:
        chosen = None if people is None else list(people)
        return [result for stage in self._stages for result in stage.release(chosen)]


@frozen
class _Answer:
    """What a destination would do with an event."""

    status: Status
    calls: list[Call] = Factory(list)
    error: str | None = None
    warnings: tuple[str, ...] = ()


class _Stage:
    """One destination with the events held for it."""

    def __init__(self, destination: Destination, consents: ConsentStore) -> None:
        self._destination = destination
        self._consents = consents
        self._joins = consents.follow()
        self._held = ConsentHold(destination.config.queue_max)

    def take(self, entry: Entry) -> Simulated:
        result = self._rehearse(entry)
        if result.status == "held":
            self._held.add(entry)
        return result

    def release(self, people: Iterable[str] | None) -> list[Simulated]:
        """Return what became of the held events of these people that may now go."""
        joined: set[int] = set()
        while self._joins:
            joined.update(self._held.join(*self._joins.popleft()))
        results = []
        for entry in self._held.of(people, joined):
            result = self._rehearse(entry)
            if result.status != "held":
                self._held.remove(entry)
                results.append(result)
        return results

    def tell(self, change: Event, person: str) -> Simulated | None:
        """Return what a change of consent would do by itself; None where that is nothing."""
        destination = self._destination
        simulate = getattr(destination.instance, "simulate_consent", None)
        if simulate is None or not destination.listens or self._mocked:
            return None
        context = context_for(destination, granted(self._consents.base(person)), change)
        answer = _ask(simulate, change["data"], change["custom"], person_of(change), context)
        if not answer.calls and not answer.error:
            return None
        return Simulated(
            event=CONSENT_CHANGED,
            destination=destination.id,
            status=answer.status,
            calls=answer.calls,
            error=answer.error,
            warnings=answer.warnings,
            person=person,
            grants=tuple(self._consents.explain({}, person)),
            known=_known(change, CONSENT_CHANGED),
        )

    def _rehearse(self, entry: Entry) -> Simulated:
        """Decide as a delivery would; the mapping is asked for the rule of denied events too."""
        destination, (_, person, _, body) = self._destination, entry
        event = decode(body)
        name, own = event["name"], event.get("consent") or {}
        grants = tuple(self._consents.explain(own, person))
        context = context_for(destination, granted(self._consents.base(person)), event)
        mapped = destination.mapper(event, context)
        answer = self._answer(name, body, mapped, context)
        return Simulated(
            event=name,
            destination=destination.id,
            status=answer.status,
            rule=mapped.rule.key if mapped.rule else None,
            calls=answer.calls,
            error=answer.error,
            warnings=answer.warnings,
            person=person,
            required=destination.config.consent,
            rule_required=mapped.required,
            mode=destination.config.consent_mode,
            grants=grants,
            policies=mapped.policies,
            known=_known(event, name, mapped.event["name"], _name_of(mapped.rule)),
        )

    def _answer(self, name: str, body: bytes, mapped: Mapped, context: PushContext) -> _Answer:
        destination = self._destination
        ignoring = destination.ignoring
        if ignoring is not None and ignoring.by_name(name):
            return _Answer("ignored")
        if not destination.admits(context.consent):
            return _Answer(destination.status_when_denied(name, body))
        if mapped.outcome == "denied":
            return _Answer("held" if destination.config.queue else "dropped")
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
        """Whether nothing is ever sent."""
        return self._destination.config.mock is not MISSING


def _ask(simulate: Callable[..., list[Call]], *arguments: Any) -> _Answer:
    """Return what a plugin says it would call, or why it would refuse."""
    try:
        calls = simulate(*arguments)
    except NothingToSend as error:
        return _Answer("empty", error=reason_of(error))
    except Rejected as error:
        unidentified = getattr(error, "status", None) == "unidentified"
        return _Answer("unidentified" if unidentified else "invalid", error=reason_of(error))
    except Exception as error:  # whatever a plugin raises must not stop the others
        # Its text may quote the event.
        return _Answer("invalid", error=f"the plugin's simulation raised {type(error).__name__}")
    warnings = tuple(getattr(calls, "warnings", ()))
    if refused := getattr(calls, "refused", None):
        return _Answer("invalid", list(calls), refused, warnings)
    return _Answer("deliver" if calls else "empty", list(calls), None, warnings)


def _name_of(rule: Rule | None) -> str | None:
    return rule.name if rule else None


def _known(event: Event, *names: str | None) -> frozenset[str]:
    user = event.get("user") or {}
    ids = (user.get(kind) for kind in KINDS)
    return frozenset(str(item) for item in (*ids, *names) if item is not None)
