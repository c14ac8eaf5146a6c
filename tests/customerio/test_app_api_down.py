"""The App API can be unusable while the Track API works: messages wait, all else is delivered."""

from typing import Any

import pytest

from tests.customerio.whole import PATIENCE
from tests.support import wait_until
from walker_collector import Collector
from walker_dest_customerio.sandbox import Sandbox

SEND = "/v1/send"
MAIL = {"map": {"to": {"value": "a@b.com"}, "transactional_message_id": {"value": 1}}}
PEOPLE = 20


def flow(sandbox: Sandbox, **settings: Any) -> dict[str, Any]:
    config = {
        "settings": {**sandbox.settings(), "rateLimit": 10_000, "appRateLimit": 10_000, **settings},
        "retry": {"base": 10, "cap": 50, "attempts": 2},
        "mapping": {"mail": {"*": {"settings": {"sendEmail": MAIL}}}, "order": {"*": {}}},
    }
    return {
        "collector": {"closeTimeout": 100},
        "destinations": {"customerio": {"package": "customerio", "config": config}},
    }


def push(collector: Collector, name: str, first: int, count: int) -> None:
    people = range(first, first + count)
    collector.push_many({"name": name, "user": {"id": f"u{n}"}} for n in people)


def events(sandbox: Sandbox, name: str) -> int:
    return sum(event["name"] == name for event in sandbox.events)


@pytest.mark.parametrize("delivery", ["batch", "single"])
@pytest.mark.parametrize("answer", ["401", "302", "403"])
def test_events_without_messages_are_delivered_while_the_app_api_refuses(
    customerio: Sandbox, answer: str, delivery: str
) -> None:
    settings = {"delivery": delivery}
    if answer == "401":
        settings["appApiKey"] = "wrong"
    else:
        body = '{"meta":{"error":"your account is not approved"}}'
        customerio.fault("status", status=int(answer), path=SEND, times=None, body=body)
    with Collector.from_config(flow(customerio, **settings)) as collector:
        push(collector, "mail due", 0, PEOPLE)
        wait_until(lambda: collector.status().destinations["customerio"].retried >= PEOPLE)
        push(collector, "order x", PEOPLE, PEOPLE)
        wait_until(lambda: collector.status().destinations["customerio"].delivered == PEOPLE)
        status = collector.status().destinations["customerio"]
        assert status.state == "ready"
        assert "App API" in status.reason
        assert (status.waiting, status.dead) == (PEOPLE, 0)
        # Far more attempts than `attempts` cost nobody their message.
        wait_until(lambda: collector.status().destinations["customerio"].retried >= 3 * PEOPLE)
        assert collector.status().destinations["customerio"].dead == 0
        assert collector.status().destinations["customerio"].state == "ready"
        assert customerio.messages == []
        assert events(customerio, "mail due") == PEOPLE
        customerio.clear_faults()
        if answer != "401":
            assert collector.flush(PATIENCE)
            assert len(customerio.messages) == PEOPLE
            assert collector.status().destinations["customerio"].reason == ""
