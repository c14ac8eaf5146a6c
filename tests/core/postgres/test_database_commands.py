"""Commands on a spool in PostgreSQL: the same as on a file."""

import json
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner, Result

from walker_collector import Collector
from walker_collector.cli import main
from walker_collector.spool.postgres import Place, open_spool


@pytest.fixture
def flow(place: Place, tmp_path: Path) -> Path:
    config = {"settings": {"path": str(tmp_path / "out.ndjson")}, "consent": {"marketing": True}}
    spool = {"url": "$env.DATABASE_URL", "schema": place.schema}
    path = tmp_path / "flow.json"
    path.write_text(
        json.dumps(
            {
                "collector": {"spool": spool},
                "destinations": {"log": {"package": "file", "config": config}},
            }
        )
    )
    return path


def walker(place: Place, *words: object) -> Result:
    environment = {"DATABASE_URL": place.url, "COLUMNS": "80"}
    return CliRunner().invoke(main, [str(word) for word in words], env=environment)


def test_commands_ask_the_database(place: Place, flow: Path, tmp_path: Path) -> None:
    nothing = walker(place, "spool", "status", flow)
    assert nothing.exit_code == 0
    assert nothing.stdout.startswith("nothing has run with this flow yet: there is no spool")
    assert walker(place, "check", flow).stdout.startswith("collector.spool: ok")
    events = tmp_path / "events.ndjson"
    lines = [{"name": "page view", "id": f"e{n}", "user": {"id": "ines"}} for n in range(3)]
    events.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert walker(place, "run", flow, events).exit_code == 0
    status = json.loads(walker(place, "spool", "status", flow, "--json").stdout)
    assert status["destinations"]["log"]["held"] == 3
    assert status["spool"].endswith("/postgres")
    why = walker(place, "why", flow, "--event", "e1").stdout
    assert "needs consent to marketing" in why
    assert "id:ines" in walker(place, "people", flow, "--user-id", "ines").stdout
    again = walker(place, "run", flow, events, "--resume")
    assert "an earlier run has accepted all of its 3 lines" in again.stderr
    assert walker(place, "forget", flow, "--user-id", "ines").stdout == "3 events removed\n"
    status = json.loads(walker(place, "spool", "status", flow, "--json").stdout)
    assert status["destinations"] == {}


def test_commands_show_what_waits_in_the_outbox(place: Place, flow: Path, tmp_path: Path) -> None:
    config = json.loads(flow.read_text())
    config["collector"] = {"spool": {"url": place.url, "schema": place.schema}, "deliver": False}
    ines = {"id": "ines", "name": "Inés"}
    with Collector.from_config(config) as collector, psycopg.connect(place.url) as shop:
        posted = collector.push("page view", data={"n": 7}, user=ines, connection=shop).id
        shop.commit()
        collector.push("page view", user=ines, connection=shop)  # which is rolled back
        shop.rollback()
        status = walker(place, "spool", "status", flow).stdout
        assert "outbox: 1 event to be accepted, the oldest for " in status
        assert "; no process delivers now, and only such a one accepts them" in status
        outbox = json.loads(walker(place, "spool", "status", flow, "--json").stdout)["outbox"]
        assert outbox["waiting"] == 1
        assert 0 < outbox["oldest_age"] < 60
        for words in (["--event", posted], ["--user-id", "ines"]):
            why = walker(place, "why", flow, *words)
            assert why.exit_code == 0
            assert "in the outbox since " in why.stdout
            assert "never accepted" not in why.stdout
            assert "Inés" not in why.stdout
        people = walker(place, "people", flow, "--user-id", "ines", "--data", "--json")
        (event,) = json.loads(people.stdout)["outbox"]
        assert event["id"] == posted
        assert event["data"]["user"] == ines
        assert walker(place, "people", flow, "--user-id", "max").exit_code == 1
        assert walker(place, "forget", flow, "--user-id", "ines").stdout == "1 event removed\n"
        assert "outbox" not in walker(place, "spool", "status", flow).stdout
        with Collector.from_config(
            {**config, "collector": {"spool": config["collector"]["spool"]}}
        ):
            collector.push("page view", user=ines, connection=shop)
            shop.commit()
            assert "only such a one" not in walker(place, "spool", "status", flow).stdout


def test_status_tells_of_a_server_that_takes_no_writes(place: Place, flow: Path) -> None:
    open_spool(place).close()
    readable = Place(f"{place.url}?options=-c%20default_transaction_read_only%3Don", place.schema)
    status = walker(readable, "spool", "status", flow)
    assert status.exit_code == 0
    assert "read-only: give the url of the primary" in status.stdout
    told = json.loads(walker(readable, "spool", "status", flow, "--json").stdout)["trouble"]
    assert "read-only: give the url of the primary" in told
    assert json.loads(walker(place, "spool", "status", flow, "--json").stdout)["trouble"] == ""


def test_password_is_shown_by_no_command(place: Place, flow: Path) -> None:
    wrong = Place(place.url.replace("keeper-password", "another-password"), place.schema)
    for words in (["check", flow], ["spool", "status", flow], ["deliver", flow]):
        result = walker(wrong, *words)
        assert result.exit_code == 1
        assert "check the user and the password" in result.output
        assert "another-password" not in result.output
