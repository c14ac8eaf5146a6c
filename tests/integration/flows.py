"""Flows into the sandbox, for the tests of this folder."""

from pathlib import Path
from typing import Any

from walker_dest_customerio.sandbox import Sandbox

NUMBERED = {"map": {"n": "data.n"}}
RECEIPT = {
    "map": {
        "to": "user.email",
        "transactional_message_id": {"value": 3},
        "identifiers": {"map": {"id": "user.id"}},
        "message_data": NUMBERED,
    }
}


def flow(sandbox: Sandbox, spool: Path | None = None, **config: Any) -> dict[str, Any]:
    """Return a flow with a Customer.io destination that talks to the sandbox."""
    settings = {
        **sandbox.settings(),
        "timeout": 300,
        "identify": {"map": {"email": "user.email"}},
        **config.pop("settings", {}),
    }
    wrapped = {
        "settings": settings,
        "mapping": {
            "order": {"complete": {"data": NUMBERED, "settings": {"sendEmail": RECEIPT}}},
            "cart": {"add": {"data": NUMBERED}},
        },
        "retry": {"base": 20, "cap": 400},
        "breaker": {"threshold": 3, "cooldown": 200},
        **config,
    }
    return {
        "collector": {"spool": {"path": str(spool)}} if spool else {},
        "destinations": {"customerio": {"package": "customerio", "config": wrapped}},
    }


def event(number: int, people: int, orders_every: int = 0) -> dict[str, Any]:
    """Return the event of a number; people take turns, every so many is an order with a mail."""
    order = orders_every and number % orders_every == 0
    person = f"u{number % people}"
    return {
        "name": "order complete" if order else "cart add",
        "data": {"n": number},
        "user": {"id": person, "email": f"{person}@example.com"},
    }


def arrivals(sandbox: Sandbox) -> dict[str, list[int]]:
    """Return the numbers that arrived for each person, in the order of arrival."""
    return {
        person: [item["data"]["n"] for item in about["events"]]
        for person, about in sandbox.people.items()
    }
