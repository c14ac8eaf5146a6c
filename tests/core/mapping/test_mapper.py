"""The whole mapping of a destination."""

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conformance.cases import same
from tests.core.mapping.strategies import CONSENT, EVENTS, MAPS, SPECS
from tests.forms import examples
from walker_collector.config import (
    MISSING,
    AlternativesSpec,
    BatchConfig,
    DestinationConfig,
    ObjectSpec,
    PathSpec,
    RuleConfig,
    Rules,
)
from walker_collector.mapping import Mapped, compile_mapping
from walker_collector.mapping.scope import LocalScope

EVENT: dict[str, Any] = {
    "id": "e1",
    "name": "order complete",
    "entity": "order",
    "action": "complete",
    "data": {"id": "o1", "tags": ["a", "b"], "shipping": {"city": "Bonn", "gift": None}},
    "user": {"id": "u1", "email": "ann@example.org"},
    "context": {"stage": ["checkout", 1], "empty": [], "plain": "text"},
}


def mapped(
    rule: RuleConfig | None = None, *, consent: dict[str, bool] | None = None, **config: Any
) -> Mapped:
    mapping: Rules | None = {"order": {"complete": rule}} if rule else None
    compiled = compile_mapping(DestinationConfig(mapping=mapping, **config))
    return compiled(EVENT, LocalScope(EVENT, consent or {}))


def constant(value: Any) -> ObjectSpec:
    return ObjectSpec(value=value)


def test_event_without_rules_is_delivered_as_it_is() -> None:
    result = mapped()
    assert result.event is EVENT
    assert (result.data, result.rule, result.outcome) == (MISSING, None, "deliver")


def test_rule_says_what_matched_and_with_which_settings() -> None:
    batch = BatchConfig(size=5)
    result = mapped(RuleConfig(name="purchase", skip=True, settings={"a": 1}, batch=batch))
    rule = result.rule
    assert rule
    assert (rule.key, rule.name, rule.skip) == ("order complete", "purchase", True)
    assert (rule.settings, rule.batch) == ({"a": 1}, batch)
    assert result.event == {**EVENT, "name": "purchase"}


def test_ignore_wins_over_denied_consent() -> None:
    result = mapped(RuleConfig(ignore=True, consent={"marketing": True}, name="never"))
    assert (result.outcome, result.required) == ("ignored", None)
    assert result.event["name"] == "order complete"


@pytest.mark.parametrize(
    ("mode", "consent", "outcome"),
    [
        ("any", {"marketing": True}, "deliver"),
        ("any", {}, "denied"),
        ("all", {"marketing": True}, "denied"),
        ("all", {"marketing": True, "analytics": True}, "deliver"),
    ],
)
def test_consent_of_a_rule_follows_the_mode(
    mode: Any, consent: dict[str, bool], outcome: str
) -> None:
    rule = RuleConfig(consent={"marketing": True, "analytics": True}, name="sent")
    result = mapped(rule, consent=consent, consent_mode=mode)
    assert result.outcome == outcome
    assert result.required == rule.consent
    assert result.event["name"] == ("sent" if outcome == "deliver" else "order complete")


def test_policies_are_named_in_the_order_they_are_written() -> None:
    nested = ObjectSpec(map={"deep": ObjectSpec(set=[constant(1)])})
    result = mapped(
        RuleConfig(policy={"user.city": PathSpec("data.shipping.city")}),
        policy={"data.x": nested, "data": constant({"only": "this"}), "user.email": PathSpec("no")},
    )
    assert result.policies == ("data", "user.email", "data.x", "user.city")
    assert result.event["data"] == {"only": "this", "x": {"deep": [1]}}
    assert result.event["user"] == {"id": "u1"}, "the rule's policy reads what the first one left"


def test_alternatives_are_as_deep_as_the_deepest() -> None:
    either = AlternativesSpec((PathSpec("no"), ObjectSpec(map={})))
    assert mapped(policy={"a.b": either, "a": constant({})}).event["a"] == {"b": {}}


def test_functions_never_see_what_a_policy_took_away() -> None:
    seen = ObjectSpec(fn=lambda item, context: context.event["user"].get("email", "redacted"))
    result = mapped(
        policy={"user.email": constant(None)},
        data=ObjectSpec(loop=(PathSpec("data.tags"), seen)),
    )
    assert result.data == ["redacted", "redacted"]


def test_functions_see_the_event_as_it_goes_out() -> None:
    names = ObjectSpec(fn=lambda event, context: [event["name"], context.event["name"]])
    assert mapped(RuleConfig(name="purchase", data=names)).data == ["purchase", "purchase"]


def test_rule_data_is_laid_over_that_of_the_destination() -> None:
    result = mapped(
        RuleConfig(data=constant({"t": [2, True, {"a": 1}, "b"], "k": "rule"})),
        data=constant({"t": [1, "b"], "k": "destination", "own": 1}),
    )
    assert result.data == {"t": [1, "b", 2, True, {"a": 1}], "k": "rule", "own": 1}


