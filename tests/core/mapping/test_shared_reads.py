"""Events that are decoded once for several destinations are the same as decoded for each."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.core.mapping.test_partial_decode import (
    COMMON,
    CONSENT,
    EVENTS,
    body_of,
    loosened,
    rules_of,
    wholly,
)
from tests.forms import examples, form
from walker_collector import MISSING
from walker_collector.config import DestinationConfig, ObjectSpec, PathSpec, RuleConfig, ValueSpec
from walker_collector.mapping import LocalScope
from walker_collector.mapping.partial_decode import PartialRule, PartialRules, share_reads
from walker_collector.mapping.structures import SharedReads

ORDER = {
    "name": "order complete",
    "data": {"id": "o1", "total": 12.5, "shipping": {"price": 4.9}},
    "user": {"id": "u1", "address": {"city": "Hamburg"}},
    "nested": [{"entity": "product", "data": {"id": "p1", "price": 7}}],
}


def config_of(data: ValueSpec) -> DestinationConfig:
    return DestinationConfig(mapping={"*": {"*": RuleConfig(data=data)}})


def mapping_of(*paths: str) -> ObjectSpec:
    item = ObjectSpec(map={"price": PathSpec("data.price")})
    items = ObjectSpec(loop=(PathSpec("nested"), item))
    return ObjectSpec(map={**{path: PathSpec(path) for path in paths}, "items": items})


def shared(*configs: DestinationConfig, reads: tuple[str, ...] = ()) -> list[PartialRules]:
    made = [rules for config in configs if (rules := rules_of(config, reads)) is not None]
    share_reads(made)
    return made


def rule_of(rules: PartialRules, body: bytes) -> PartialRule:
    rule = rules.of_event(body)
    assert rule is not None
    return rule


def mapped(rule: PartialRule, body: bytes) -> tuple[dict[str, Any], Any]:
    read = rule.shared.read(1, body) if rule.shared else rule.decode(body)
    event = rule.event(read, {**CONSENT})
    return event, rule.data(read, LocalScope(event, CONSENT), event) if rule.data else MISSING


@examples(form(100, 500))
@given(st.lists(COMMON, min_size=2, max_size=3), EVENTS, st.booleans())
def test_each_destination_gets_the_same_as_alone(
    specs: list[ValueSpec], event: Any, with_user: bool
) -> None:
    configs, body = [config_of(spec) for spec in specs], body_of(event)
    reads = ("user",) if with_user else ()
    for config in configs:
        rules = [rules_of(each, reads) for each in configs]
        share_reads(rules)
        for each in rules:
            rule = each.of_event(body) if each is not None else None
            if each is None or rule is None:
                continue
            try:
                event_made, data = mapped(rule, body)
            except ValueError:
                continue
            whole, expected, _ = wholly(configs[rules.index(each)], body)
            assert repr(data) == repr(expected)
            for key, value in event_made.items():
                assert repr(value) == repr(whole[key]), key
        configs = [*configs[1:], config]  # in every order


def test_destinations_share_what_they_read_of_an_event() -> None:
    body = body_of(ORDER)
    one, other = shared(
        config_of(mapping_of("data.id")), config_of(mapping_of("data.total", "data.shipping.price"))
    )
    first, second = rule_of(one, body), rule_of(other, body)
    assert first.shared is not None
    assert first.shared is second.shared
    assert first.shared.read(1, body) is second.shared.read(1, body)
    assert first.shared.read(1, body) is not first.decode(body)  # each has read it: it was dropped
    assert mapped(second, body)[1]["data.shipping.price"] == 4.9


def test_no_destination_can_change_an_event_for_another() -> None:
    body = body_of(ORDER)
    one, other = shared(*[config_of(mapping_of("data.id"))] * 2, reads=("user",))
    first, second = rule_of(one, body), rule_of(other, body)
    assert first.shared is second.shared is not None
    event, data = mapped(first, body)
    event["user"]["address"]["city"] = "elsewhere"
    event["user"]["id"] = data["items"][0]["price"] = data["data.id"] = "changed"
    event, data = mapped(second, body)
    assert event["user"] == ORDER["user"]
    assert data == {"data.id": "o1", "items": [{"price": 7}]}


def test_destinations_that_get_other_parts_do_not_share() -> None:
    body = body_of(ORDER)
    one = rules_of(config_of(mapping_of("data.id")), ("user",))
    other = rules_of(config_of(mapping_of("data.id")))
    third = rules_of(config_of(mapping_of("data.shipping")))  # a value to it, an object to others
    fourth = rules_of(config_of(mapping_of("data.shipping.price")))
    share_reads([one, other, None])
    share_reads([third, fourth])
    for rules in (one, other, third, fourth):
        assert rules is not None
        assert rule_of(rules, body).shared is None


def test_destination_of_which_events_do_not_fit_goes_on_alone() -> None:
    body = body_of(ORDER)
    one, other = shared(*[config_of(mapping_of("data.id"))] * 2)
    second = rule_of(other, body)
    assert second.shared is not None
    assert loosened(one, body).shared is None
    # Nobody is left to keep an event for.
    assert second.shared.read(1, body) is not second.shared.read(1, body)


@pytest.mark.parametrize("readers", [2, 3])
def test_event_is_decoded_once_and_kept_until_all_have_read_it(readers: int) -> None:
    decoded: list[bytes] = []

    def decode(body: bytes) -> Any:
        decoded.append(body)
        return orjson.loads(body)

    reads = SharedReads(decode, readers - 1)
    for _ in range(readers):
        assert [reads.read(seq, b"%d" % seq) for seq in range(10)] == list(range(10))
    assert len(decoded) == 10
    reads.read(0, b"0")
    assert len(decoded) == 11
    reads.forget()
    reads.read(0, b"0")
    assert len(decoded) == 12


def test_events_are_not_kept_without_bound_for_a_destination_that_lags_behind() -> None:
    kept: dict[int, Any] = {}
    reads = SharedReads(orjson.loads, 1, kept)
    for seq in range(2_500):
        reads.read(seq, b"1")
        assert len(kept) <= 1_000
