"""Which rule an event goes by."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from walker_collector import ConfigError
from walker_collector.config import RuleConfig, Rules
from walker_collector.mapping.rules import compile_lookup
from walker_collector.mapping.scope import LocalScope

WORDS = st.sampled_from(["order", "cart", "view", "add", "*", ""])
NAMES = st.lists(WORDS, max_size=3).map(" ".join)


def never(event: Any) -> bool:
    return False


RULE = st.builds(RuleConfig, name=WORDS, condition=st.none() | st.just(never))
KEYS = WORDS | st.just("order view")  # no name's word, so never looked up
RULES = st.dictionaries(
    KEYS, st.dictionaries(KEYS, RULE | st.lists(RULE, max_size=2), max_size=3), max_size=3
)


def find_rule(
    rules: Rules | None, event: dict[str, Any], scope: LocalScope
) -> tuple[str, RuleConfig] | None:
    """The key (`order complete`, `order *`) and the rule for the event."""
    return compile_lookup(rules, lambda key, where, rule: (key, rule)).find(event, scope)


def rule_key(rules: Rules | None, event: dict[str, Any]) -> str | None:
    found = find_rule(rules, event, LocalScope(event, {}))
    return found and found[0]


def first(rules: Any) -> RuleConfig | None:
    candidates = rules if isinstance(rules, list) else [rules] if rules else []
    return next((rule for rule in candidates if not rule.condition), None)


def looked_up(rules: Rules, name: str) -> tuple[str, RuleConfig] | None:
    """The lookup as it is documented, step by step."""
    words = name.split(" ")
    if len(words) < 2 or not words[0] or not words[1]:
        return None
    entity = words[0] if words[0] in rules else "*"
    actions = rules.get(entity, {})
    action = words[1] if words[1] in actions else "*"
    if rule := first(actions.get(action)):
        return f"{entity} {action}", rule
    rule = first(rules.get("*", {}).get("*"))
    return ("* *", rule) if rule else None


@given(RULES, NAMES)
def test_rule_is_looked_up_as_documented(rules: Rules, name: str) -> None:
    event = {"name": name}
    assert find_rule(rules, event, LocalScope(event, {})) == looked_up(rules, name)


@pytest.mark.parametrize("name", [None, 5, "", "order", " ", ["order", "complete"]])
def test_event_without_a_name_of_two_words_has_no_rule(name: Any) -> None:
    assert rule_key({"*": {"*": RuleConfig()}}, {"name": name}) is None


def test_first_rule_of_a_list_whose_condition_holds_applies() -> None:
    rules: Rules = {
        "order": {
            "complete": [
                RuleConfig(name="big", condition=lambda event: event["data"]["total"] > 100),
                RuleConfig(name="paid", condition=lambda event, context: context.consent["m"]),
                RuleConfig(name="other"),
            ]
        }
    }
    event = {"name": "order complete", "data": {"total": 5}}
    found = find_rule(rules, event, LocalScope(event, {"m": False}))
    assert found
    assert found[1].name == "other"


def test_condition_that_fails_does_not_hold(caplog: pytest.LogCaptureFixture) -> None:
    broken = RuleConfig(condition=lambda event: event["nope"])
    rules: Rules = {"order": {"complete": [broken]}, "*": {"*": RuleConfig()}}
    assert rule_key(rules, {"name": "order complete", "id": "e1"}) == "* *"
    assert "mapping.order.complete[0].condition: raised KeyError" in caplog.text


def test_condition_that_cannot_be_called_is_a_mistake_in_the_flow() -> None:
    rules: Rules = {"order": {"complete": RuleConfig(condition=lambda: True)}}
    with pytest.raises(ConfigError, match=r"mapping\.order\.complete\.condition: must take"):
        rule_key(rules, {"name": "order complete"})
