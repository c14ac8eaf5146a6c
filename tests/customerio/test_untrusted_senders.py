"""Events that untrusted senders post to a source with keys, through a whole flow."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.customerio.support import CREDENTIALS
from tests.customerio.whole import PATIENCE, flow_of
from walker_collector import Collector, Secret
from walker_collector.cli import main
from walker_collector.sources.http import Key, Settings
from walker_collector.sources.http.app import App
from walker_dest_customerio.sandbox import Sandbox

KEYS = {"web": Key(key=Secret("w")), "server": Key(key=Secret("s"), trusted=True)}
DESTROY = {"settings": {"destroy": True}}
LEAVE = {"name": "account leave", "user": {"id": "ines"}, "data": {"why": "moved"}}


@contextmanager
def collecting(
    customerio: Sandbox, rule: Any, spool: Path | None = None, **config: Any
) -> Iterator[Collector]:
    flow = flow_of({**customerio.settings(), "delivery": "single"}, rule, **config)
    collector = {"spool": {"path": str(spool)}} if spool else {}
    with Collector.from_config({**flow, "collector": collector}) as made:
        yield made


def post(collector: Collector, key: str | None, event: Any = LEAVE) -> None:
    """Post an event; without a key, to a source that has none."""
    settings = Settings(keys=KEYS if key else {})
    headers = {"x-write-key": key or ""}
    application = App(collector.push_many, settings)
    status, _, _ = application.respond("POST", "/collect", headers, json.dumps(event).encode())
    assert status == 200
    assert collector.flush(PATIENCE)


def deletions(customerio: Sandbox) -> int:
    return sum(request.method == "DELETE" for request in customerio.requests)


@pytest.mark.parametrize(
    ("key", "rule", "count"),
    [
        ("w", DESTROY, 0),
        ("w", {**DESTROY, "untrusted": True}, 1),
        ("s", DESTROY, 1),
        (None, DESTROY, 1),
    ],
    ids=["untrusted", "untrusted, with a rule for anybody", "trusted", "without keys"],
)
def test_only_trusted_senders_cause_what_is_guarded(
    customerio: Sandbox, key: str | None, rule: Any, count: int
) -> None:
    with collecting(customerio, rule) as collector:
        post(collector, key)
        dead = collector.dead()
    assert deletions(customerio) == count
    assert len(dead) == 1 - count
    for letter in dead:
        assert letter.reason.startswith("destroy: not for events whose sender has no trusted key")
        assert 'write "untrusted": true in the rule' in letter.reason


def test_sender_stays_untrusted_over_restarts_replays_and_while_held(
    customerio: Sandbox, tmp_path: Path
) -> None:
    spool, consent = tmp_path / "spool.db", {"marketing": True}
    with collecting(customerio, DESTROY, spool, consent=consent) as collector:
        post(collector, "w")
        assert collector.status().destinations["customerio"].held == 1
    with collecting(customerio, DESTROY, spool, consent=consent) as collector:
        post(collector, "w", {"name": "walker consent", "data": consent, "user": {"session": "x"}})
        collector.consent({"marketing": True})  # by the process, for everybody
        assert collector.flush(PATIENCE)
        (letter,) = collector.dead()
        assert collector.replay([letter]) == 1
        assert collector.flush(PATIENCE)
        assert [letter.reason[:8] for letter in collector.dead()] == ["destroy:"]
    assert deletions(customerio) == 0
    opened = {**DESTROY, "untrusted": True}
    with collecting(customerio, opened, spool, consent=consent) as collector:
        assert collector.replay(collector.dead()) == 1
        assert collector.flush(PATIENCE)
    assert deletions(customerio) == 1


def test_event_cannot_say_itself_that_it_is_trusted(customerio: Sandbox) -> None:
    with collecting(customerio, DESTROY) as collector:
        post(collector, "w", {**LEAVE, "untrusted": False, "trusted": True})
        assert len(collector.dead()) == 1
        collector.push({**LEAVE, "untrusted": True})  # nor that it is not
        assert collector.flush(PATIENCE)
    assert deletions(customerio) == 1


def test_simulation_of_an_untrusted_sender(tmp_path: Path) -> None:
    flow = tmp_path / "flow.json"
    flow.write_text(json.dumps(flow_of(CREDENTIALS, DESTROY)))
    for option, status, exit_code in (([], "deliver", 0), (["--untrusted"], "invalid", 1)):
        asked = ["simulate", str(flow), "--json", *option]
        result = CliRunner().invoke(main, asked, input=json.dumps(LEAVE) + "\n")
        (line,) = result.stdout.splitlines()
        assert (json.loads(line)["status"], result.exit_code) == (status, exit_code)
    assert json.loads(line)["reason"].startswith("destroy: not for events")
