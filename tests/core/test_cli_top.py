"""`walker top`: what the processes of a spool do, seen from another one."""

import io
import json
import re
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.core.cli_support import objects, spawned, to_file, walker, write_flow
from tests.core.sources.serve_support import flow_in
from tests.kafka_broker import KafkaBroker
from tests.support import wait_until
from walker_collector import Collector
from walker_collector.cli import main, top_screen
from walker_collector.cli import top as top_command
from walker_collector.cli.folding import cells
from walker_collector.cli.spool_access import owning, spool_of
from walker_collector.delivery import sharing
from walker_collector.inspector import publisher, spool_view
from walker_collector.moments import now_ms

EMAIL = "ines@shop.example"
CODE = "SUMMER-4711"
COLUMNS, ROWS = 80, 24


def flow_of(folder: Path) -> Path:
    destinations = {
        "out": to_file(folder / "out"),
        "crm": to_file(folder / "crm", consent={"marketing": True}),
    }
    return write_flow(folder, destinations, spool={"path": str(folder / "spool.db")})


def order(n: int) -> dict[str, Any]:
    user = {"id": f"u{n}", "email": EMAIL}
    return {"name": "order complete", "id": f"e{n}", "user": user, "data": {"code": CODE}}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have processes look for viewers, and publish them, without the wait between."""
    monkeypatch.setattr(sharing, "_INTERVAL", 0.05)
    monkeypatch.setattr(publisher, "INTERVAL", 0.05)
    monkeypatch.setattr(publisher, "_SAMPLES", 0.05)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def rows(folder: Path, table: str) -> list[Any]:
    with closing(sqlite3.connect(folder / "spool.db")) as db:
        return db.execute(f"SELECT * FROM {table}").fetchall()


def test_another_process_is_watched(tmp_path: Path) -> None:
    flow = flow_of(tmp_path)
    with spawned("run", flow) as running, ExitStack() as apart:
        assert running.stdin is not None
        running.stdin.write(f"{json.dumps(order(1))}\n")
        running.stdin.flush()
        wait_until(lambda: (tmp_path / "out").exists())
        watching = apart.enter_context(spawned("top", flow, "--once", "--json"))
        wait_until(lambda: rows(tmp_path, "process_figures") != [])
        running.stdin.write(f"{json.dumps(order(2))}\n")
        running.stdin.flush()
        wait_until(lambda: len(rows(tmp_path, "samples")) == 2)
        stored = str([rows(tmp_path, "samples"), rows(tmp_path, "process_figures")])
        said, _ = watching.communicate(timeout=30)
        assert watching.returncode == 0
        (found,) = objects(said)
        (process,) = found["processes"]
        assert (process["pid"], process["publishes"]) == (running.pid, True)
    assert EMAIL not in stored + said
    assert CODE not in stored + said
    crm, out = found["destinations"]
    assert (crm["id"], crm["held"], crm["state"]) == ("crm", 2, "idle")
    assert (out["id"], out["state"], out["waiting"], out["dead"]) == ("out", "ready", 0, 0)
    assert out["rates"]["delivered"] > 0
    assert out["call"] > 0
    live = {sample["outcome"]: sample for sample in found["live"]}
    assert live.keys() == {"delivered", "held"}
    assert (live["held"]["id"], live["held"]["person"]) == ("e2", "id:u2")
    assert live["delivered"]["sent"]["data"] == {"code": "***"}
    assert [rows(tmp_path, name) for name in ("watchers", "samples")] == [[], []]


@pytest.mark.usefixtures("quick")
def test_nothing_is_recorded_while_nobody_watches(tmp_path: Path) -> None:
    with Collector.from_file(flow_of(tmp_path)) as collector:
        watch = collector._life.own_runtime().workers.watch
        table = collector._life.own_runtime().spool.sample_table
        collector.push(order(1))
        assert watch.watchers == ()
        table.watch("killed", now_ms() + 800)
        wait_until(lambda: bool(watch.watchers))
        wait_until(lambda: bool(table.figures(0)))
        wait_until(lambda: not watch.watchers)
        assert table.figures(0) == {}


@pytest.mark.usefixtures("quick")
def test_erased_person_leaves_no_sample(tmp_path: Path) -> None:
    with Collector.from_file(flow_of(tmp_path)) as collector:
        table = collector._life.own_runtime().spool.sample_table
        spool_view.watch(table, "test")
        wait_until(lambda: bool(table.figures(0)))
        collector.push(order(1))
        wait_until(lambda: bool(table.samples(0)))
        collector.push(order(1))  # its sample is not written yet
        collector.forget({"id": "u1"})
        before = table.figures(0)
        wait_until(lambda: table.figures(0) not in (before, {}))
        assert "u1" not in str(table.samples(0))


def test_samples_of_killed_processes_go_with_the_next_start(tmp_path: Path) -> None:
    flow = flow_of(tmp_path)
    Collector.from_file(flow).close()
    with owning(spool_of(flow)) as store:
        store.sample_table.publish("killed", now_ms(), "{}", ["{}"])
    assert rows(tmp_path, "samples")
    with Collector.from_file(flow):
        wait_until(lambda: rows(tmp_path, "samples") == [])


def test_last_viewer_leaves_nothing_behind(tmp_path: Path) -> None:
    with Collector.from_file(flow_of(tmp_path)) as collector:
        table = collector._life.own_runtime().spool.sample_table
        spool_view.watch(table, "one")
        spool_view.watch(table, "two")
        table.publish("p", now_ms(), "{}", ["{}"])
        spool_view.stop_watching(table, "one")
        assert table.samples(0)
        spool_view.stop_watching(table, "two")
        assert not [text for _, text in table.samples(0) if text == "{}"]


def test_without_a_process_it_says_why_nothing_goes_out(tmp_path: Path) -> None:
    flow = flow_of(tmp_path)
    nothing = walker("top", flow, "--once")
    assert nothing.exit_code == 0
    assert "nothing has run with this flow yet" in nothing.output
    with Collector.from_config(
        {
            **json.loads(flow.read_text()),
            "collector": {"spool": {"path": str(tmp_path / "spool.db")}, "deliver": False},
        }
    ) as collector:
        collector.push(order(1))
    shown = walker("top", flow)  # no terminal: once
    assert shown.exit_code == 0
    assert re.search(r"^out +unattended .* 1 ", shown.output, re.MULTILINE)
    assert "out: no process delivers to it now. Start a collector with the flow" in shown.output


def test_flow_without_a_spool_is_refused_with_what_to_do(tmp_path: Path) -> None:
    flow = write_flow(tmp_path, {"out": to_file(tmp_path / "out")})
    refused = walker("top", flow)
    assert refused.exit_code == 1
    assert "has no spool" in refused.stderr
    assert '"spool": {"path": "spool.db"}' in refused.stderr


def test_json_is_an_object_each_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flow = flow_of(tmp_path)
    with Collector.from_file(flow):
        slept = interrupted_after(2, monkeypatch)
        shown = walker("top", flow, "--json")
    assert slept == [1.0, 1.0]
    assert shown.exit_code == 0, "Ctrl-C is the way to end it"
    first, second = objects(shown.stdout)
    assert second["at"] >= first["at"]
    assert rows(tmp_path, "watchers") == []


@pytest.mark.usefixtures("quick")
def test_screen_fits_into_80_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = "customerio-production-europe-west-1"
    destinations = {long: to_file(tmp_path / "out"), "crm": to_file(tmp_path / "none" / "crm")}
    spool = {"path": str(tmp_path / "spool.db")}
    flow = write_flow(tmp_path, destinations, spool=spool, closeTimeout=0)
    terminal = Terminal()
    for name, value in (("COLUMNS", COLUMNS), ("LINES", ROWS), ("TERM", "xterm")):
        monkeypatch.setenv(name, str(value))
    with Collector.from_file(flow) as collector:
        spool_view.watch(collector._life.own_runtime().spool.sample_table, "test")
        wait_until(lambda: bool(rows(tmp_path, "process_figures")))
        collector.push_many([order(n) for n in range(3)])
        observer = collector._life.own_runtime().spool.observer
        wait_until(lambda: observer.deliverers(long)[0].health.state == "ready")

        def push() -> None:
            known = len(rows(tmp_path, "samples"))
            collector.push(order(99))
            wait_until(lambda: len(rows(tmp_path, "samples")) > known)

        interrupted_after(3, monkeypatch, push)
        monkeypatch.setattr(sys, "stdout", terminal)
        with pytest.raises(SystemExit) as ended:
            main.main(["top", str(flow)], prog_name="walker")
    assert ended.value.code == 0
    *_, last = re.sub(
        r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.getvalue().replace("\x1b[H", "\f")
    ).split("\f")
    lines = [line.rstrip() for line in last.splitlines()]
    assert max(map(cells, lines)) <= COLUMNS
    assert len(lines) <= ROWS
    assert "1 process   Ctrl-C ends" in lines[0]
    heading = next(line for line in lines if line.startswith("destination"))
    assert heading.split() == [
        *("destination", "state", "in/s", "out/s", "call"),
        *("waiting", "oldest", "held", "dead"),
    ]
    assert any(line.startswith("customer") and " ready " in line for line in lines)
    assert any(line.startswith("crm: down:") for line in lines)
    assert any("order complete" in line and "id:u99" in line for line in lines)


@pytest.mark.parametrize(
    ("columns", "shown", "left_out"),
    [
        (80, ["customerio", "order complete", "needs marketing", "26 s", "call"], []),
        (40, ["customerio", "order complete"], ["call", "person"]),
    ],
)
def test_names_are_whole_on_a_narrow_terminal(
    columns: int,
    shown: list[str],
    left_out: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    view = {
        **{"at": 0, "processes": [], "spool": "spool.db", "note": "", "full": "", "outbox": None},
        "sources": [
            {
                **{"id": "events", "rates": {"accepted": 2_100.0}, "refused": {"invalid": 3}},
                **{"partitions": 4, "lag": {"t/0": 900, "t/1": 14_100}, "bad": 1},
            }
        ],
        "destinations": [
            {
                **{"id": "customerio", "state": "unattended", "reason": "", "hint": ""},
                **{"rates": None, "call": 12, "waiting": 3, "held": 1, "dead": 1},
                "oldestAge": 26_000,
            }
        ],
        "live": [
            {
                **{"at": 0, "outcome": "held", "destination": "customerio", "claimed": True},
                **{"event": "order complete", "person": "session:s-682b4c41-2-long", "reason": ""},
                "missing": {"required": ["marketing"], "mode": "any"},
            }
        ],
    }
    monkeypatch.setattr(top_screen, "columns_of", lambda _: columns)
    top_screen.print_view(view)
    printed = capsys.readouterr().out
    assert max(map(cells, printed.splitlines()[1:])) <= columns
    assert [text for text in shown if text not in printed] == []
    assert [text for text in left_out if text in printed] == []


def test_lag_of_a_topic_is_shown(tmp_path: Path, kafka_broker: KafkaBroker) -> None:
    topic = kafka_broker.new_topic(2)
    settings = {"brokers": kafka_broker.address, "topics": [topic], "group": topic}
    source = {"package": "kafka", "config": {"settings": settings}}
    flow = flow_in(tmp_path, {"in": source}, spool={"path": str(tmp_path / "spool.db")})
    kafka_broker.send(topic, json.dumps(order(1)).encode(), b"nonsense", partition=1)
    found: dict[str, Any] = {}

    def is_read() -> bool:
        found.update(objects(walker("top", flow, "--once", "--json").stdout)[0])
        return bool(found["sources"]) and found["sources"][0]["bad"] == 1

    with spawned("serve", flow, cwd=tmp_path):
        wait_until(is_read, lambda: str(found.get("sources")))
        (read,) = found["sources"]
        printed = walker("top", flow, "--once").stdout
    assert (read["id"], read["partitions"], read["accepted"]) == ("in", 2, 1)
    assert read["lag"] == {f"{topic}/0": 0, f"{topic}/1": 0}
    assert re.search(r"source +in/s +refused +partitions +lag +bad", printed), printed


def interrupted_after(
    sleeps: int, monkeypatch: pytest.MonkeyPatch, do: Callable[[], object] = lambda: None
) -> list[float]:
    """Have Ctrl-C come instead of the last of so many sleeps between looks; return them all."""
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        do()
        if len(slept) == sleeps:
            raise KeyboardInterrupt

    monkeypatch.setattr(top_command, "time", SimpleNamespace(sleep=sleep, monotonic=time.monotonic))
    monkeypatch.setattr(top_screen, "time", SimpleNamespace(**{**vars(time), "sleep": sleep}))
    return slept
