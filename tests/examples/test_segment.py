"""Segment's calls through the flow of `examples/segment`, served, to a local Customer.io."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.examples.support import EXAMPLES, PROGRAMS
from tests.support import PATIENCE, program, wait_until
from walker_collector.flow import load_flow
from walker_dest_customerio.sandbox import Sandbox

FOLDER = EXAMPLES / "segment"
KEYS = {"web": "web-0123456789", "server": "server-0123456789"}
CALLS: list[dict[str, Any]] = json.loads((FOLDER / "calls.json").read_text("utf-8"))["batch"]


@pytest.fixture
def url(sandbox: Sandbox, tmp_path: Path) -> Iterator[str]:
    """The address of the served flow; what it was sent is delivered when the test ends."""
    environment = {
        **os.environ,
        "CIO_SITE_ID": sandbox.site_id,
        "CIO_API_KEY": sandbox.api_key,
        "CIO_TRACK_URL": sandbox.track_url,
        "CIO_CA_FILE": sandbox.ca_file,
        **{f"{name.upper()}_KEY": key for name, key in KEYS.items()},
    }
    command = [PROGRAMS / "walker", "serve", FOLDER / "flow.json", "--port", 0]
    with program(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        assert line.startswith("segment: http://"), line + process.stderr.read()
        yield line.split()[1].removesuffix("/collect")
        process.terminate()
        assert process.wait(PATIENCE) == 0


def post(url: str, key: str, calls: list[dict[str, Any]], **headers: str) -> requests.Response:
    return requests.post(
        f"{url}/v1/batch", json={"batch": calls}, auth=(key, ""), headers=headers, timeout=PATIENCE
    )


def stored(sandbox: Sandbox, name: str) -> dict[str, Any]:
    """Return the events of a person, once there is one of a name: name -> its data."""

    def events() -> dict[str, Any]:
        person = sandbox.people.get("ines", {"events": []})
        return {event["name"]: event["data"] for event in person["events"]}

    wait_until(lambda: name in events(), f"an event {name}")
    return events()


def test_calls_become_a_person_with_attributes_and_events(url: str, sandbox: Sandbox) -> None:
    assert post(url, KEYS["server"], CALLS).json() == {"success": True}
    events = stored(sandbox, "coupon used")
    assert sandbox.people["ines"]["anonymous_ids"] == ["a-ines"]
    assert events["https://shop.example/"]["title"] == "Kettle & Leaf"
    assert events["Signed Up"] == {"plan": "free"}
    assert events["Cart"] == {"teas": 2}
    assert events["Order Completed"] == {
        "orderId": "K7",
        "total": 25.5,
        "teas": ["OOL-100", "SEN-050"],
    }
    assert events["coupon used"] == {"coupon": "SPRING"}
    assert sandbox.people["ines"]["attributes"] == {
        "anonymous_id": "a-ines",
        "email": "ines@post.example",
        "firstName": "Ines",
    }
    (tie,) = sandbox.people["ines"]["relationships"]
    assert (tie["object_type_id"], tie["object_id"]) == ("1", "c-7")


def test_nothing_is_sent_before_the_person_agrees(url: str, sandbox: Sandbox) -> None:
    before = [call for call in CALLS if "context" not in call]
    (agreement,) = [call for call in CALLS if "context" in call]
    assert post(url, KEYS["web"], before[:5]).status_code == 200
    other = {**agreement, "userId": "ivo", "anonymousId": "a-ivo", "messageId": "m-ivo"}
    assert post(url, KEYS["web"], [other]).status_code == 200
    wait_until(lambda: list(sandbox.people) == ["ivo"], "the order of another person")
    assert post(url, KEYS["web"], [agreement]).status_code == 200
    assert "Signed Up" in stored(sandbox, "Cart")


def test_an_alias_of_a_server_merges_two_people(url: str, sandbox: Sandbox) -> None:
    agreed = {"consent": {"categoryPreferences": {"marketing": True}}}
    for person in ("ines-of-old", "ines"):
        call = {"type": "identify", "userId": person, "traits": {"plan": "x"}, "context": agreed}
        assert post(url, KEYS["server"], [call]).status_code == 200
        wait_until(lambda name=person: name in sandbox.people, person)
    assert post(url, KEYS["server"], [CALLS[-1]]).status_code == 200
    wait_until(lambda: list(sandbox.people) == ["ines"], "the merge")


def test_pages_of_another_origin_cannot_use_the_key_for_pages(url: str) -> None:
    assert post(url, KEYS["web"], CALLS[:1], origin="https://shop.example").status_code == 200
    assert post(url, KEYS["web"], CALLS[:1], origin="https://else.example").status_code == 403


def test_flow_needs_no_credentials_to_be_read() -> None:
    assert load_flow(FOLDER / "flow.json", credentials=False, serve=True).warnings == ()
