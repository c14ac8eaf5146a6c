"""Segment's, RudderStack's and Customer.io's SDKs, as their registries have them: only the host is
another one.
"""

import json
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.clients.support import Served, served
from tests.support import PATIENCE

HERE = Path(__file__).parent
KEY = "pk_us_0123456789abcdef"
"""The form of Customer.io's keys: for these its SDK sends a bearer token."""
WHEN = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
EPOCH = datetime.fromtimestamp(0, UTC)
CONSENT = {"marketing": True, "statistics": False}
GRANTED = {"marketing": True}

CALLS: list[tuple[str, dict[str, Any]]] = [
    ("identify", {"userId": "ada", "anonymousId": "a-1", "traits": {"email": "ada@post.example"}}),
    (
        "track",
        {
            "userId": "ada",
            "event": "Order Completed",
            "properties": {"total": 25.5, "teas": [{"sku": "OOL-100"}]},
            "context": {"consent": {"categoryPreferences": CONSENT}},
        },
    ),
    (
        "page",
        {
            "anonymousId": "a-1",
            "category": "Shop",
            "name": "Home",
            "properties": {"url": "https://shop.example/"},
        },
    ),
    ("screen", {"userId": "ada", "name": "Cart", "properties": {"teas": 2}}),
    ("group", {"userId": "ada", "groupId": "g-1", "traits": {"plan": "team"}}),
    ("alias", {"userId": "ada", "previousId": "a-1"}),
]
EXPECTED: dict[str, dict[str, Any]] = {
    "identify": {
        "name": "user identify",
        "user": {"id": "ada", "device": "a-1"},
        "data": {"email": "ada@post.example"},
    },
    "track": {
        "name": "order completed",
        "user": {"id": "ada"},
        "data": {"total": 25.5, "teas": [{"sku": "OOL-100"}]},
        "consent": GRANTED,
    },
    "page": {
        "name": "page view",
        "user": {"device": "a-1"},
        "data": {"name": "Home", "category": "Shop", "url": "https://shop.example/"},
    },
    "screen": {
        "name": "screen view",
        "user": {"id": "ada"},
        "data": {"name": "Cart", "teas": 2},
    },
    "group": {
        "name": "group identify",
        "user": {"id": "ada"},
        "data": {"plan": "team"},
    },
    "alias": {
        "name": "user alias",
        "user": {"id": "ada", "device": "a-1"},
        "data": {},
    },
}
KEPT = {"track": {"event": "Order Completed"}, "group": {"groupId": "g-1"}}
"""What is kept of a call beside its type and context."""

Sdk = Callable[[str, str, Sequence[tuple[str, Any]]], list[str]]
"""Makes calls to a host with a key; returns the errors that the SDK reports."""


pytestmark = pytest.mark.services("npm", "a package index")


SDKS = {
    "segment.analytics": "python_calls.py",
    "customerio.analytics": "python_calls.py",
    "@segment/analytics-node": "segment_calls.js",
    "@customerio/cdp-analytics-node": "segment_calls.js",
    "@rudderstack/rudder-sdk-node": "rudderstack_calls.js",
}
"""Module or package of an SDK -> the script that makes calls with it."""


@pytest.fixture(params=SDKS)
def sdk(request: pytest.FixtureRequest) -> Sdk:
    """An SDK."""
    name, script = request.param, SDKS[request.param]
    if script.endswith(".js"):
        packages: Path = request.getfixturevalue("node_packages")
        program, environment = "node", {**os.environ, "NODE_PATH": str(packages / "node_modules")}
    else:
        program, environment = str(request.getfixturevalue("python_packages")), {}

    def call(host: str, key: str, calls: Sequence[tuple[str, Any]]) -> list[str]:
        done = subprocess.run(
            [program, HERE / script, name, host, key],
            input=json.dumps(calls),
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    return call


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Served]:
    """A collector with a key for servers, and none else."""
    with served(tmp_path, keys={"server": {"key": KEY}}) as collector:
        yield collector


def timed(method: str, **parts: Any) -> tuple[str, dict[str, Any]]:
    """Return a call with an id and a time."""
    return method, {**parts, "messageId": f"m-{method}", "timestamp": WHEN.isoformat()}


def test_every_call_arrives_as_its_event(sdk: Sdk, collector: Served) -> None:
    assert sdk(collector.host, KEY, [timed(name, **parts) for name, parts in CALLS]) == []
    events = {event["id"]: event for event in collector.events(len(CALLS))}
    held = {event["id"] for event in collector.events(len(CALLS), "marketing")}
    assert held == events.keys()  # the track call has the consent of this person
    for method, expected in EXPECTED.items():
        event = events[f"m-{method}"]
        assert {key: event[key] for key in expected} == expected
        kept = event["custom"]["segment"]
        assert kept["type"] == method
        assert kept["context"]["library"]["version"]
        assert {key: kept[key] for key in KEPT.get(method, ())} == KEPT.get(method, {})
        since = timedelta(milliseconds=event["timestamp"]) - (WHEN - EPOCH)
        assert timedelta(0) <= since < timedelta(seconds=PATIENCE)


def test_a_wrong_key_reaches_the_error_handler_once(sdk: Sdk, collector: Served) -> None:
    (error,) = sdk(collector.host, "pk_us_wrong", [timed("track", userId="ada", event="A B")])
    assert "401" in error
    assert sdk(collector.host, KEY, [timed("page", userId="ada")]) == []
    collector.stop()
    assert [event["name"] for event in collector.events(1)] == ["page view"]
