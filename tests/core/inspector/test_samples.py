"""The samples of live events: their parts, masks and bounds, and their cost with nobody looking."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

from tests.core.support import MARKETING, QUICK, Record, config, event, flow, one, plugin, running
from tests.support import wait_until
from walker_collector import Collector, Rejected, RetryLater
from walker_collector.config import MISSING, FlowConfig, ObjectSpec, PathSpec, RuleConfig
from walker_collector.inspector.live_sample import Sample
from walker_collector.inspector.masking import masked
from walker_collector.inspector.overview import overview
from walker_collector.inspector.sampler import Sampler, watching


@contextmanager
def watched(flow: FlowConfig, **options: Any) -> Iterator[tuple[Collector, Sampler]]:
    sampler = Sampler(**options)
    with running(flow) as collector, watching(collector, sampler):
        yield collector, sampler


def samples(sampler: Sampler, count: int = 1) -> list[Sample]:
    wait_until(lambda: len(sampler.since()) >= count, "the samples came")
    return sampler.since()


def rules(data: Any = MISSING, **rule: Any) -> dict[str, Any]:
    if data is not MISSING:
        rule["data"] = data
    return {"order": {"complete": RuleConfig(**rule)}}


TOTAL = ObjectSpec(map={"total": PathSpec("data.total")})


def test_delivered_event_is_shown_as_the_destination_got_it(spool: Path | None) -> None:
    mapping = rules(TOTAL, name="Order Completed")
    with watched(one(plugin(Record().push), spool, mapping=mapping)) as (collector, sampler):
        pushed = collector.push("order complete", data={"total": 55}, user={"id": "ines"})
        (found,) = samples(sampler)
    assert (found.id, found.event, found.person) == (pushed.id, "order complete", "id:ines")
    assert (found.destination, found.outcome, found.attempt) == ("there", "delivered", 1)
    assert found.rule == "order complete"
    assert found.sent == {"name": "Order Completed", "data": {"total": "***"}}
    assert found.values is None
    assert found.took >= 0


def test_values_are_kept_only_where_they_may_be_seen() -> None:
    with watched(one(plugin(Record().push)), keep_values=True) as (collector, sampler):
        collector.push("order complete", data={"total": 55}, user={"id": "ines", "email": "a@b.c"})
        (found,) = samples(sampler)
    assert found.as_object()["sent"]["data"] == {"total": "***"}
    assert found.as_object()["sent"]["user"] == {"id": "ines", "email": "***"}
    assert found.as_object(with_values=True)["sent"]["data"] == {"total": 55}
    assert "a@b.c" not in repr(found)


def test_calls_are_those_that_the_plugin_tells() -> None:
    def simulate(self: Any, event: Any, data: Any, rule: Any, context: Any) -> list[list[Any]]:
        return [["track", event["user"]["id"], {"total": event["data"]["total"]}]]

    flow_ = one(plugin(Record().push, simulate=simulate))
    with watched(flow_, keep_values=True) as (collector, sampler):
        collector.push("order complete", data={"total": 55}, user={"id": "ines"})
        collector.push("order complete", user={"id": "ines"})  # it raises
        first, second = samples(sampler, 2)
    assert first.as_object()["calls"] == [["track", "ines", {"total": "***"}]]
    assert first.as_object(with_values=True)["calls"] == [["track", "ines", {"total": 55}]]
    assert second.calls is None


def test_held_event_says_which_consent_is_missing(spool: Path | None) -> None:
    with watched(one(plugin(Record().push), spool, consent=MARKETING)) as (collector, sampler):
        collector.push("order complete", user={"id": "ines"}, consent={"functional": True})
        (found,) = samples(sampler)
        assert found.outcome == "held"
        assert [(grant.key, grant.source) for grant in found.consent] == [("functional", "event")]
        assert found.missing is not None
        assert found.missing.as_object()["required"] == ["marketing"]
        collector.consent(MARKETING, user={"id": "ines"})
        released = samples(sampler, 2)[1]
    assert released.outcome == "delivered"
    assert ("marketing", True, "person") in [
        (grant.key, grant.granted, grant.source) for grant in released.consent
    ]


def test_refused_event_is_shown_dead_with_its_reason() -> None:
    def push(event: Any, context: Any) -> None:
        raise Rejected("no such list")

    with watched(one(plugin(push))) as (collector, sampler):
        collector.push("order complete")
        (found,) = samples(sampler)
    assert (found.outcome, found.reason) == ("dead", "no such list")


def test_event_without_attempts_left_is_shown_dead_after_its_retries() -> None:
    def push(event: Any, context: Any) -> None:
        raise RetryLater("slow down")

    retry = attrs.evolve(QUICK, attempts=2)
    with watched(one(plugin(push), retry=retry)) as (collector, sampler):
        collector.push("order complete")
        found = samples(sampler, 3)
    assert [item.outcome for item in found] == ["retry", "retry", "dead"]
    assert found[2].reason == "given up after 2 attempts: slow down"


def test_ignored_event_is_shown_and_counted_for_its_rule() -> None:
    flow_ = one(plugin(Record().push), mapping=rules(ignore=True))
    with watched(flow_) as (collector, sampler):
        collector.push("order complete")
        (found,) = samples(sampler)
        assert found.outcome == "ignored"
        assert sampler.rules()["there", "order complete"].hits == 1


def test_rule_was_for_an_event_whatever_became_of_it(spool: Path | None) -> None:
    def push(event: Any, context: Any) -> None:
        raise RetryLater("slow down")

    flow_ = flow(
        {
            "holds": (plugin(Record().push), config(consent=MARKETING, mapping=rules())),
            "fails": (plugin(push), config(retry=attrs.evolve(QUICK, attempts=3), mapping=rules())),
        },
        spool,
    )
    with watched(flow_) as (collector, sampler):
        collector.push("order complete", user={"id": "ines"})
        found = samples(sampler, 5)
        assert sorted(item.outcome for item in found) == ["dead", "held", "retry", "retry", "retry"]
        assert sampler.rules()["holds", "order complete"].hits == 1
        assert sampler.rules()["fails", "order complete"].hits == 1
        collector.consent(MARKETING, user={"id": "ines"})
        assert samples(sampler, 6)[5].outcome == "delivered"
        assert sampler.rules()["holds", "order complete"].hits == 1


@pytest.mark.parametrize(("total", "rule"), [(9, "order complete"), (1, None)])
def test_held_event_counts_for_the_rule_whose_condition_is_true(
    total: int, rule: str | None
) -> None:
    large = [RuleConfig(condition=lambda value, context: context.event["data"]["total"] > 5)]
    mapping = {"order": {"complete": large}}
    flow_ = one(plugin(Record().push), consent=MARKETING, mapping=mapping)
    with watched(flow_) as (collector, sampler):
        collector.push("order complete", data={"total": total})
        assert samples(sampler)[0].outcome == "held"
        assert {key: item.hits for key, item in sampler.rules().items()} == {("there", rule): 1}


def test_flood_leaves_a_bounded_number_of_samples() -> None:
    with watched(one(plugin(Record().push)), per_second=5, kept=3) as (collector, sampler):
        sampler.now = lambda: 1_700_000_000_000
        collector.push_many([event(n) for n in range(50)])
        assert collector.flush(10)
        wait_until(lambda: sampler.seen == 50, "all were seen")
        found = sampler.since()
        assert (sampler.last, sampler.skipped) == (5, 45)
        assert [item.number for item in found] == [3, 4, 5]
        assert [item.number for item in sampler.since(4)] == [5]
        assert sampler.since(5) == sampler.since(9) == []


def test_long_event_is_shown_without_its_data() -> None:
    with watched(one(plugin(Record().push))) as (collector, sampler):
        collector.push("order complete", data={"note": "x" * 20_000})
        (found,) = samples(sampler)
    assert found.sent is None


def test_nobody_sees_anything_after_the_end_of_a_watch() -> None:
    sampler = Sampler()
    with running(one(plugin(Record().push))) as collector:
        watch = collector._life.runtime.workers.watch
        with watching(collector, sampler):
            assert watch.watchers == (sampler,)
        assert watch.watchers == ()
        collector.push("order complete", wait=True)
    assert sampler.seen == 0


def test_watcher_that_raises_stops_no_delivery() -> None:
    class Broken(Sampler):
        def dispatched(self, *_: Any) -> None:
            raise OSError("broken")

    record = Record()
    with running(one(plugin(record.push))) as collector, watching(collector, Broken()):
        assert collector.push("order complete", wait=True).ok
    assert len(record.events) == 1


def test_overview_has_destinations_and_rules_that_never_matched() -> None:
    mapping = {**rules(TOTAL), "page": {"view": RuleConfig()}}
    flow_ = flow(
        {
            "there": (plugin(Record().push), config(mapping=mapping)),
            "elsewhere": (plugin(Record().push), config(consent=MARKETING)),
        }
    )
    with watched(flow_) as (collector, sampler):
        collector.push("order complete", data={"total": 1})
        samples(sampler, 2)
        assert collector.flush(10)
        found = overview(collector, sampler)
    there, elsewhere = found["destinations"]
    assert (there["id"], there["state"], there["delivered"]) == ("there", "ready", 1)
    assert (elsewhere["id"], elsewhere["held"], elsewhere["consent"]) == (
        "elsewhere",
        1,
        ["marketing"],
    )
    hits = {item["rule"]: item["hits"] for item in found["rules"]}
    assert hits == {"order complete": 1, "page view": 0, None: 0}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"a": [1, "u1", None]}, {"a": ["***", "u1", None]}),
        ("text", "***"),
        (True, "***"),
        ([{}], [{}]),
    ],
)
def test_mask_leaves_keys_and_public_values(value: Any, shown: Any) -> None:
    assert masked(value, {"u1"}) == shown
