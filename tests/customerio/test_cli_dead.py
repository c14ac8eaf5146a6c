"""`walker dead` about events whose operations had different fates."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from tests.core.cli_support import objects, walker, write_events, write_flow
from walker_dest_customerio.sandbox import Sandbox

MAIL = {"to": "user.email", "transactional_message_id": {"value": 3}}
NAMED = {"identifiers": {"map": {"id": "user.id"}}}
RULES = {
    "order": {
        "complete": {"name": "purchase", "settings": {"sendEmail": {"map": {**MAIL, **NAMED}}}}
    }
}
EVENT = {
    "name": "order complete",
    "id": "o-1",
    "user": {"id": "ines", "email": "ines@post.example"},
}


@pytest.fixture
def flow(customerio: Sandbox, tmp_path: Path) -> Path:
    """A flow whose spool holds one dead letter: its mail got no answer, all else was done."""
    config = {
        "settings": {
            **customerio.settings(),
            "identify": {"map": {"email": "user.email"}},
            "timeout": 1_000,
        },
        "mapping": RULES,
        "retry": {"base": 1},
    }
    spool = {"path": str(tmp_path / "spool.db")}
    path = write_flow(tmp_path, {"crm": {"package": "customerio", "config": config}}, spool=spool)
    customerio.fault("hang", path="/v1/send", apply=True)
    assert walker("run", path, write_events(tmp_path, EVENT)).exit_code == 1
    assert len(customerio.messages) == len(customerio.events) == 1
    return path


def letters(flow: Path) -> list[Any]:
    found: list[Any] = json.loads(walker("dead", "list", flow, "--json").stdout)
    return found


def replay(flow: Path) -> Callable[..., Result]:
    return lambda *options: walker("dead", "replay", flow, "--all", *options)


def test_state_of_each_part_is_told(flow: Path) -> None:
    parts = {"identify": "done", "send_email": "begun", "track": "done"}
    (listed,) = letters(flow)
    (shown,) = objects(walker("dead", "show", flow, "--json").stdout)
    assert listed["parts"] == shown["parts"] == parts
    assert listed["reason"].startswith("send_email: the message may have been sent (App API: ")
    assert "send_email begun" in " ".join(walker("dead", "list", flow).stdout.split())


def test_replay_sends_a_doubtful_message_again_and_says_so(flow: Path, customerio: Sandbox) -> None:
    result = replay(flow)()
    assert result.exit_code == 0
    assert "send_email of 1 event may have happened already" in result.stderr
    assert "--without send_email" in result.stderr
    assert (len(customerio.messages), len(customerio.events)) == (2, 1)


@pytest.mark.parametrize("options", [("--without-messages",), ("--without", "send_email")])
def test_replay_can_leave_a_doubtful_message_out(
    flow: Path, customerio: Sandbox, options: tuple[str, ...]
) -> None:
    before = len(customerio.requests)
    result = replay(flow)(*options)
    assert result.exit_code == 0
    assert "twice" not in result.stderr
    assert len(customerio.requests) == before
    assert letters(flow) == []


def test_part_that_there_is_none_of_is_told_with_those_there_are(flow: Path) -> None:
    result = replay(flow)("--without", "sendEmail")
    assert result.exit_code == 1
    assert "there is no part sendEmail to leave out" in result.stderr
    assert "send_email" in result.stderr
    assert len(letters(flow)) == 1


def test_refused_mail_costs_no_event_and_is_sent_by_a_replay(
    flow: Path, customerio: Sandbox, tmp_path: Path
) -> None:
    walker("dead", "drop", flow, "--all", "--yes")
    customerio.reset()
    customerio.fault("status", status=400, path="/v1/send")
    event: dict[str, Any] = {**EVENT, "id": "o-2"}
    assert walker("run", flow, write_events(tmp_path, event)).exit_code == 1
    assert (len(customerio.messages), len(customerio.events)) == (0, 1)
    assert replay(flow)().exit_code == 0
    assert (len(customerio.messages), len(customerio.events)) == (1, 1)
