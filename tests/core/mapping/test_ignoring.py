"""Which events are ignored whatever is granted, so that nobody need hold them."""

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.mapping.strategies import CONSENT
from walker_collector.config import (
    DestinationConfig,
    PathSpec,
    RuleConfig,
    Rules,
    TransformerConfig,
)
from walker_collector.events import Bounds, encode
from walker_collector.mapping import compile_ignoring, compile_mapping
from walker_collector.mapping.scope import LocalScope


def large(event: dict[str, Any]) -> bool:
    return bool(event["data"]["n"] > 1)


def granted(event: dict[str, Any]) -> bool:
    return "marketing" in event["consent"]


def granted_in_context(event: Any, context: Any) -> bool:
    return bool(context.consent.get("marketing"))


def quietly_granted(event: dict[str, Any]) -> bool:
    try:
        return bool(event["consent"]["marketing"])
    except BaseException:
        return False


IGNORE, SEND = RuleConfig(ignore=True), RuleConfig()
NAMES = st.sampled_from(["order complete", "order view", "page view", "page leave now"])
EVENTS = st.builds(lambda name, n: {"name": name, "data": {"n": n}}, NAMES, st.integers(0, 3))
WORDS = st.sampled_from(["order", "page", "view", "complete", "*"])
CONDITIONS = st.sampled_from([None, large, granted, granted_in_context, quietly_granted])
IGNORING = st.builds(
    RuleConfig,
    ignore=st.booleans(),
    consent=st.none() | CONSENT,
    condition=CONDITIONS,
    policy=st.none() | st.just({"name": PathSpec("custom")}),
)
LOOKUPS = st.builds(
    DestinationConfig,
    unmatched=st.sampled_from(["send", "ignore", "error"]),
    policy=st.sampled_from([None, {"user.id": PathSpec("name")}, {"data.n": PathSpec("consent")}]),
    mapping=st.dictionaries(
        WORDS, st.dictionaries(WORDS, IGNORING | st.lists(IGNORING, max_size=3)), max_size=3
    ),
)


def ignored(config: DestinationConfig, event: dict[str, Any]) -> bool:
    ignoring = compile_ignoring(config)
    body = encode(event, Bounds())
    return ignoring is not None and (
        ignoring.by_name(event["name"]) or ignoring.by_conditions(event["name"], body)
    )


@given(LOOKUPS, EVENTS, CONSENT)
def test_event_that_is_ignored_before_consent_is_known_is_ignored_whatever_is_granted(
    config: DestinationConfig, event: dict[str, Any], consent: dict[str, bool]
) -> None:
    if ignored(config, event):
        event["consent"] = consent
        assert compile_mapping(config)(event, LocalScope(event, consent)).outcome == "ignored"


@pytest.mark.parametrize(
    ("rules", "by_name", "by_conditions"),
    [
        ({"order": {"*": IGNORE}}, True, False),
        ({"*": {"*": IGNORE}}, True, False),
        ({"order": {"*": [RuleConfig(ignore=True, condition=large), IGNORE]}}, True, False),
        ({"order": {"complete": SEND, "*": IGNORE}}, False, False),
        ({"page": {"*": IGNORE}}, False, False),
        ({"order": {"*": [RuleConfig(ignore=True, condition=large)]}}, False, True),
        ({"order": {"*": [RuleConfig(ignore=True, condition=large), SEND]}}, False, True),
        ({"order": {"*": [RuleConfig(condition=large), IGNORE]}}, False, False),
        ({"order": {"*": [RuleConfig(condition=granted), IGNORE]}}, False, False),
        ({"order": {"*": [RuleConfig(condition=quietly_granted), IGNORE]}}, False, False),
        ({"order": {"*": [RuleConfig(condition=granted_in_context), IGNORE]}}, False, False),
    ],
)
def test_event_is_ignored_by_name_or_by_conditions_that_look_at_no_consent(
    rules: Rules, by_name: bool, by_conditions: bool
) -> None:
    ignoring = compile_ignoring(DestinationConfig(mapping=rules))
    assert ignoring is not None
    event = {"name": "order complete", "data": {"n": 2}}
    assert ignoring.by_name("order complete") is by_name
    assert ignoring.by_conditions("order complete", encode(event, Bounds())) is by_conditions


@pytest.mark.parametrize(
    "config",
    [
        DestinationConfig(),
        DestinationConfig(mapping={"order": {"*": SEND}}),
        DestinationConfig(mapping={"*": {"*": IGNORE}}, policy={"name": PathSpec("custom.name")}),
        DestinationConfig(
            mapping={"*": {"*": IGNORE}},
            before=(TransformerConfig(policy={"name": PathSpec("custom.name")}),),
        ),
    ],
)
def test_nothing_is_ignored_early_where_no_rule_does_or_the_name_may_change(
    config: DestinationConfig,
) -> None:
    assert compile_ignoring(config) is None


LOOKS: list[Callable[[Any], Any]] = [
    lambda consent: consent["marketing"],
    lambda consent: consent.get("marketing"),
    lambda consent: "marketing" in consent,
    bool,
    len,
    list,
    dict,
    str,
    copy.copy,
    copy.deepcopy,
    pickle.dumps,
    json.dumps,
    lambda consent: {**consent},
    lambda consent: consent | {},
    lambda consent: {} | consent,
    lambda consent: consent == {},
    lambda consent: consent != {"marketing": True},
    lambda consent: sorted(consent.items()),
    lambda consent: [*consent.keys(), *consent.values()],
    lambda consent: list(reversed(consent)),
]


@pytest.mark.parametrize("look", LOOKS)
def test_condition_that_looks_at_consent_in_any_way_decides_nothing_early(
    look: Callable[[Any], Any],
) -> None:
    def condition(event: dict[str, Any]) -> bool:
        look(event["consent"])
        return True

    rules: Rules = {"order": {"*": [RuleConfig(ignore=True, condition=condition), SEND]}}
    event = {"name": "order complete", "data": {}, "consent": {"marketing": True}}
    assert not ignored(DestinationConfig(mapping=rules), event)
