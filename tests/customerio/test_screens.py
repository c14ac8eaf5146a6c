"""Screens of people and of visitors, as a strict Customer.io reads them."""

from pathlib import Path
from typing import Any

import pytest

from tests.customerio.whole import PATIENCE, flow_of
from tests.emulator import Emulator
from walker_collector import Collector


@pytest.mark.parametrize("delivery", ["batch", "single"])
def test_screens_and_pages_of_people_and_visitors_are_accepted(
    tmp_path: Path, delivery: str
) -> None:
    settings: dict[str, Any] = {
        "screen": {"map": {"name": "data.screen", "step": "data.step"}},
        "page": {"map": {"url": "data.url"}},
    }
    data = {"screen": "Cart", "step": 2, "url": "https://shop.example/cart?a=1"}
    with Emulator(tmp_path) as emulator:
        flow = flow_of(emulator.settings(delivery=delivery), {"skip": True, "settings": settings})
        with Collector.from_config(flow) as collector:
            for user in ({"id": "u1"}, {"session": "s1"}):
                collector.push("cart view", data=data, user=user)
            assert collector.flush(PATIENCE)
            assert collector.dead() == []
    assert emulator.violations == []
    seen = {(one.person, one.action, one.name) for one in emulator.accepted}
    page = "https://shop.example/cart"
    assert seen == {
        (person, action, name)
        for person in ("id:u1", "anonymous_id:s1")
        for action, name in (("screen", "Cart"), ("page", page))
    }
    assert {one.data["step"] for one in emulator.accepted if one.action == "screen"} == {2}
    assert None not in {one.ulid for one in emulator.accepted}
