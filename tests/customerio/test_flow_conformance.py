"""What reached the SDK in walkerOS, and what this destination would call: the same."""

from collections.abc import Iterator
from typing import Any

import msgspec
import orjson
import pytest
from attrs import define, field

from tests.conformance.cases import case_by_id, identifiers, load, same
from tests.customerio.support import CREDENTIALS
from walker_collector import MISSING, Context, NothingToSend, PushContext
from walker_collector.config import DestinationConfig
from walker_collector.flow import load_flow
from walker_collector.mapping import Mapped, Mapper, compile_mapping, compile_rules
from walker_collector.mapping.partial_decode import PartialRules, compile_partial
from walker_collector.people.gate import compile_gate
from walker_collector.plugins import Registry
from walker_dest_customerio.destination import CustomerioDestination, Unidentified

CALLS = {
    "trackClient.identify": "identify",
    "trackClient.track": "track",
    "trackClient.trackAnonymous": "track_anonymous",
    "trackClient.trackPageView": "pageview",
    "trackClient.destroy": "delete",
    "trackClient.suppress": "suppress",
    "trackClient.unsuppress": "unsuppress",
    "trackClient.addDevice": "add_device",
    "trackClient.deleteDevice": "delete_device",
    "trackClient.mergeCustomers": "merge_customers",
    "apiClient.sendEmail": "send_email",
    "apiClient.sendPush": "send_push",
}

# What walkerOS's collector made up for events that brought none, so an answer can't be repeated.
MADE_UP = ("event_id", "event_timing", "event_trigger", "source_")

FLOWS = [
    case
    for case in (*load("flow.ndjson", "flow"), *load("edge_cases.ndjson", "flow"))
    if "fail" not in case  # a failing client is tested where clients are
]


def config_of(case: dict[str, Any]) -> DestinationConfig:
    registry = Registry()
    registry.register("customerio", CustomerioDestination)
    settings = {**CREDENTIALS, **case.get("settings", {})}
    config = {**case.get("config", {}), "settings": settings}
    raw = {"destinations": {"customerio": {"package": "customerio", "config": config}}}
    return load_flow(raw, registry=registry, environ={}).destinations["customerio"].config


@define
class Flow:
    """A collector reduced to what decides about calls: user, consent, held events, mapping."""

    config: DestinationConfig
    consent: dict[str, bool]
    user: dict[str, Any] = field(factory=dict)
    held: list[dict[str, Any]] = field(factory=list)
    mapper: Mapper = field(init=False)
    destination: CustomerioDestination = field(factory=CustomerioDestination)

    @mapper.default
    def _compile(self) -> Mapper:
        return compile_mapping(self.config)

    def step(self, step: dict[str, Any]) -> Iterator[list[Any]]:
        """Do a step of a case; yield the calls it leads to."""
        if "push" in step:
            yield from self._push({**step["push"], "user": self.user | step["push"]["user"]})
        self.user |= step.get("user", {})
        if "consent" in step:
            self.consent |= step["consent"]
            waiting, self.held = self.held, []
            for event in waiting:
                yield from self._push(event)

    def _push(self, event: dict[str, Any]) -> Iterator[list[Any]]:
        said = {**self.consent, **event.get("consent", {})}
        state = {key: True for key, granted in said.items() if granted}
        if not compile_gate(self.config.consent)(state):
            self.held.append(event)
            return
        event = {**event, "consent": state}
        context = PushContext(
            Context("customerio", self.config.settings, self.config), event, state
        )
        mapped = self.map(event, context)
        if mapped.outcome != "deliver":
            return
        context.event = mapped.event
        try:
            yield from self.destination.simulate(mapped.event, mapped.data, mapped.rule, context)
        except (Unidentified, NothingToSend):
            return

    def map(self, event: dict[str, Any], context: PushContext) -> Mapped:
        """Map an event."""
        return self.mapper(event, context)


