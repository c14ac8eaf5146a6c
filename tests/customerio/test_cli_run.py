"""`walker run` into the local Customer.io: what arrives is what `walker simulate` says."""

import json
from pathlib import Path
from typing import Any

import pytest
from attrs import Factory, define

from tests.core.cli_support import completed, objects, write_events
from walker_dest_customerio.sandbox import Sandbox

MARKETING = {"marketing": True}
MAPPING = {
    "order": {
        "complete": {
            "name": "purchase",
            "data": {"map": {"total": "data.total", "currency": {"value": "EUR"}}},
            "settings": {
                "sendEmail": {
                    "map": {
                        "to": "user.email",
                        "transactional_message_id": {"value": 3},
                        "identifiers": {"map": {"id": "user.id"}},
                    }
                }
            },
        }
    },
    "page": {"view": {"skip": True, "settings": {"page": {"map": {"url": "data.url"}}}}},
    "app": {
        "open": {
            "settings": {
                "addDevice": {"map": {"deviceId": "data.token", "platform": {"value": "ios"}}}
            }
        }
    },
    "debug": {"*": {"ignore": True}},
}


def ann(**parts: Any) -> dict[str, Any]:
    return {"id": "ann", "email": "ann@example.com", **parts}


LINES = [
    {"name": "order complete", "user": ann(), "data": {"total": 55}, "consent": MARKETING},
    {"name": "page view", "user": {"id": "bob"}, "data": {"url": "https://example.com/"}},
    {"name": "debug log", "user": ann(), "consent": MARKETING},
    {"name": "cart add", "user": {"session": "s1"}, "consent": MARKETING},
    {"name": "walker user", "data": {"plan": "pro"}},
    {"name": "app open", "user": ann(), "data": {"token": "t1"}, "consent": MARKETING},
    {"name": "walker consent", "data": MARKETING, "user": {"id": "bob"}},
    {"name": "page view", "user": {"id": "eve"}, "data": {"url": "https://example.com/"}},
    {
        "name": "order complete",
        "user": ann(city="Graz"),
        "data": {"total": 8},
        "consent": MARKETING,
    },
]


def lines() -> list[dict[str, Any]]:
    return [
        line if line["name"].startswith("walker") else {**line, "timestamp": 1_700_000_000_000 + n}
        for n, line in enumerate(LINES)
    ]


def flow(folder: Path, sandbox: Sandbox, **settings: Any) -> Path:
    identify = {"map": {"email": "user.email", "city": "user.city", "plan": "user.plan"}}
    config = {
        "settings": {
            **sandbox.settings(),
            "identify": identify,
            "onConsent": {"marketing": {"granted": {"newsletter": True}}},
            **settings,
        },
        "consent": MARKETING,
        "mapping": MAPPING,
    }
    path = folder / "flow.json"
    path.write_text(
        json.dumps({"destinations": {"crm": {"package": "customerio", "config": config}}})
    )
    return path


@define
class Expected:
    """What calls leave behind."""

    attributes: dict[str, dict[str, Any]] = Factory(dict)
    events: list[tuple[str, str, Any]] = Factory(list)
    devices: list[tuple[str, str]] = Factory(list)
    mails: list[str] = Factory(list)

    def call(self, name: str, *arguments: Any) -> None:
        if name == "identify":
            told = {key: value for key, value in arguments[1].items() if key != "_update"}
            self.attributes.setdefault(arguments[0], {}).update(told)
        elif name in ("track", "track_anonymous"):
            self.events.append((arguments[0], arguments[1]["name"], arguments[1]["data"]))
        elif name == "pageview":
            self.events.append((arguments[0], arguments[1], {"url": arguments[1]}))
        elif name == "add_device":
            self.devices.append((arguments[0], arguments[1]))
        else:
            assert name == "send_email"
            self.mails.append(arguments[0]["to"])


def left_in(sandbox: Sandbox) -> Expected:
    people = sandbox.people
    return Expected(
        attributes={
            id_: {
                key: value
                for key, value in {**about["attributes"], "email": about["email"]}.items()
                if value is not None and key in ("email", "city", "plan", "newsletter")
            }
            for id_, about in people.items()
        },
        events=[
            (item["person"] or item["anonymous_id"], item["name"], item["data"])
            for item in sandbox.events
        ],
        devices=[(id_, device) for id_, about in people.items() for device in about["devices"]],
        mails=[message["request"]["to"] for message in sandbox.messages],
    )


@pytest.mark.parametrize("delivery", ["batch", "single"])
def test_run_leaves_what_the_simulation_says(
    delivery: str, customerio: Sandbox, tmp_path: Path
) -> None:
    path, events = flow(tmp_path, customerio, delivery=delivery), write_events(tmp_path, *lines())
    told = objects(completed("simulate", path, events, "--json").stdout)
    assert customerio.requests == []
    expected = Expected()
    for result in told:
        for call in result["calls"]:
            expected.call(*call)

    process = completed("run", path, events, "--json")
    assert process.returncode == 0, process.stderr
    figures = objects(process.stdout)[-1]["destinations"]["crm"]
    assert [item["event"] for item in told if item["line"] == 7] == ["walker consent", "page view"]
    events_told = [item for item in told if item["event"] != "walker consent"]
    statuses = [item["status"] for item in events_told if item["line"] != 2]
    assert {key: figures[key] for key in ("delivered", "held", "ignored", "dead", "waiting")} == {
        "delivered": statuses.count("deliver"),
        "held": statuses.count("held"),
        "ignored": statuses.count("ignored"),
        "dead": 0,
        "waiting": 0,
    }
    left = left_in(customerio)
    assert left.attributes == expected.attributes
    assert sorted(left.events, key=str) == sorted(expected.events, key=str)
    assert [item for item in left.events if item[0] == "ann"] == [
        item for item in expected.events if item[0] == "ann"
    ]
    assert (left.devices, left.mails) == (expected.devices, expected.mails)
    assert expected.attributes.keys() == {"ann", "bob"}
    assert expected.attributes["bob"]["newsletter"] is True
    assert len(expected.mails) == 2


def test_wrong_key_ends_the_run_and_says_what_to_check(customerio: Sandbox, tmp_path: Path) -> None:
    path = flow(tmp_path, customerio, apiKey="wrong")
    process = completed("run", path, write_events(tmp_path, *lines()))
    assert process.returncode == 1
    assert "check settings.siteId and settings.apiKey" in process.stderr
    assert "Traceback" not in process.stderr
    assert "wrong" not in process.stderr
    assert customerio.people == {}


def test_event_of_nobody_is_a_dead_letter(customerio: Sandbox, tmp_path: Path) -> None:
    path = flow(tmp_path, customerio)
    events = write_events(tmp_path, {"name": "cart add", "consent": MARKETING})
    (told,) = objects(completed("simulate", path, events, "--json").stdout)
    assert (told["status"], told["rule"], told["calls"]) == ("unidentified", None, [])
    process = completed("run", path, events, "--json")
    assert process.returncode == 1
    assert objects(process.stdout)[-1]["destinations"]["crm"]["dead"] == 1
    assert "crm: 1 dead: the event names nobody" in process.stderr
