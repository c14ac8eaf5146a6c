"""Each folder of `examples/` does what it says: in simulation, and at a local Customer.io."""

import json
import os
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.examples.support import EXAMPLES, lines_of, read
from walker_collector import Collector
from walker_collector.cli import main
from walker_dest_customerio.sandbox import Sandbox

FOLDERS = sorted(path.parent for path in EXAMPLES.glob("*/expected.ndjson"))

PERSON = "/api/v1/customers/{identifier}"
ENDPOINTS = {
    "identify": f"PUT {PERSON}",
    "track": f"POST {PERSON}/events",
    "pageview": f"POST {PERSON}/events",
    "track_anonymous": "POST /api/v1/events",
    "delete": f"DELETE {PERSON}",
    "suppress": f"POST {PERSON}/suppress",
    "unsuppress": f"POST {PERSON}/unsuppress",
    "screen": f"POST {PERSON}/events",
    "screen_anonymous": "POST /api/v1/events",
    **dict.fromkeys(("object", "delete_object", "relate", "unrelate"), "POST /api/v2/entity"),
    "send_sms": "POST /v1/send/sms",
    "send_whatsapp": "POST /v1/send/whatsapp",
    "send_in_app": "POST /v1/send/in_app",
    "send_inbox": "POST /v1/send/inbox_message",
}


def test_there_is_an_example_for_everything_documented() -> None:
    assert [folder.name for folder in FOLDERS] == [
        "anonymous_track",
        "default_track",
        "destination_identify",
        "destroy_person",
        "mapped_data",
        "mapped_event_name",
        "messages",
        "objects",
        "page_view",
        "recipient",
        "screens",
        "suppress",
        "unsuppress",
        "user_login_identify",
        "wildcard_ignored",
    ]


def test_every_folder_is_in_the_list_of_examples() -> None:
    text = (EXAMPLES / "README.md").read_text("utf-8")
    folders = [path.parent.name for path in EXAMPLES.glob("*/README.md")]
    assert sorted(re.findall(r"\]\(([\w-]+)\)", text)) == sorted(folders)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_simulation_prints_what_is_expected(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the command of the README, without any credentials around."""
    monkeypatch.chdir(EXAMPLES.parent)
    text = (folder / "README.md").read_text("utf-8")
    command = next(line for line in text.splitlines() if line.startswith("    .venv/bin/walker "))
    assert "`expected.ndjson` is what it prints with `--json`" in text
    for name in [name for name in os.environ if name.startswith("CIO_")]:
        monkeypatch.delenv(name)
    result = CliRunner().invoke(main, [*command.split()[1:], "--json"])
    assert lines_of(result.stdout) == read(folder / "expected.ndjson")


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_customerio_gets_the_expected_calls_in_order(
    folder: Path, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CIO_SITE_ID", sandbox.site_id)
    monkeypatch.setenv("CIO_API_KEY", sandbox.api_key)
    monkeypatch.setenv("CIO_APP_API_KEY", sandbox.app_api_key)
    flow = json.loads((folder / "flow.json").read_text("utf-8"))
    settings = flow["flows"]["default"]["destinations"]["customerio"]["config"]["settings"]
    settings |= {key: own for key, own in sandbox.settings().items() if key not in settings}
    settings |= {"delivery": "single"}
    with Collector.from_config(flow) as collector:
        collector.push_many(read(folder / "events.ndjson"))
        assert collector.flush(timeout=10)
    calls = [call for line in read(folder / "expected.ndjson") for call in line["calls"]]
    assert [request.endpoint for request in sandbox.requests] == [
        ENDPOINTS[call[0]] for call in calls
    ]
    assert {request.status for request in sandbox.requests} <= {200}
