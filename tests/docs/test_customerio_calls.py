"""The page of Customer.io names everything that the SDK and Track v2 can do, and what makes it."""

import inspect
import itertools
import re
from typing import Any, Final

import attrs
import customerio as sdk
import orjson
import pytest

from tests.docs import customerio
from tests.docs.pages import ROOT, Block, Row, parts
from walker_collector.flow.types import disk_key
from walker_dest_customerio.sandbox.v2_checks import ACTIONS
from walker_dest_customerio.settings import RuleSettings, Settings

PAGE: Final = ROOT / "docs" / "customerio.md"
METHODS: Final = "method of the SDK"
V2: Final = "action of Track v2"
OTHER_KEYS: Final = {"skip", "name", "data", "delete", "attachments", "SendEmailRequest.attach"}
"""Names in the tables that are not settings of Customer.io."""
CALLS: Final = {"backfill": "track", "send_inbox_message": "send_inbox", "batch": "track"}
"""Methods whose call in a simulation has another name."""
PERSON: Final = {"id": "ines", "email": "ines@post.example", "session": "s-1"}


def named(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def rows(column: str) -> list[Row]:
    return [part for part in parts(PAGE) if isinstance(part, Row) and column in part.cells]


def is_made(row: Row) -> bool:
    return not row.cells["made by"].startswith("none: ")


def value(content: Any) -> Any:
    """Return a mapping whose result is always the content."""
    if isinstance(content, dict):
        return {"map": {key: value(inner) for key, inner in content.items()}}
    return {"value": content}


def message(**more: str) -> Any:
    return value({"transactional_message_id": "m", "identifiers": {"id": "ines"}, **more})


DEVICE: Final = value({"deviceId": "tok-1", "platform": "ios"})
ACME: Final = {"typeId": "1", "id": "acme"}
EVERYTHING: Final[dict[str, Any]] = {
    "identify": value({"plan": "large"}),
    "object": value({**ACME, "attributes": {"seats": 5}}),
    "relate": value(ACME),
    "unrelate": value(ACME),
    "page": value({"url": "https://shop.example/"}),
    "screen": value({"name": "Home"}),
    "destroy": True,
    "suppress": True,
    "unsuppress": True,
    "addDevice": DEVICE,
    "deleteDevice": DEVICE,
    "merge": value(
        {"primaryType": "id", "primaryId": "ines", "secondaryType": "id", "secondaryId": "old"}
    ),
    "sendEmail": message(to="ines@post.example"),
    "sendPush": message(),
    "sendSms": message(to="+15551234567"),
    "sendWhatsapp": message(to="+15551234567"),
    "sendInApp": message(),
    "sendInbox": message(),
    "recipient": value("eva@post.example"),
}
"""Every setting of a rule."""
CONFIGS: Final = (
    {"rule": {"settings": EVERYTHING}},
    {"rule": {}},
    {"rule": {"settings": {"object": value({**ACME, "delete": True})}}},
    {"settings": {"customerId": "user.account"}, "rule": {}},
)


@pytest.fixture(scope="module")
def made() -> tuple[set[str], set[tuple[str, str]]]:
    """The calls, and types and actions of entries, of an event under all settings."""
    event = {"name": "order complete", "id": "e-1", "timestamp": 1772446920601, "user": PERSON}
    done = [item for config in CONFIGS for item in customerio.operations(event, config)]
    entries = [orjson.loads(orjson.dumps(item.entry())) for item in done]
    return (
        {item.call[0] for item in done},
        {(entry["type"], entry["action"]) for entry in entries if entry},
    )


def test_rule_of_this_test_has_every_setting() -> None:
    assert set(EVERYTHING) == {disk_key(each) for each in attrs.fields(RuleSettings)}


def test_every_method_of_the_sdk_is_named_once() -> None:
    classes = [getattr(sdk, name) for name in sdk.__all__]
    clients = [each for each in classes if inspect.isclass(each) and hasattr(each, "send_request")]
    public = {
        f"{client.__name__}.{name}"
        for client in clients
        for name in dir(client)
        if not name.startswith("_")
    }
    assert len(clients) == 2
    assert sorted(name for row in rows(METHODS) for name in named(row.cells[METHODS])) == sorted(
        public
    )


def test_every_message_of_the_sdk_has_its_method() -> None:
    requests = {name for name in sdk.__all__ if name.endswith("Request")}
    sending = {name for name in dir(sdk.APIClient) if name.startswith("send_")} - {"send_request"}
    assert len(requests) == len(sending)


def test_every_action_of_track_v2_is_named_once() -> None:
    actions = [f"{kind} `{action}`" for kind, known in ACTIONS.items() for action in known]
    assert sorted(row.cells[V2] for row in rows(V2)) == sorted([*actions, "delivery `event`"])


def test_every_setting_of_a_rule_is_in_the_tables() -> None:
    named_there = {
        name for row in [*rows(METHODS), *rows(V2)] for name in named(row.cells["made by"])
    }
    assert {disk_key(each) for each in attrs.fields(RuleSettings)} <= named_there


def test_readme_of_the_plugin_names_every_setting_of_a_rule() -> None:
    readme = ROOT / "walker_dest_customerio" / "README.md"
    cells = [part.cells["setting"] for part in parts(readme) if isinstance(part, Row)]
    assert sorted(name for cell in cells for name in named(cell)) == sorted(
        disk_key(each) for each in attrs.fields(RuleSettings)
    )


def test_every_setting_in_the_tables_exists() -> None:
    known = {disk_key(each) for each in (*attrs.fields(Settings), *attrs.fields(RuleSettings))}
    for row in [*rows(METHODS), *rows(V2)]:
        assert set(named(row.cells["made by"])) <= known | OTHER_KEYS, row.line


def test_settings_make_the_calls_that_the_tables_say(
    made: tuple[set[str], set[tuple[str, str]]],
) -> None:
    calls, entries = made
    for row in filter(is_made, rows(METHODS)):
        method = named(row.cells[METHODS])[0].partition(".")[2]
        assert CALLS.get(method, method) in calls, row.line
    made_actions = {
        tuple(row.cells[V2].replace("`", "").split()) for row in filter(is_made, rows(V2))
    }
    assert made_actions == entries


def test_every_setting_of_a_rule_is_shown_with_its_requests() -> None:
    blocks = [part for part in parts(PAGE) if isinstance(part, Block) and part.word]
    shown = {
        key
        for rule, requests in itertools.pairwise(blocks)
        if rule.word == "rule" and requests.word == "requests" and requests.text.strip()
        for key in orjson.loads(rule.text).get("rule", {}).get("settings", {})
    }
    assert shown == {disk_key(each) for each in attrs.fields(RuleSettings)}
