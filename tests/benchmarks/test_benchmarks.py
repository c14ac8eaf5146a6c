"""The benchmarks measure what they say: the same events every time, and every one of them."""

import itertools
import json

from tests.benchmarks.core import through
from tests.benchmarks.http_load import bodies
from tests.benchmarks.measure import Run, best, latency
from tests.benchmarks.workload import PEOPLE, mix, orders, repeated


def test_workloads_are_the_same_at_every_run() -> None:
    assert orders(50) == orders(50)
    assert mix(500) == mix(500)
    assert {event["name"] for event in mix(500)} == {
        "page view",
        "product view",
        "cart add",
        "user login",
        "order complete",
    }


def test_workload_is_of_so_many_people_and_items() -> None:
    assert len({event["user"]["id"] for event in mix(20_000)}) == PEOPLE
    assert all(len(event["nested"]) == 7 for event in orders(10, items=7))
    assert len(list(repeated(orders(3), 7))) == 7


def test_every_event_is_counted_when_it_is_delivered() -> None:
    assert through("batched", mix(300)).events == 300
    assert through("single", mix(30), one_by_one=True, sync="normal").events == 30


def test_best_round_is_the_least_disturbed_one() -> None:
    assert best([Run(10, 2.0, 1.0), Run(10, 1.0, 3.0)]) == Run(10, 1.0, 1.0)
    assert Run(10, 2.0, 0.001).rate == 5
    assert Run(10, 2.0, 0.001).micros == 100


def test_percentiles_are_in_microseconds() -> None:
    found = latency([0.001] * 98 + [0.002, 0.003])
    assert found.p50 == 1_000
    assert found.worst == 3_000


def test_posted_events_have_ids_of_their_own() -> None:
    single, batches = bodies(1), bodies(50)
    events = [json.loads(next(single)) for _ in range(1_100)]
    assert len({event["id"] for event in events}) == 1_100
    some = [json.loads(body) for body in itertools.islice(batches, 3)]
    assert [len(batch) for batch in some] == [50, 50, 50]
    assert len({event["id"] for batch in some for event in batch}) == 150
