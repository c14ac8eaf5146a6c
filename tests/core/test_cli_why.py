"""`walker why` and `walker people`: what became of events, and what is known of a person."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from attrs import define
from click.testing import Result

from tests.core.cli_support import ndjson, objects, serving, to_file, to_server, walker, write_flow
from tests.core.support import one, plugin, running
from tests.support import PATIENCE, wait_until
from walker_collector import Collector
from walker_collector.cli.why import death
from walker_collector.hookspecs import Received
from walker_collector.moments import moment

ORDER = {"name": "order complete", "data": {"email": "ines@example.com"}}


@define
class Shop:
    """A flow whose destinations are in trouble of several kinds, and its running collector."""

    flow: Path
    collector: Collector

    def send(self, id_: str, *, person: str = "ines", **parts: Any) -> None:
        """Accept an event as a source does."""
        event = {**ORDER, "user": {"id": person}, "id": id_, **parts}
        self.collector.push_from(None, [Received(event)])

    def event(self, id_: str) -> dict[str, dict[str, Any]]:
        """Return what became of an event, by destination."""
        (found,) = asked(self.flow, "--event", id_)["events"]
        return {item["destination"]: item for item in found["deliveries"]}

    def told(self, *arguments: str) -> str:
        """Return what `walker why` prints for people."""
        return walker("why", self.flow, *arguments).stdout


def asked(flow: Path, *arguments: str, command: str = "why") -> dict[str, Any]:
    """Return the answer of a command as JSON."""
    (answer,) = objects(walker(command, flow, *arguments, "--json").stdout)
    return dict(answer)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("shop")
    with ExitStack() as stack:
        urls = {status: stack.enter_context(serving(status)).url for status in (204, 400, 401, 503)}
        ignoring = {"page": {"view": {"ignore": True}}, "order": {"complete": {}}}
        slowly = {"base": 60_000, "cap": 60_000}
        entry = to_server(urls[204], consent={"marketing": True}, mapping=ignoring)
        destinations = {
            "ads": entry,
            "archive": to_server(urls[204], mapping={"page": {"view": {"ignore": True}}}),
            "bi": to_server(urls[503], mapping=ignoring),
            "crm": to_server(urls[401], mapping=ignoring),
            "shop": to_server(urls[400], mapping=ignoring, unmatched="ignore"),
        }
        destinations["bi"]["config"]["retry"] = slowly
        spool = {"path": str(folder / "spool.db")}
        flow = write_flow(folder, destinations, spool=spool, shards=2, closeTimeout=0)
        collector = stack.enter_context(Collector.from_file(flow))
        shop = Shop(flow, collector)
        shop.send("o-1")
        shop.send("o-2")
        shop.send("p-1", name="page view")
        shop.send("r-1", name="return send", person="hana")
        collector.consent({"ads": False, "mail": True}, user={"id": "ines"})
        wait_until(lambda: _in_trouble(flow))
        yield shop


def _in_trouble(flow: Path) -> bool:
    found = asked(flow, "--user-id", "ines")
    states = {id_: about["state"] for id_, about in found["destinations"].items()}
    return states.get("crm") == "down" and found["counts"].get("shop", {}).get("dead") == 2


def test_an_event_that_is_held_names_the_missing_consent_and_who_has_said_what(shop: Shop) -> None:
    held = shop.event("o-1")["ads"]
    assert (held["status"], held["consent"]["required"]) == ("held", ["marketing"])
    assert held["consent"]["statements"][0]["by"] == "nobody"
    text = shop.told("--event", "o-1")
    assert "needs consent to marketing" in text
    assert "nobody has said anything" in text
    assert "once the person grants that" in text
    assert not held["consent"]["deniedForGood"]


def test_an_event_that_denies_by_itself_is_held_whatever_is_granted(shop: Shop) -> None:
    shop.send("o-5", person="hana", consent={"marketing": False})
    assert shop.event("o-5")["ads"]["consent"]["deniedForGood"]
    assert "which no later grant changes" in shop.told("--event", "o-5")


def test_a_destination_that_is_down_says_why_and_who_delivers(shop: Shop) -> None:
    assert shop.event("o-1")["crm"]["status"] == "waiting"
    about = asked(shop.flow, "--event", "o-1")["destinations"]["crm"]
    assert about["state"] == "down"
    assert "answered 401" in about["reason"]
    assert about["process"]["pid"] > 0
    assert about["until"] > about["since"] > 0
    assert "crm is down since" in shop.told("--event", "o-1")
    (status,) = objects(walker("spool", "status", shop.flow, "--json").stdout)
    assert status["destinations"]["crm"]["reason"].startswith("down: ")


def test_an_event_that_is_tried_again_says_when_and_those_behind_it_say_so(shop: Shop) -> None:
    wait_until(lambda: shop.event("o-1")["bi"].get("due"))
    retried = shop.event("o-1")["bi"]
    assert retried["attempts"] >= 1
    assert "answered 503" in retried["reason"]
    assert shop.event("o-2")["bi"]["behind"] == "o-1"


def test_a_dead_letter_says_its_reason_and_what_to_do(shop: Shop) -> None:
    dead = shop.event("o-1")["shop"]
    assert (dead["status"], dead["attempts"]) == ("dead", 1)
    assert "answered 400" in dead["reason"]
    told = walker("why", shop.flow, "--event", "o-1").stdout
    assert f"walker dead replay {shop.flow} --id o-1" in told
    assert not told.endswith("\n\n")


def test_a_delivered_event_is_known_by_its_id(shop: Shop) -> None:
    assert shop.event("o-2")["archive"]["status"] == "delivered"


def test_an_ignored_event_is_known_by_its_id_and_the_rules_that_ignore_are_told(shop: Shop) -> None:
    wait_until(lambda: asked(shop.flow, "--event", "p-1")["events"])
    assert {item["status"] for item in shop.event("p-1").values()} == {"ignored"}
    assert "crm ignores page view" in shop.told("--event", "p-1")
    assert shop.event("r-1")["shop"]["status"] == "ignored"
    text = shop.told("--event", "r-1")
    assert '''no rule is for 'return send', and "unmatched" is "ignore"''' in text


def test_an_id_that_was_given_again_stands_for_several_events(shop: Shop) -> None:
    for _ in range(2):
        shop.collector.push({**ORDER, "id": "o-6", "user": {"id": "hana"}})
    found = asked(shop.flow, "--event", "o-6")["events"]
    assert len(found) == 2
    statuses = {item["destination"]: item["status"] for item in found[1]["deliveries"]}
    assert statuses["crm"] == "waiting"
    wait_until(lambda: "archive: unknown" in shop.told("--event", "o-6"))


def test_an_event_without_a_trace_says_where_to_look(shop: Shop) -> None:
    found = walker("why", shop.flow, "--event", "o-3")
    assert found.exit_code == 1
    assert "No trace of event o-3" in found.stdout
    assert "it was a dead letter, and was dropped (walker dead drop)" in found.stdout
    assert "its person was erased (walker forget, collector.forget)" in found.stdout
    assert "collector.recent" in found.stdout
    assert "crm ignores page view" in found.stdout


def test_people_are_shown_by_id_unless_data_is_asked_for(shop: Shop) -> None:
    for command, *form in (("why",), ("people", "--json")):
        arguments = (command, shop.flow, "--user-id", "ines", *form)
        assert "ines@example.com" not in walker(*arguments).stdout
        assert "ines@example.com" in walker(*arguments, "--data").stdout


def test_what_is_known_of_a_person(shop: Shop) -> None:
    found = asked(shop.flow, "--user-id", "ines", command="people")
    assert found["identifiers"] == ["id:ines"]
    assert found["counts"]["shop"] == {"waiting": 0, "held": 0, "dead": 2}
    said = {item["key"]: (item["granted"], item["origin"]) for item in found["consent"]}
    assert said == {"ads": (False, "statement"), "mail": (True, "statement")}
    assert all(item["at"] > 1_700_000_000_000 for item in found["consent"])
    assert [event["id"] for event in found["events"]] == ["o-2", "o-1"]
    assert found["erasure"] is None
    text = walker("people", shop.flow, "--user-id", "ines").stdout
    assert "ads: denied at" in text
    nobody: Result = walker("people", shop.flow, "--device", "d-1")
    assert (nobody.exit_code, "Nothing is known of device:d-1" in nobody.stdout) == (1, True)


def test_asking_changes_nothing(shop: Shop) -> None:
    ((path, *_),) = [sorted(shop.flow.parent.glob("spool.db"))]
    before = _rows(path)
    for arguments in (("why", "--event", "o-1"), ("why", "--user-id", "ines")):
        assert walker(arguments[0], shop.flow, *arguments[1:]).exit_code == 0
    assert _rows(path) == before


def _rows(path: Path) -> list[Any]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        tables = ("aliases", "consents", "people_log", "recent", "calls")
        return [db.execute(f"SELECT * FROM {table}").fetchall() for table in tables]


def test_a_destination_that_nobody_delivers_to_says_what_the_last_one_found(tmp_path: Path) -> None:
    with serving(401) as server:
        mapping = {"page": {"*": {"ignore": True}}}
        destinations = {"crm": to_server(server.url, mapping=mapping)}
        spool = {"path": str(tmp_path / "spool.db")}
        flow = write_flow(tmp_path, destinations, spool=spool)
        lines = ndjson([{**ORDER, "id": "o-1"}, {"name": "page view", "id": "p-1"}])
        walker("run", flow, "--timeout", "0.2", input=lines)
        about = asked(flow, "--event", "o-1")["destinations"]["crm"]
        assert (about["state"], about["process"]) == ("unattended", None)
        assert "answered 401" in about["reason"]
        cause, absence, remedy = walker("why", flow, "--event", "o-1").stdout.splitlines()[3:6]
        assert cause.startswith("    crm was down since ")
        assert absence == "    no process delivers to it now"
        assert remedy.startswith("    mend the cause, then start a collector with the flow, or ")
        assert "; it was down since " in reason_of_waiting(flow)
        ignored = asked(flow, "--event", "p-1")["events"][0]["deliveries"]
        assert [item["status"] for item in ignored] == ["ignored"]
        server.status = 204
        assert walker("run", flow, input="").exit_code == 0
    write_flow(tmp_path, destinations, spool=spool, deliver=False)
    with Collector.from_file(flow) as collector:
        collector.push({**ORDER, "id": "o-2"})
        assert collector.status_of("crm").reason == "no process delivers to it now"
    assert reason_of_waiting(flow) == "no process delivers to it now"
    write_flow(tmp_path, {}, spool=spool)
    assert "the flow has no such destination" in walker("why", flow, "--event", "o-2").stdout


def reason_of_waiting(flow: Path) -> str:
    """Return why events wait for `crm`, as `walker spool status` says."""
    (found,) = objects(walker("spool", "status", flow, "--json").stdout)
    return str(found["destinations"]["crm"]["reason"])


def test_a_process_that_only_accepts_knows_why_its_events_wait(tmp_path: Path) -> None:
    with serving(401) as server:
        destinations = {"crm": to_server(server.url)}
        spool = {"path": str(tmp_path / "spool.db")}
        flow = write_flow(tmp_path, destinations, spool=spool)
        walker("run", flow, "--timeout", "0.2", input=ndjson([ORDER]))
    write_flow(tmp_path, destinations, spool=spool, deliver=False)
    with Collector.from_file(flow) as collector:
        reason = collector.status_of("crm").reason
    assert reason.startswith("no process delivers to it now; it was down since ")
    assert "answered 401" in reason


def test_a_retried_event_waits_since_it_was_accepted(tmp_path: Path) -> None:
    with serving(503) as server:
        destinations = {"crm": to_server(server.url)}
        flow = write_flow(tmp_path, destinations, spool={"path": str(tmp_path / "spool.db")})
        walker("run", flow, "--timeout", "2", input=ndjson([{**ORDER, "id": "o-1"}]))
    (event,) = asked(flow, "--event", "o-1")["events"]
    (delivery,) = event["deliveries"]
    assert delivery["at"] == event["accepted"] < delivery["tried"]
    assert f"at {moment(delivery['tried'])}: " in walker("why", flow, "--event", "o-1").stdout


def test_a_call_under_way_is_told_and_a_spool_alone_answers(tmp_path: Path) -> None:
    called, over = threading.Event(), threading.Event()

    def push(*_: object) -> None:
        called.set()
        over.wait(PATIENCE)

    spool = tmp_path / "spool.db"
    with running(one(plugin(push), spool)) as collector:
        collector.push({**ORDER, "id": "o-1", "user": {"id": "ines"}})
        assert called.wait(PATIENCE)
        (event,) = asked(spool, "--event", "o-1")["events"]
        (delivery,) = event["deliveries"]
        assert (delivery["status"], delivery["underWay"]) == ("waiting", True)
        over.set()
        assert collector.flush(PATIENCE)
    assert walker("why", spool, "--event", "o-1").exit_code == 1


def test_a_process_that_only_accepts_leaves_events_without_a_deliverer(tmp_path: Path) -> None:
    destinations = {"out": to_file(tmp_path / "out", consent={"marketing": True})}
    spool = {"path": str(tmp_path / "spool.db")}
    flow = write_flow(tmp_path, destinations, spool=spool, deliver=False)
    with Collector.from_file(flow) as collector:
        collector.push({**ORDER, "id": "o-1"}, wait=False)
        granted = {**ORDER, "id": "o-2", "user": {"id": "ines"}, "consent": {"marketing": True}}
        collector.push(granted)
        (event,) = asked(flow, "--event", "o-2")["events"]
        assert event["deliveries"][0]["status"] == "waiting"
        text = walker("why", flow, "--event", "o-2").stdout
        assert "no process delivers to it now" in text
        claimed = {**ORDER, "id": "o-3", "user": {"session": "s-1"}, "consent": {"marketing": True}}
        untrusted = Received(claimed, trusted=False, limited=True, learn=True)
        collector.push_from(None, [untrusted])
        collector.push({**ORDER, "id": "o-4", "user": {"session": "s-1"}})
        held = asked(flow, "--event", "o-4")["events"][0]["deliveries"][0]
        assert held["consent"]["statements"][0]["by"] == "claim"
        found = asked(flow, "--session", "s-1", command="people")
        (statement,) = found["consent"]
        assert (statement["origin"], statement["claimed"]) == ("event", True)
        collector.forget({"session": "s-1"})
        assert asked(flow, "--session", "s-1", command="people")["erasure"] == "likely"


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("given up after 3 attempts: busy", "given up after 3 attempts: busy"),
        (
            "given up after 1.0 hours: busy",
            "3 attempts have failed, the last: given up after 1.0 hours: busy",
        ),
        ("busy", "3 attempts have failed, the last: busy"),
    ],
)
def test_the_attempts_of_a_dead_letter_are_told_once(reason: str, told: str) -> None:
    assert death(3, reason) == told
