"""Events that untrusted senders post to a source with keys, through a whole flow."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tests.customerio.support import CREDENTIALS
from tests.customerio.whole import PATIENCE, flow_of, simulated
from walker_collector import Collector, Secret
from walker_collector.cli import main
from walker_collector.hookspecs import Received
from walker_collector.sources.http import Key, Settings
from walker_collector.sources.http.app import App
from walker_dest_customerio.sandbox import Sandbox

KEYS = {"web": Key(key=Secret("w")), "server": Key(key=Secret("s"), trusted=True)}
DESTROY = {"settings": {"destroy": True}}
LEAVE = {"name": "account leave", "user": {"id": "ines"}, "data": {"why": "moved"}}


@contextmanager
def collecting(
    customerio: Sandbox,
    rule: Any,
    spool: Path | None = None,
    delivery: str = "single",
    **config: Any,
) -> Iterator[Collector]:
    flow = flow_of({**customerio.settings(), "delivery": delivery}, rule, **config)
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


# --- who gets an email ----------------------------------------------------------------------------

VICTIM = "victim@post.example"
ADDRESSES = {"recipient": VICTIM, "from_address": VICTIM, "reply_to": VICTIM}
SEEN = {"name": "page view", "user": {"id": "ines"}, "data": {"url": "/", "name": "Home"}}
VIEWS = {"page": "data", "screen": "data"}


@pytest.mark.parametrize("delivery", ["batch", "single"])
@pytest.mark.parametrize(
    ("key", "rule", "is_kept"),
    [
        ("w", {"settings": VIEWS}, False),
        ("w", {"settings": VIEWS, "untrusted": True}, True),
        ("s", {"settings": VIEWS}, True),
        (None, {"settings": VIEWS}, True),
    ],
    ids=["untrusted", "untrusted, with a rule for anybody", "trusted", "without keys"],
)
def test_untrusted_event_chooses_no_addresses_of_a_campaigns_email(
    customerio: Sandbox,
    key: str | None,
    rule: Any,
    is_kept: bool,
    delivery: str,
) -> None:
    with collecting(customerio, {**rule, "data": "data"}, delivery=delivery) as collector:
        for user in ({"id": "ines"}, {"session": "s-1"}):
            event = {**SEEN, "user": user, "data": {**SEEN["data"], **ADDRESSES}}
            post(collector, key, event)
        assert collector.dead() == []
    arrived = [one["type"] for one in customerio.events]
    assert sorted(arrived) == sorted(["event", "page", "screen"] * 2)
    for one in customerio.events:
        kept = one["data"].items() & ADDRESSES.items()
        assert kept == (ADDRESSES.items() if is_kept else set())
        assert one["data"].keys() & SEEN["data"].keys()


def test_addresses_left_out_are_named_in_a_warning() -> None:
    event = Received({**SEEN, "data": ADDRESSES}, trusted=False, limited=True)
    (result,) = simulated(event, rule={"data": "data"})
    ((call, person, summary),) = result.calls
    assert (call, person, summary["data"]) == ("track", "ines", {})
    (warning,) = result.warnings
    assert warning.startswith("track: from_address and recipient and reply_to in its data")
    assert 'write "untrusted": true in the rule' in warning
    assert "victim" not in warning


def test_untrusted_identify_removes_no_relationship(customerio: Sandbox) -> None:
    acme = {"identifiers": {"object_type_id": "1", "object_id": "acme"}}
    rule = {"settings": {"identify": "data"}, "skip": True}
    for action, refused in (("add_relationships", 0), ("delete_relationships", 1)):
        related = {"action": action, "relationships": [acme]}
        event = {**LEAVE, "data": {"cio_relationships": related}}
        with collecting(customerio, rule) as collector:
            post(collector, "w", event)
            assert len(collector.dead()) == refused
            for letter in collector.dead():
                assert letter.reason.startswith("unrelate: not for events whose sender has no")
    assert len(customerio.people["ines"]["relationships"]) == 1


TEMPLATE = {
    "transactional_message_id": {"value": "t"},
    "identifiers": {"map": {"id": "user.id"}},
    "message_data": {"map": {"total": "data.total"}},
}
TO = {"to": {"value": "ines@post.example"}}
CHANNELS = {
    "sendEmail": {**TEMPLATE, **TO, "subject": {"value": "Hi"}, "body": {"value": "Yours"}},
    "sendPush": TEMPLATE,
    "sendSms": {**TEMPLATE, "to": {"value": "+15551234567"}},
    "sendWhatsapp": {**TEMPLATE, "to": {"value": "+15551234567"}},
    "sendInApp": TEMPLATE,
    "sendInbox": TEMPLATE,
}


def test_event_overrides_no_field_of_a_message_that_its_rule_sets(customerio: Sandbox) -> None:
    """Of a rule for anybody, too, the event has only the fields that the rule reads from it."""
    theirs = dict.fromkeys(
        ("to", "cc", "bcc", "from", "reply_to", "subject", "body", "recipient", "identifiers"),
        VICTIM,
    )
    sneaky: dict[str, Any] = {**LEAVE, **theirs, "data": {**theirs, "total": 5}}
    sneaky["settings"] = dict.fromkeys(CHANNELS, theirs)
    sneaky["custom"] = sneaky["context"] = {**theirs, "message_data": theirs}
    settings = {key: {"map": fields} for key, fields in CHANNELS.items()}
    with collecting(customerio, {"settings": settings, "skip": True}) as collector:
        post(collector, "w", sneaky)
        (letter,) = collector.dead()
        assert letter.reason.startswith(f"{' and '.join(sorted(CHANNELS))}: not for events")
    assert customerio.messages == []
    opened = {"settings": settings, "skip": True, "untrusted": True}
    with collecting(customerio, opened) as collector:
        post(collector, "w", sneaky)
        assert collector.dead() == []
    assert len(customerio.messages) == len(CHANNELS)
    assert VICTIM not in json.dumps(customerio.messages)


def test_untrusted_sender_invites_nobody(customerio: Sandbox) -> None:
    rule = {"settings": {"recipient": "data.friend"}}
    event = {**LEAVE, "data": {"friend": VICTIM}}
    with collecting(customerio, rule) as collector:
        post(collector, "w", event)
        (letter,) = collector.dead()
        assert letter.reason.startswith("recipient: not for events whose sender has no")
        post(collector, "s", event)
        assert len(collector.dead()) == 1
    assert [invite["data"]["recipient"] for invite in customerio.state()["invites"]] == [VICTIM]