@define
class FlowInPart(Flow):
    """A flow that decodes only the parts of events that are read, wherever it can."""

    rules: PartialRules | None = field(init=False)
    count: int = 0

    @rules.default
    def _compile_rules(self) -> PartialRules | None:
        steps = compile_rules(self.config).simple_steps
        return compile_partial(CustomerioDestination.reads, self.config.settings, steps)

    def map(self, event: dict[str, Any], context: PushContext) -> Mapped:
        """Map an event, in part if possible."""
        body = orjson.dumps({"name": event["name"], "id": "e1", **event})
        rules = self.rules
        if rules is None or rules.rule_of(event["name"]) is None:
            return Flow.map(self, event, context)
        try:
            read = rules.decode(body)
        except msgspec.ValidationError:  # a value that is no scalar: its rule takes any from now on
            for _ in range(100):
                rules.note_whole(event["name"], rules.decode)
            return self.map(event, context)
        self.count += 1
        rule = rules.of_kind[type(read)]
        made = rule.event(read, event["consent"])
        data = rule.data(read, context, made) if rule.data else MISSING
        return Mapped(made, data, rule.rule, "deliver")


def run(case: dict[str, Any]) -> tuple[list[list[Any]], list[int]]:
    """Return the calls of a case, and how many there were after each step."""
    return steps_of(case, Flow(config_of(case), consent_of(case)))


def consent_of(case: dict[str, Any]) -> dict[str, bool]:
    return dict(case.get("collector", {}).get("consent", {}))


def steps_of(case: dict[str, Any], flow: Flow) -> tuple[list[list[Any]], list[int]]:
    calls: list[list[Any]] = []
    marks = []
    for step in case["steps"]:
        calls += recorded([*flow.step(step)])
        marks.append(len(calls))
    return calls, marks


def recorded(calls: list[list[Any]]) -> list[list[Any]]:
    """Return calls without those that the original does not know: anonymous page views."""
    return [call for call in calls if call[0] != "pageview_anonymous"]


def comparable(call: list[Any]) -> list[Any]:
    """A call without what the original's collector made up."""
    if call[0] not in ("track", "track_anonymous"):
        return call
    data = {key: value for key, value in call[2]["data"].items() if not key.startswith(MADE_UP)}
    return [*call[:2], {**call[2], "data": data}]


@pytest.mark.parametrize("case", FLOWS, ids=identifiers(FLOWS))
def test_calls_are_those_of_the_original(case: dict[str, Any]) -> None:
    config = config_of(case)
    calls, marks = steps_of(case, Flow(config, consent_of(case)))
    expected = [[CALLS[name], *arguments] for name, *arguments in case["expect"]["calls"]]
    assert same([*map(comparable, calls)], [*map(comparable, expected)])
    assert marks == case["expect"]["marks"]
    assert steps_of(case, FlowInPart(config, consent_of(case))) == (calls, marks)


def test_events_of_a_plain_rule_are_decoded_in_part() -> None:
    event = {"name": "a b", "timestamp": 1700000100000, "user": {"id": "u1"}, "data": {"x": 1}}
    case = {"config": {"mapping": {"a": {"b": {"data": "data"}}}}, "steps": [{"push": event}]}
    flow = FlowInPart(config_of(case), {})
    assert steps_of(case, flow) == run(case)
    assert flow.count == 1


def test_numeric_user_ids_are_identities_unlike_in_the_original() -> None:
    calls, _ = run(case_by_id("edge-98"))
    assert calls == [["track", "42", {"name": "a b", "data": {}, "timestamp": 1700000100}]]


def test_people_are_remembered_each_unlike_in_the_original() -> None:
    pushes = [
        {"push": {"name": "a b", "timestamp": 1700000100000, "user": {"id": who}}}
        for who in ("u1", "u2", "u1")
    ]
    settings = {"identify": {"map": {"email": "user.email"}}}
    rules = {"*": {"*": {"skip": True}}}
    case = {"settings": settings, "config": {"mapping": rules}, "steps": pushes}
    assert run(case)[0] == [["identify", "u1", {}], ["identify", "u2", {}]]
