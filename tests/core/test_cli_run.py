"""`walker run`: events delivered, and what is said about the rest."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.core.cli_support import (
    completed,
    consent,
    event,
    ndjson,
    no_file_above_a_megabyte,
    numbers,
    objects,
    serving,
    spawned,
    to_file,
    to_server,
    walker,
    write_events,
    write_flow,
)
from walker_collector import Collector

MARKETING = {"consent": {"marketing": True}}
NO_DESTINATION: dict[str, Any] = {}
NOTHING_LEFT = {
    **{"empty": 0, "dead_dropped": 0, "waiting": 0, "lost": 0, "unrecorded": 0},
    "reason": "",
}


def figures(text: str) -> Any:
    """Return the summary that --json prints."""
    return objects(text)[-1]


def test_events_of_a_file_are_delivered_in_order(tmp_path: Path) -> None:
    out = tmp_path / "out.ndjson"
    flow = write_flow(tmp_path, {"out": to_file(out)})
    events = write_events(tmp_path, *(event(n) for n in range(1_200)))
    process = completed("run", flow, events)
    assert process.returncode == 0
    assert process.stdout == ""
    assert "1,200 read, 1,200 accepted" in process.stderr
    assert "1,200 " in process.stderr.splitlines()[-1]
    assert numbers(out) == list(range(1_200))


@pytest.mark.parametrize("arguments", [[], ["-"]])
def test_events_come_from_stdin(arguments: list[str], tmp_path: Path) -> None:
    out = tmp_path / "out.ndjson"
    flow = write_flow(tmp_path, {"out": to_file(out)})
    result = walker("run", flow, *arguments, input=ndjson([event(1), event(2)]))
    assert result.exit_code == 0
    assert numbers(out) == [1, 2]


def test_event_of_a_slow_stream_does_not_wait_for_the_next(tmp_path: Path) -> None:
    with serving() as server:
        flow = write_flow(tmp_path, {"there": to_server(server.url)})
        with spawned("run", flow) as process:
            assert process.stdin
            for n in (1, 2):
                process.stdin.write(json.dumps(event(n)) + "\n")
                process.stdin.flush()
                assert server.came.acquire(timeout=20)
            process.stdin.close()
            assert process.wait(20) == 0
    assert [body["data"]["n"] for body in server.bodies] == [1, 2]


def test_figures_as_json(tmp_path: Path) -> None:
    out = tmp_path / "out.ndjson"
    ignoring = {"mapping": {"cart": {"*": {"ignore": True}}}}
    flow = write_flow(
        tmp_path,
        {
            "out": to_file(out, **MARKETING, **ignoring),
            "strict": to_file(tmp_path / "no", **MARKETING, queue=False),
        },
    )
    lines = [
        event(1, "u1"),
        event(2, "u2"),
        {**event(3, "u1", consent={"marketing": True}), "name": "cart add"},
        consent("u1", marketing=True),
    ]
    result = walker("run", flow, "--json", input=ndjson(lines))
    assert result.exit_code == 0
    out_figures = {"delivered": 1, "held": 1, "ignored": 1, "dropped": 0}
    strict_figures = {"delivered": 1, "held": 0, "ignored": 0, "dropped": 2}
    assert figures(result.stdout) == {
        "read": 4,
        "accepted": 3,
        "passed": 0,
        "left_out": 0,
        "commands": 1,
        "bad": 0,
        "bad_lines": [],
        "complete": True,
        "signal": None,
        "destinations": {
            "out": {**out_figures, "dead": 0, **NOTHING_LEFT},
            "strict": {**strict_figures, "dead": 0, **NOTHING_LEFT},
        },
    }
    assert numbers(out) == [1]


def test_bad_lines_are_reported_by_number_and_the_rest_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "out.ndjson"
    flow = write_flow(tmp_path, {"out": to_file(out)})
    bad_command = {"name": "walker consent", "data": {"marketing": "yes"}}
    lines: list[Any] = [event(1), "", "{", {"name": "order"}, "[]", bad_command, event(2)]
    process = completed("run", flow, write_events(tmp_path, *lines))
    assert process.returncode == 1
    told = process.stderr.splitlines()
    assert [line.split(":")[0] for line in told[:4]] == ["line 3", "line 4", "line 5", "line 6"]
    assert "6 read, 2 accepted, 4 bad" in process.stderr
    assert "consent.marketing: must be true or false" in told[3]
    assert numbers(out) == [1, 2]


def test_many_bad_lines_are_counted_not_shown(tmp_path: Path) -> None:
    flow = write_flow(tmp_path, {"out": to_file(tmp_path / "out")})
    result = walker("run", flow, "--json", input="nope\n" * 1_000)
    assert result.exit_code == 1
    assert figures(result.stdout)["bad"] == 1_000
    told = [line for line in result.stderr.splitlines() if line.startswith("line ")]
    assert (len(told), told[-1].split(":")[0]) == (20, "line 20")
    assert "`walker -v run` shows all, --json has their numbers" in result.stderr
    assert figures(result.stdout)["bad_lines"] == list(range(1, 1_001))


def test_all_bad_lines_are_shown_where_more_is_asked_for(tmp_path: Path) -> None:
    flow = write_flow(tmp_path, {"out": to_file(tmp_path / "out")})
    result = walker("-v", "run", flow, input="nope\n" * 30)
    told = [line for line in result.stderr.splitlines() if line.startswith("line ")]
    assert len(told) == 30
    assert "not shown" not in result.stderr


def test_event_with_an_empty_id_is_no_command(tmp_path: Path) -> None:
    out = tmp_path / "out.ndjson"
    flow = write_flow(tmp_path, {"out": to_file(out)})
    lines = [event(1, id=""), consent(marketing=True)]
    result = walker("run", flow, "--json", input=ndjson(lines))
    found = figures(result.stdout)
    assert (found["accepted"], found["commands"]) == (1, 1)
    assert numbers(out) == [1]


def test_rejected_events_are_dead_letters_with_their_reason(tmp_path: Path) -> None:
    with serving(400) as server:
        flow = write_flow(tmp_path, {"there": to_server(server.url)})
        result = walker("run", flow, "--json", input=ndjson(event(n) for n in range(3)))
    assert result.exit_code == 1
    assert figures(result.stdout)["destinations"]["there"]["dead"] == 3
    assert "there: 3 dead: " in result.stderr
    assert "400" in result.stderr


def test_dead_letters_that_are_not_kept_fail_the_run_as_well(tmp_path: Path) -> None:
    with serving(400) as server:
        flow = write_flow(tmp_path, {"there": to_server(server.url, dlqMax=0)})
        result = walker("run", flow, "--json", input=ndjson([event(1)]))
    assert result.exit_code == 1
    assert figures(result.stdout)["destinations"]["there"]["dead"] == 1


def test_dead_letters_of_earlier_runs_do_not_fail_this_one(tmp_path: Path) -> None:
    with serving(400) as server:
        spool = {"path": str(tmp_path / "spool.db")}
        flow = write_flow(tmp_path, {"there": to_server(server.url)}, spool=spool)
        assert walker("run", flow, input=ndjson([event(1)])).exit_code == 1
        server.status = 204
        result = walker("run", flow, "--json", input=ndjson([event(2)]))
    assert result.exit_code == 0
    assert figures(result.stdout)["destinations"]["there"]["dead"] == 0
    assert "dead" not in result.stderr


def test_events_that_another_collector_made_dead_letters_fail_the_run(tmp_path: Path) -> None:
    with serving(400) as server:
        spool = {"path": str(tmp_path / "spool.db")}
        flow = write_flow(tmp_path, {"there": to_server(server.url)}, spool=spool)
        with Collector.from_file(flow) as deliverer:
            deliverer.push(event(0), wait=True)
            result = walker("run", flow, "--json", input=ndjson([event(1), event(2)]))
            assert deliverer.status_of("there").died == 3
    assert result.exit_code == 1
    assert figures(result.stdout)["destinations"]["there"]["dead"] == 2
    assert "there: 2 dead: " in result.stderr


def test_run_ends_where_the_only_destination_left_is_down(tmp_path: Path) -> None:
    out = tmp_path / "out.ndjson"
    down = to_file(tmp_path / "no such folder" / "out.ndjson")
    flow = write_flow(tmp_path, {"out": to_file(out), "down": down})
    result = walker("run", flow, "--json", input=ndjson(event(n) for n in range(3)))
    assert result.exit_code == 1
    found = figures(result.stdout)["destinations"]
    assert (found["out"]["delivered"], found["down"]["lost"]) == (3, 3)
    assert "set path to a file in a folder" in found["down"]["reason"]
    assert "; lost, since" in result.stderr


def test_what_is_left_stays_in_the_spool_for_the_next_run(tmp_path: Path) -> None:
    folder, spool = tmp_path / "later", {"path": str(tmp_path / "spool.db")}
    out = folder / "out.ndjson"
    flow = write_flow(tmp_path, {"out": to_file(out)}, spool=spool)
    first = walker("run", flow, input=ndjson([event(1), event(2)]))
    assert first.exit_code == 1
    assert f"{spool['path']} keeps the waiting events; the next `walker run`" in first.stderr
    folder.mkdir()
    second = walker("run", flow, input=ndjson([event(3)]))
    assert second.exit_code == 0
    assert numbers(out) == [1, 2, 3]


def test_timeout_bounds_the_wait(tmp_path: Path) -> None:
    with serving(503) as server:
        flow = write_flow(tmp_path, {"there": to_server(server.url)})
        result = walker("run", flow, "--timeout", "0.3", "--json", input=ndjson([event(1)]))
    assert result.exit_code == 1
    assert figures(result.stdout)["destinations"]["there"]["lost"] == 1


def test_without_a_timeout_a_run_outlasts_failures(tmp_path: Path) -> None:
    with serving(503) as server:
        flow = write_flow(tmp_path, {"there": to_server(server.url)})
        with spawned("run", flow, write_events(tmp_path, event(1)), "--json") as process:
            for _ in range(3):
                assert server.came.acquire(timeout=20)
            server.status = 204
            out, _ = process.communicate(timeout=80)
    assert process.returncode == 0
    assert figures(out)["destinations"]["there"]["delivered"] == 1


def test_reading_waits_for_room_and_nothing_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "out.ndjson"
    flow = write_flow(tmp_path, {"out": to_file(out)}, queueMax=10, queueWait=0)
    result = walker("run", flow, "--json", input=ndjson(event(n) for n in range(2_000)))
    assert result.exit_code == 0
    assert numbers(out) == list(range(2_000))


def test_reading_ends_where_no_room_is_to_be_expected(tmp_path: Path) -> None:
    down = to_file(tmp_path / "no such folder" / "out.ndjson")
    flow = write_flow(tmp_path, {"down": down}, queueMax=10, queueWait=0)
    lines = [event(n) for n in range(600)]
    result = walker("run", flow, "--json", input=ndjson(lines))
    assert result.exit_code == 1
    found = figures(result.stdout)
    assert (found["accepted"], found["complete"]) == (500, False)
    assert (
        "Error: stopped after line 500: destination down: 10 events wait already" in result.stderr
    )


def test_spool_full_of_held_events_ends_the_reading(tmp_path: Path) -> None:
    spool = {"path": str(tmp_path / "spool.db"), "maxEvents": 2}
    flow = write_flow(tmp_path, {"out": to_file(tmp_path / "out", **MARKETING)}, spool=spool)
    assert walker("run", flow, input=ndjson([event(1), event(2)])).exit_code == 0
    result = walker("run", flow, "--json", input=ndjson([event(3)]))
    assert result.exit_code == 1
    assert "Error: stopped after line 0: spool" in result.stderr
    assert "holds 2 events of at most 2" in result.stderr
    assert figures(result.stdout)["destinations"]["out"]["held"] == 2


def test_full_disk_ends_the_reading_and_keeps_what_was_accepted(tmp_path: Path) -> None:
    spool = {"path": str(tmp_path / "spool.db")}
    down = to_file(tmp_path / "no such folder" / "out.ndjson")
    flow = write_flow(tmp_path, {"down": down}, spool=spool)
    events = write_events(tmp_path, *(event(n, custom={"pad": "x" * 1_000}) for n in range(2_000)))
    process = completed("run", flow, events, "--json", preexec_fn=no_file_above_a_megabyte)
    assert process.returncode == 1
    found = figures(process.stdout)
    assert 0 < found["accepted"] < 2_000
    assert (
        f"Error: stopped after line {found['accepted']}: spool {spool['path']}: " in process.stderr
    )
    assert "the disk is full or failing" in process.stderr
    kept = objects(walker("spool", "status", flow, "--json").stdout)
    assert kept[0]["destinations"]["down"]["waiting"] == found["accepted"]


def test_events_of_a_console_are_alone_on_stdout(tmp_path: Path) -> None:
    console = {"package": "console", "config": {"settings": {"format": "ndjson"}}}
    flow = write_flow(tmp_path, {"console": console})
    process = completed("run", flow, write_events(tmp_path, event(1), "{"))
    assert [item["data"]["n"] for item in objects(process.stdout)] == [1]


def test_closed_stdout_is_no_traceback(tmp_path: Path) -> None:
    flow = write_flow(tmp_path, {"console": {"package": "console"}})
    with spawned("run", flow) as process:
        assert process.stdout
        assert process.stdin
        assert process.stderr
        process.stdout.close()
        process.stdin.write(ndjson(event(n) for n in range(10)))
        process.stdin.close()
        told = process.stderr.read()
        assert process.wait(20) == 1
    assert "Traceback" not in told
    assert "Exception ignored" not in told


def test_named_flow_of_a_file_is_run(tmp_path: Path) -> None:
    out = tmp_path / "out.ndjson"
    flow = tmp_path / "flows.json"
    flows = {name: {"destinations": {"out": to_file(tmp_path / name)}} for name in ("a", "b")}
    flow.write_text(json.dumps({"version": 4, "flows": flows}))
    assert walker("run", flow, "--flow", "b", input=ndjson([event(1)])).exit_code == 0
    assert not out.exists()
    assert numbers(tmp_path / "b") == [1]
    unnamed = walker("run", flow, input="")
    assert unnamed.exit_code == 1
    assert "name the flow to run; the file has: a, b" in unnamed.stderr


def test_flow_without_destinations_accepts_and_does_nothing(tmp_path: Path) -> None:
    flow = write_flow(tmp_path, NO_DESTINATION)
    result = walker("run", flow, input=ndjson([event(1)]))
    assert result.exit_code == 0
    assert "1 read, 1 accepted" in result.stderr
    assert "destinations: the flow uses none; its events are accepted and go" in result.stderr


@pytest.mark.parametrize("missing", ["nope.json", "."])
def test_flow_that_is_no_file_is_a_usage_error(missing: str, tmp_path: Path) -> None:
    process = completed("run", missing, cwd=tmp_path)
    assert process.returncode == 2
    assert f"'{missing}'" in process.stderr


@pytest.mark.parametrize("missing", ["nope.ndjson", "."])
def test_events_that_are_no_file_are_a_usage_error(missing: str, tmp_path: Path) -> None:
    flow = write_flow(tmp_path, NO_DESTINATION)
    process = completed("run", flow, missing, cwd=tmp_path)
    assert process.returncode == 2
    assert f"'{missing}'" in process.stderr


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "not valid JSON"),
        ('{"destinations": {"x": {"package": "nope"}}}', "no destination plugin named nope"),
    ],
)
def test_problems_of_a_flow_are_told_without_a_traceback(
    text: str, problem: str, tmp_path: Path
) -> None:
    flow = tmp_path / "flow.json"
    flow.write_text(text)
    process = completed("run", flow, stdin=-3)
    assert process.returncode == 1
    assert process.stderr.startswith(f"Error: {flow}: 1 problem\n  ")
    assert problem in process.stderr
    assert len(process.stderr.splitlines()) == 2


def test_run_beside_another_one_of_the_same_flow_ends_well(tmp_path: Path) -> None:
    spool = {"path": str(tmp_path / "spool.db")}
    with serving() as server:
        flow = write_flow(tmp_path, {"there": to_server(server.url)}, spool=spool)
        with spawned("run", flow) as process:
            assert process.stdin
            process.stdin.write(ndjson([event(1)]))
            process.stdin.flush()
            assert server.came.acquire(timeout=20)
            second = completed("run", flow, stdin=-3)
    assert second.returncode == 0, second.stderr
    assert "Traceback" not in second.stderr


def test_warnings_of_a_flow_are_short_lines_on_stderr(tmp_path: Path) -> None:
    flow = tmp_path / "flow.json"
    flow.write_text(json.dumps({"destinations": {}, "stores": {"x": {"package": "y"}}}))
    result = walker("run", flow, input="")
    assert f"warning: {flow}: stores: not run here" in result.stderr


@pytest.mark.parametrize("command", ["run", "simulate", "explain"])
def test_sources_are_no_warning_where_the_user_gives_the_events(
    command: str, tmp_path: Path
) -> None:
    flow = tmp_path / "flow.json"
    sources = {"web": {"package": "http"}}
    flow.write_text(
        json.dumps({"destinations": {"out": {"package": "console"}}, "sources": sources})
    )
    result = walker(command, flow, input=json.dumps(event(1)) + "\n")
    assert result.exit_code == 0
    assert "sources" not in result.stderr


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ([], []),
        (
            ["-v"],
            [
                "info: destination out: initialised",
                "info: destination out: batch of 1: 1 delivered",
                "info: destination out: shut down",
            ],
        ),
        (
            ["-vv"],
            [
                "debug: destination out: event e2 (page view): ignored",
                "info: destination out: initialised",
                "info: destination out: batch of 1: 1 delivered",
                "debug: destination out: event e1 (order complete): delivered; "
                "rule order *, attempt 1",
                "info: destination out: shut down",
            ],
        ),
    ],
)
def test_verbose_logs_more(option: list[str], told: list[str], tmp_path: Path) -> None:
    mapping = {"order": {"*": {"name": "Bought it"}}, "page": {"*": {"ignore": True}}}
    flow = write_flow(tmp_path, {"out": to_file(tmp_path / "out", mapping=mapping)})
    lines = [event(1, id="e1"), {**event(2, id="e2"), "name": "page view"}]
    found = walker(*option, "run", flow, input=ndjson(lines)).stderr.splitlines()
    assert [line for line in found if line.startswith(("info:", "debug:"))] == told


def test_delivered_again_is_information(tmp_path: Path) -> None:
    with serving(503) as server:
        breaker = {"threshold": 1, "cooldown": 1}
        flow = write_flow(tmp_path, {"there": to_server(server.url, breaker=breaker)})
        with spawned("-v", "run", flow, write_events(tmp_path, event(1))) as process:
            assert server.came.acquire(timeout=20)
            server.status = 204
            _, told = process.communicate(timeout=20)
    assert "info: destination there delivers again" in told


def test_name_of_any_type_is_a_bad_line_and_costs_no_other(tmp_path: Path) -> None:
    out = tmp_path / "out.ndjson"
    flow = write_flow(tmp_path, {"out": to_file(out)})
    odd = [{**event(0), "name": name} for name in ({"a": 1}, [1], None, 5, True, "\ud800 x")]
    events = write_events(tmp_path, event(1), *odd, event(2))
    result = walker("run", flow, events, "--json")
    assert result.exit_code == 1
    assert figures(result.stdout)["bad_lines"] == [2, 3, 4, 5, 6, 7]
    assert numbers(out) == [1, 2]


@pytest.mark.parametrize("linked", [False, True])
def test_events_delivered_into_their_own_file_are_read_once(linked: bool, tmp_path: Path) -> None:
    events = write_events(tmp_path, *(event(n) for n in range(2_000)))
    out = tmp_path / "link.ndjson" if linked else events
    if linked:
        out.symlink_to(events)
    process = completed("run", write_flow(tmp_path, {"out": to_file(out)}), events)
    assert process.returncode == 0
    assert "2,000 read, 2,000 accepted" in process.stderr
    assert len(events.read_text("utf-8").splitlines()) == 4_000


@pytest.mark.parametrize(
    "way",
    [
        "",
        "-wal",
        "-shm",
        "-journal",
        ".locks/write",
        "link",
        "link to -shm",
        "link to .locks/write",
    ],
)
def test_file_destination_leaves_the_spool_alone(way: str, tmp_path: Path) -> None:
    spool = tmp_path / "spool.db"
    out = tmp_path / ("out.ndjson" if "link" in way else f"spool.db{way}")
    if way.startswith("link to "):
        out.symlink_to(f"{spool}{way.removeprefix('link to ')}")
    flow = write_flow(tmp_path, {"out": to_file(out)}, spool={"path": str(spool)})
    if way == "link":  # a hard link is refused: see test_spool_files
        spool.touch()
        out.symlink_to(spool)
    process = completed("run", flow, "--timeout", "1", input=ndjson([event(1)]))
    assert process.returncode == 1
    assert "it belongs to an SQLite database, such as a spool" in process.stderr
    counts = objects(walker("spool", "status", spool, "--json").stdout)
    assert counts[0]["destinations"]["out"]["waiting"] == 1
