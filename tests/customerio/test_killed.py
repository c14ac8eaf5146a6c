"""Killed in the midst of messages, objects and relationships: nothing is lost, or sent twice."""

import json
from collections import Counter
from pathlib import Path
from typing import Any, Final

from tests.customerio.whole import flow_of
from tests.emulator import Emulator, Operation
from tests.emulator.arrivals import number_of, numbers
from tests.integration.process import numbered, process
from tests.support import PATIENCE, wait_until
from walker_collector import Collector

EVENTS: Final = 16
CHANNELS: Final = {
    "send_sms": "sendSms",
    "send_whatsapp": "sendWhatsapp",
    "send_in_app": "sendInApp",
    "send_inbox": "sendInbox",
}
OPERATIONS: Final = len(CHANNELS) + 3
"""Those of an event: messages, object, relationship, and the event itself."""
IN_FLIGHT: Final = 4
"""Messages that may be on their way at a moment: calls that the destination makes at once."""
TEMPLATE: Final = {
    "transactional_message_id": {"value": "t"},
    "identifiers": {"map": {"id": "user.id"}},
    "message_data": {"map": {"n": "data.n"}},
}
OBJECT: Final = {"map": {"typeId": {"value": 1}, "id": "data.n"}}
RULE: Final[dict[str, Any]] = {
    "data": {"map": {"n": "data.n"}},
    "settings": {
        **{setting: {"map": TEMPLATE} for setting in CHANNELS.values()},
        "object": OBJECT,
        "relate": OBJECT,
    },
}


def part_of(message: Operation) -> str:
    return message.action.removesuffix("_message")


def objects_of(operations: list[Operation], action: str) -> set[int]:
    """Return the objects that operations of this kind name."""
    items = [one.data for one in operations if one.action == action]
    named = [related for item in items for related in item.get("cio_relationships", [item])]
    return {int(one["identifiers"]["object_id"]) for one in named}


def test_kill_loses_nothing_and_no_message_is_sent_twice(tmp_path: Path) -> None:
    path, everything = tmp_path / "flow.json", set(range(EVENTS))
    with Emulator(tmp_path, latency=0.008) as emulator:
        spool = {"spool": {"path": str(tmp_path / "spool.db")}}
        flow = {**flow_of(emulator.settings(), RULE), "collector": spool}
        path.write_text(json.dumps(flow))
        with process(path) as killed:
            events = [numbered(n, {"id": f"u{n % 8}"}) for n in range(EVENTS)]
            assert killed.push(events) == EVENTS
            wait_until(lambda: len(emulator.accepted) > EVENTS, "deliveries")
            killed.kill()
        assert len(emulator.accepted) < EVENTS * OPERATIONS, "it was killed too late"
        with Collector.from_file(path) as collector:
            assert collector.flush(PATIENCE)
            letters = collector.dead()
    assert emulator.violations == []
    sent = Counter((part_of(one), number_of(one)) for one in emulator.accepted if one.api == "app")
    assert set(sent.values()) == {1}
    in_doubt = {
        (part, json.loads(letter.body)["data"]["n"])
        for letter in letters
        for part, state in letter.parts.items()
        if state == "begun"
    }
    assert {(part, n) for part in CHANNELS for n in everything} == sent.keys() | in_doubt
    assert len(letters) == len(in_doubt) <= IN_FLIGHT
    assert all("the message may have been sent" in letter.reason for letter in letters)
    assert objects_of(emulator.accepted, "object_identify") == everything
    assert objects_of(emulator.accepted, "add_relationships") == everything
    assert numbers(emulator.accepted) == everything