def test_true_is_not_one_and_objects_are_the_same_only_as_the_same_object() -> None:
    items = ObjectSpec(map={"t": PathSpec("data.tags"), "l": constant([{"a": 1}, 1])})
    again = ObjectSpec(map={"t": PathSpec("data.tags"), "l": constant([{"a": 1}, True, 1.0])})
    result = mapped(RuleConfig(data=again), data=items)
    assert same(result.data, {"t": ["a", "b"], "l": [{"a": 1}, 1, {"a": 1}, True]})


def test_empty_path_is_no_data() -> None:
    result = mapped(RuleConfig(data=PathSpec("")), data=PathSpec(""))
    assert result.data is MISSING


def test_included_parts_are_flat_and_below_the_data() -> None:
    result = mapped(
        RuleConfig(data=constant({"data_id": "own"}), remove=["data_tags", "context_plain"]),
        include=["data", "context", "globals"],
    )
    assert result.data == {
        "data_id": "own",
        "data_shipping_city": "Bonn",
        "data_shipping_gift": None,
        "context_stage": "checkout",
    }


def test_all_includes_every_part_of_the_event() -> None:
    data = mapped(include=["all"]).data
    assert {key.split("_")[0] for key in data} == {"data", "user", "context", "event"}
    assert data["event_name"] == "order complete"


def test_included_parts_that_are_no_objects_are_left_out() -> None:
    compiled = compile_mapping(DestinationConfig(include=["context", "data"]))
    event = {"name": "a b", "context": "text", "data": []}
    assert compiled(event, LocalScope(event, {})).data is MISSING


def test_data_that_is_no_object_has_no_place_for_more() -> None:
    assert mapped(RuleConfig(data=PathSpec("data.id"), remove=["x"]), include=["user"]).data == "o1"
    assert mapped(RuleConfig(data=PathSpec("no")), include=["user"]).data == {
        "user_id": "u1",
        "user_email": "ann@example.org",
    }


def test_messages_name_the_place_in_the_flow(caplog: pytest.LogCaptureFixture) -> None:
    broken = ObjectSpec(map={"total sum": ObjectSpec(fn=lambda event: event["nope"])})
    mapped(RuleConfig(data=broken), id="crm")
    assert (
        'destinations.crm.config.mapping.order.complete.data.map["total sum"].fn: raised KeyError'
        in caplog.text
    )


POLICIES = st.dictionaries(
    st.sampled_from(["data", "data.a", "list.0", "user.id", "a.b.c"]), SPECS, max_size=2
)
SECTIONS = st.lists(st.sampled_from(["data", "user", "context", "event", "all"]), max_size=2)
RULES = st.builds(
    RuleConfig,
    name=st.none() | st.just("purchase"),
    data=st.none() | SPECS,
    policy=st.none() | POLICIES,
    include=st.none() | SECTIONS,
    remove=st.none() | st.lists(st.sampled_from(["a", "data_a", "list.0"]), max_size=2),
    ignore=st.booleans(),
    consent=st.none() | CONSENT,
)
CONFIGS = st.builds(
    DestinationConfig,
    data=st.none() | SPECS,
    policy=st.none() | POLICIES,
    include=st.none() | SECTIONS,
    mapping=st.fixed_dictionaries({"order": st.fixed_dictionaries({"complete": RULES})}),
)


@examples(70)
@given(CONFIGS, EVENTS, CONSENT)
def test_mapping_changes_no_event_and_gives_the_same_answer_again(
    config: DestinationConfig, event: dict[str, Any], consent: dict[str, bool]
) -> None:
    before = deepcopy(event)
    compiled = compile_mapping(config)
    once, again = (compiled(event, LocalScope(event, consent)) for _ in range(2))
    assert same(event, before)
    assert same(once.event, again.event)
    assert same(once.data, again.data)
    assert once.outcome == again.outcome


@examples(70)
@given(st.none() | SPECS | MAPS, st.none() | st.just("purchase"), EVENTS, CONSENT)
def test_rule_of_no_more_than_a_name_and_data_is_mapped_as_any_other(
    data: Any, name: str | None, event: dict[str, Any], consent: dict[str, bool]
) -> None:
    def answer(remove: list[str] | None) -> tuple[Any, Any]:
        rules: Rules = {"order": {"complete": RuleConfig(name=name, data=data, remove=remove)}}
        result = compile_mapping(DestinationConfig(mapping=rules))(
            event, LocalScope(event, consent)
        )
        assert (result.outcome, result.required, result.policies) == ("deliver", None, ())
        return result.event, result.data

    plain, full = answer(None), answer(["nothing.there"])
    assert repr(plain) == repr(full)
