"""Every event arrives once, in order, through either hook, from any thread."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from typing import Any

import pytest

from walker_collector.errors import Rejected
from walker_collector.hookspecs import Event
from walker_collector.testing.backend import Backend
from walker_collector.testing.contract.contract_base import (
    ContractBase,
    delivered_or_rejected,
    failure_of,
    flush_or_fail,
    require,
)
from walker_collector.testing.harness import Harness
from walker_collector.testing.sample_events import Events

_UNUSUAL: dict[str, Any] = {
    "empty": "",
    "unicode": "Ærøskøbing \N{SNOWMAN} \N{PILE OF POO}",
    "lines": "one\ntwo\ttab",
    "quotes": 'it\'s "quoted" \\ $1 %s {x}',
    "large": 2**53,
    "negative": -0.5,
    "nested": {"list": [1, [2, {"deep": True}], None], "object": {}},
    "key with spaces": 1,
}

_CONTENT = "the content that arrived for an event, to compare two events"

_PARTS = ("id", "name", "entity", "action", "data", "user", "timestamp")
_MAPPED: dict[str, Any] = {"map": {**{key: key for key in _PARTS}, "total": "data.total"}}
"""Data for a backend without a mapping: much like an event, so that a stand-in takes it."""

_EVERY_PART: dict[str, Any] = {
    "data": {"total": 1, "list": [{"a": 1}], "object": {"b": [2]}},
    "user": {"id": "u1", "email": "ann@example.org"},
    "context": {"test": ["a", 0]},
    "globals": {"language": "en"},
    "custom": {"list": [1]},
    "nested": [{"entity": "item", "data": {"sku": "s1"}}],
    "consent": {"marketing": True},
}
_EVERY_KEY: dict[str, Any] = {
    **_EVERY_PART,
    "trigger": "click",
    "entity": "order",
    "action": "complete",
    "timing": 1.5,
    "source": {"type": "test"},
}


class DeliveryContract(ContractBase):
    """Events arrive once, in order and unchanged."""

    def test_event_arrives(self, backend: Backend, harness: Harness, event: Events) -> None:
        sent = event()
        harness.deliver(sent)
        _arrived(backend, [sent])

    def test_batch_arrives_in_order(
        self, backend: Backend, harness: Harness, event: Events
    ) -> None:
        sent = event.several(5)
        harness.deliver(*sent)
        _arrived(backend, sent)

    def test_push_and_push_batch_agree(
        self, backend: Backend, harness: Harness, event: Events
    ) -> None:
        if not (harness.batches and hasattr(self.plugin, "push")):
            pytest.skip("the plugin has only one of push and push_batch")
        first, second = event(data={"total": 1}), event(data={"total": 1})
        harness.push(first)
        harness.push_batch([second])
        _arrived(backend, [first, second])
        content = require(backend.content, "content", _CONTENT)
        assert content(first["id"]) == content(second["id"]), (
            "push and push_batch must do the same with the same event"
        )

    def test_events_with_different_data_arrive_with_different_content(
        self, backend: Backend, harness: Harness, event: Events
    ) -> None:
        content = require(backend.content, "content", _CONTENT)
        sent = [event(data={"total": total}) for total in (1, 2)]
        harness.deliver(*sent)
        _arrived(backend, sent)
        first, second = (content(one["id"]) for one in sent)
        assert first != second, (
            "events with data.total 1 and 2 arrived with the same content: the destination sends"
            " something else than its data, or data.total is left out by the mapping in"
            " Backend(config=...) or by Backend(content=...)"
        )

    def test_data_that_the_mapping_makes_is_what_arrives(
        self, backend: Backend, event: Events
    ) -> None:
        content = require(backend.content, "content", _CONTENT)
        if not backend.uses_data:
            pytest.skip("Backend(uses_data=False): the destination sends no data of the mapping")
        mapped = not backend.config.keys().isdisjoint({"data", "mapping"})
        with self.harness_of(backend, **({} if mapped else {"data": _MAPPED})) as harness:
            first, second = (harness.item(event(data={"total": 1})) for _ in range(2))
            other = harness.item(event(id=second.event["id"], data={"total": 2}))
            if other.data == second.data:
                pytest.skip("the mapping in Backend(config=...) makes nothing of data.total")
            second.data = other.data
            assert [failure_of(harness, item) for item in (first, second)] == [None, None]
        _arrived(backend, [first.event, second.event])
        assert content(first.event["id"]) != content(second.event["id"]), (
            "two equal events with different mapped data arrived with the same content: send `data`"
            " (the event's own only where it is MISSING), or declare Backend(uses_data=False)"
        )

    def test_events_of_one_person_arrive_in_order(self, backend: Backend, event: Events) -> None:
        sent = event.several(20)
        with self.collecting(backend, concurrency=4, batch={"size": 3}) as collector:
            for one in sent:
                collector.push(one)
            flush_or_fail(collector)
        _arrived(backend, sent)

    def test_events_from_many_threads_all_arrive(self, backend: Backend, event: Events) -> None:
        crowd = [event.several(10, user={"id": f"u{number}"}) for number in range(4)]
        with self.collecting(backend, concurrency=4, batch={"size": 5}) as collector:
            with ThreadPoolExecutor(len(crowd)) as threads:
                for results in threads.map(collector.push_many, crowd):
                    assert all(results)
            flush_or_fail(collector)
            assert collector.dead() == []
        ids = list(backend.received())
        for sent in crowd:
            own = {one["id"] for one in sent}
            assert [id for id in ids if id in own] == [one["id"] for one in sent], (
                "hooks run on several threads at once: guard shared state with a lock"
            )

    def test_rule_with_skip_leaves_out_the_default_call(
        self, backend: Backend, event: Events
    ) -> None:
        with self.harness_of(backend, mapping={"*": {"*": {"skip": True}}}) as harness:
            harness.deliver(event())
        assert list(backend.received()) == [], (
            "a rule with `skip` wants the actions of its settings only: look at `rule.skip`"
        )

    def test_untrusted_sender_causes_nothing_that_is_guarded(
        self, backend: Backend, event: Events
    ) -> None:
        guarded: frozenset[str] = getattr(self.plugin, "guarded", frozenset())
        if not guarded:
            pytest.skip("the plugin guards no settings of rules")
        values = require(backend.guarded, "guarded", "a value of each guarded setting of rules")
        assert {*values} == guarded, "Backend(guarded=...) needs the keys that the plugin guards"
        for key, value in values.items():
            with self.harness_of(
                backend, mapping={"*": {"*": {"settings": {key: value}}}}
            ) as harness:
                failure = failure_of(harness, harness.item(event(), trusted=False))
            assert isinstance(failure, Rejected), (
                f"{key}: where `context.trusted` and `rule.untrusted` are False, raise Rejected"
            )
        assert list(backend.received()) == [], "an event was refused, and arrived all the same"

    def test_event_and_data_are_left_as_they_were(self, harness: Harness, event: Events) -> None:
        item = harness.item(event(**_EVERY_PART))
        if not isinstance(item.data, dict):
            item.data = deepcopy({**item.event, **item.event["data"]})
        before = deepcopy((item.event, item.data))
        assert failure_of(harness, item) is None
        assert (item.event, item.data) == before, "push changed its event or data"

    def test_parts_that_it_does_not_declare_make_no_difference(
        self, backend: Backend, harness: Harness, event: Events
    ) -> None:
        if getattr(self.plugin, "reads", None) is None:
            pytest.skip("the plugin declares no `reads`, so it gets whole events")
        whole, sent = harness.item(event(**_EVERY_KEY)), event(**_EVERY_KEY)
        part = harness.partial_item(sent)
        if part is None:
            pytest.skip("with these settings and this mapping the plugin gets whole events")
        why = "the plugin reads a part of the event that `reads` does not name"
        assert [failure_of(harness, item) for item in (whole, part)] == [None, None], why
        _arrived(backend, [whole.event, part.event])
        if backend.content is not None:
            content = backend.content
            assert content(whole.event["id"]) == content(part.event["id"]), why

    def test_event_that_nothing_maps_is_delivered_or_rejected(
        self, backend: Backend, event: Events
    ) -> None:
        with self.harness_of(backend, data=None, mapping=None, include=None) as harness:
            delivered_or_rejected(
                failure_of(harness, harness.item(event())), "data that is MISSING"
            )

    def test_event_of_nobody_is_delivered_or_rejected(
        self, harness: Harness, event: Events
    ) -> None:
        delivered_or_rejected(
            failure_of(harness, harness.item(event(user={}))), "an event without a user"
        )

    @pytest.mark.parametrize("value", _UNUSUAL.values(), ids=_UNUSUAL.keys())
    def test_unusual_data_is_delivered_or_rejected(
        self, harness: Harness, event: Events, value: Any
    ) -> None:
        unusual = event(data={"total": value, "id": "o1"})
        delivered_or_rejected(failure_of(harness, harness.item(unusual)), "unusual data")

    def test_two_destinations_of_one_plugin_do_not_disturb_each_other(
        self, backend: Backend, event: Events
    ) -> None:
        sent = event.several(2)
        other = self.harness_of(backend)
        with self.harness_of(backend) as harness:
            with other:
                other.deliver(sent[0])
            harness.deliver(sent[1])
        _arrived(backend, sent)


def _arrived(backend: Backend, sent: Sequence[Event]) -> None:
    assert list(backend.received()) == [one["id"] for one in sent]
