"""`walker top` on a spool in PostgreSQL, which other processes use."""

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.core.postgres.test_database_commands import walker
from tests.support import wait_until
from walker_collector import Collector
from walker_collector.figures import Figures
from walker_collector.sources.http.metrics import metrics_page
from walker_collector.spool.postgres import Place


def config(place: Place, folder: Path, **collector: Any) -> dict[str, Any]:
    settings = {"settings": {"path": str(folder / "out.ndjson")}}
    spool = {"url": "$env.DATABASE_URL", "schema": place.schema}
    return {
        "collector": {"spool": spool, "shards": 4, **collector},
        "destinations": {
            "log": {"package": "file", "config": settings},
            "crm": {"package": "file", "config": {**settings, "consent": {"marketing": True}}},
        },
    }


@pytest.fixture
def flow(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A flow file whose spool is in the database."""
    monkeypatch.setenv("DATABASE_URL", place.url)
    path = tmp_path / "flow.json"
    path.write_text(json.dumps(config(place, tmp_path)))
    return path


@pytest.fixture
def accepting(flow: Path, place: Place) -> Collector:
    """A collector of the flow that only accepts."""
    return Collector.from_config(config(place, flow.parent, deliver=False))


def test_processes_of_a_database_are_watched(
    place: Place, flow: Path, accepting: Collector
) -> None:
    with Collector.from_file(flow) as collector, accepting:
        table = collector._life.own_runtime().spool.sample_table
        first = json.loads(walker(place, "top", flow, "--once", "--json").stdout)
        assert [item["state"] for item in first["destinations"]] == ["idle", "idle"]
        table.watch("test", first["at"] + 60_000)
        for process in (collector, accepting):
            wait_until(lambda p=process: p._life.own_runtime().workers.watch.watchers != ())
        accepting.push("order complete", user={"id": "ines", "email": "ines@shop.example"})
        wait_until(lambda: len(table.samples(0)) == 2)
        samples = [json.loads(text) for _, text in table.samples(0)]
        found = json.loads(walker(place, "top", flow, "--once", "--json").stdout)
    # The one that accepts has held it, and the other one has delivered it.
    assert {(item["outcome"], item["destination"]) for item in samples} == {
        ("held", "crm"),
        ("delivered", "log"),
    }
    assert "ines@shop.example" not in str(samples)
    crm, log = found["destinations"]
    assert (crm["held"], log["waiting"]) == (1, 0)
    assert log["rates"]["delivered"] >= 0
    assert found["note"] == ""


def test_events_in_the_outbox_are_shown(place: Place, flow: Path, accepting: Collector) -> None:
    with accepting, psycopg.connect(place.url) as connection:
        assert (accepting.status().posted, accepting.status().posted_age) == (0, 0.0)
        accepting.push("order complete", connection=connection)
        connection.commit()
        wait_until(lambda: accepting.status().posted_age > 0)
        assert accepting.status().posted == 1
        page, _ = metrics_page(Figures(accepting.status), "text/plain")
        assert b"walker_outbox_waiting 1.0\n" in page
        assert b"walker_outbox_oldest_age_seconds 0.0\n" not in page
        outbox = json.loads(walker(place, "top", flow, "--once", "--json").stdout)["outbox"]
        assert (outbox["waiting"], outbox["oldestAge"] > 0) == (1, True)
        shown = walker(place, "top", flow, "--once").stdout
        assert "outbox: 1 event to be accepted, the oldest for" in shown
        assert "no process delivers now" in shown
