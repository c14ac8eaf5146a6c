"""A withdrawal or an erasure reaches events that are being delivered call by call."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from walker_collector import Collector
from walker_dest_customerio.sandbox import Sandbox

PEOPLE = 60
WORKERS = 4
MARKETING = {"marketing": True}


def flow(sandbox: Sandbox, delivery: str) -> dict[str, Any]:
    mail = {"map": {"to": "user.email", "transactional_message_id": {"value": 1}}}
    config = {
        "settings": {**sandbox.settings(), "delivery": delivery},
        "consent": MARKETING,
        "concurrency": WORKERS,
        # In batches, it is the mails that go one by one.
        "mapping": {"*": {"*": {"settings": {"sendEmail": mail}}}},
    }
    return {"destinations": {"customerio": {"package": "customerio", "config": config}}}


def user(n: int) -> dict[str, str]:
    return {"id": f"u{n}", "email": f"u{n}@example.com"}


@pytest.fixture(params=["single", "batch"])
def collector(customerio: Sandbox, request: pytest.FixtureRequest) -> Iterator[Collector]:
    """A collector whose events of many people are being delivered, call by call."""
    customerio.fault("latency", ms=20, times=None)
    with Collector.from_config(flow(customerio, request.param)) as collector:
        for n in range(PEOPLE):
            collector.consent(MARKETING, user=user(n))
        collector.push_many({"name": "order complete", "user": user(n)} for n in range(PEOPLE))
        customerio.wait_for_requests(10)
        yield collector


def test_nothing_begins_for_anybody_once_their_withdrawal_has_returned(
    collector: Collector, customerio: Sandbox
) -> None:
    for n in range(PEOPLE):
        collector.consent({"marketing": False}, user=user(n))
    begun = len(customerio.requests)
    customerio.clear_faults()
    assert collector.flush(timeout=20)
    assert len(customerio.requests) <= begun + WORKERS  # under way by then
    assert len(customerio.messages) < PEOPLE


def test_nothing_is_sent_of_somebody_erased_behind_others_in_a_batch(
    collector: Collector, customerio: Sandbox
) -> None:
    collector.forget(user(PEOPLE - 1))
    assert collector.flush(timeout=20)
    sent = {message["request"]["to"] for message in customerio.messages}
    assert sent == {user(n)["email"] for n in range(PEOPLE - 1)}


def test_nothing_more_is_sent_by_a_delivery_that_was_given_up(customerio: Sandbox) -> None:
    customerio.fault("latency", ms=1_000)
    settings = {**customerio.settings(), "delivery": "single"}
    config = {"settings": settings, "timeout": 200, "retry": {"base": 1}}
    flow = {"destinations": {"customerio": {"package": "customerio", "config": config}}}
    with Collector.from_config(flow) as collector:
        collector.push_many(
            {"name": f"number {n}", "user": {"id": "ines"}, "data": {}} for n in range(5)
        )
        assert collector.flush(timeout=20)
        # The first comes twice: the request that was under way goes on.
        customerio.wait_for_requests(6)
        hanging = [thread for thread in threading.enumerate() if thread.name.endswith("-call")]
        for thread in hanging:
            thread.join(20)
    assert len(customerio.requests) == 6
    assert [event["name"] for event in customerio.events] == [f"number {n}" for n in range(5)]
