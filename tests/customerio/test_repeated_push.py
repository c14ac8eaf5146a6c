"""An event that is pushed again under an id of the caller's own counts once at Customer.io."""

from functools import partial
from typing import Any

import pytest

from tests.customerio.support import NOON
from walker_collector import Collector
from walker_collector.flow import load_flow
from walker_dest_customerio.sandbox import Sandbox

DAY = 86_400_000


def push_each_day(sandbox: Sandbox, delivery: str, **parts: Any) -> None:
    """Push the same event three times, each a day after the one before, by new collectors."""
    config = {"settings": {**sandbox.settings(), "delivery": delivery}}
    flow = load_flow({"destinations": {"cio": {"package": "customerio", "config": config}}})
    for day in range(3):
        with Collector(flow, now=partial(int, NOON + day * DAY)) as collector:
            event = {"name": "order ship", "user": {"id": "ines"}, **parts}
            result = collector.push(event, wait=True, timeout=10)
            assert result.destinations == {"cio": "delivered"}


@pytest.mark.parametrize("delivery", ["batch", "single"])
def test_id_that_was_given_makes_pushing_again_harmless(customerio: Sandbox, delivery: str) -> None:
    push_each_day(customerio, delivery, id="task-1")
    assert len(customerio.people["ines"]["events"]) == 1


def test_events_without_an_id_of_their_own_are_each_one(customerio: Sandbox) -> None:
    push_each_day(customerio, "batch")
    assert len(customerio.people["ines"]["events"]) == 3
