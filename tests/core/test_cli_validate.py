"""`walker validate`: every problem of a flow, each with its place."""

import json
from pathlib import Path
from typing import Any

from tests.core.cli_support import completed, objects, to_file, walker, write_flow

TEN: dict[str, Any] = {
    "collector": {"queueMax": "many", "spol": {}},
    "destinations": {
        "crm": {"package": "htpp"},
        "hook": {
            "package": "http",
            "config": {
                "settings": {"url": "localhost", "method": "GET", "tiemout": 5},
                "consent": {"marketing": "yes"},
                "mapping": {"order": {"complete": {"nmae": "x", "data": {"map": 1}}}},
            },
        },
        "out": {"package": "file", "config": {"settings": {"path": "$env.NOT_SET_ANYWHERE"}}},
    },
}
PLACES = {
    "collector.queueMax",
    "collector.spol",
    "destinations.crm.package",
    "destinations.hook.config.consent.marketing",
    "destinations.hook.config.mapping.order.complete.data.map",
    "destinations.hook.config.mapping.order.complete.nmae",
    "destinations.hook.config.settings.method",
    "destinations.hook.config.settings.tiemout",
    "destinations.hook.config.settings.url",
    "destinations.out.config.settings.path",
}


def written(folder: Path, content: Any) -> Path:
    path = folder / "flow.json"
    path.write_text(json.dumps(content))
    return path


def test_file_and_folder_that_are_not_there_are_problems(tmp_path: Path) -> None:
    flow = tmp_path / "flow.json"
    gone = tmp_path / "gone"
    settings = {
        "crm": {"package": "http", "config": {"settings": {"url": "https://a.example"}}},
        "out": {"package": "file", "config": {"settings": {"path": str(gone / "out.ndjson")}}},
        "off": {
            "package": "file",
            "config": {"settings": {"path": str(gone / "off.ndjson")}, "disabled": True},
        },
    }
    settings["crm"]["config"]["settings"]["caFile"] = str(gone / "ca.pem")
    source = {"package": "file", "config": {"settings": {"path": str(gone / "in.ndjson")}}}
    flow.write_text(json.dumps({"destinations": settings, "sources": {"in": source}}))
    first = walker("validate", flow)
    assert first.exit_code == 1
    assert first.stdout == (
        "destinations.crm.config.settings.caFile: there is no such file: "
        f"{gone / 'ca.pem'} (line 1)\n"
    )
    del settings["crm"]["config"]["settings"]["caFile"]
    flow.write_text(json.dumps({"destinations": settings, "sources": {"in": source}}))
    result = walker("validate", flow)
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        f"destinations.out.config.settings.path: there is no folder {gone}; create it, or correct "
        "the path (line 1)",
        f"sources.in.config.settings.path: there is no such file: {gone / 'in.ndjson'} (line 1)",
    ]
    assert walker("validate", flow, "--no-credentials").exit_code == 0
    gone.mkdir()
    (gone / "in.ndjson").touch()
    assert walker("validate", flow).exit_code == 0


def test_ten_mistakes_are_ten_lines_with_ten_places(tmp_path: Path) -> None:
    flow = written(tmp_path, TEN)
    process = completed("validate", flow)
    assert process.returncode == 1
    lines = process.stdout.splitlines()
    assert {line.split(": ")[0] for line in lines} == PLACES
    assert len(lines) == 10
    assert process.stderr == f"{flow}: 10 problems\n"


def test_problems_as_json(tmp_path: Path) -> None:
    flow = written(tmp_path, TEN)
    result = walker("validate", flow, "--json")
    assert result.exit_code == 1
    (found,) = objects(result.stdout)
    assert (found["file"], found["valid"], found["warnings"]) == (str(flow), False, [])
    assert {problem["path"] for problem in found["problems"]} == PLACES
    assert all(problem["message"] and problem["line"] == 1 for problem in found["problems"])


def test_valid_flow_is_told_with_its_warnings(tmp_path: Path) -> None:
    content = {"destinations": {"out": to_file(tmp_path / "out")}, "sources": {"a": {}}}
    flow = written(tmp_path, content)
    result = walker("validate", flow)
    assert result.exit_code == 0
    assert result.stdout == f"{flow}: valid (flow default; destinations: out)\n"
    assert result.stderr.startswith("warning: sources: not run here")
    (found,) = objects(walker("validate", flow, "--json").stdout)
    assert (found["valid"], len(found["problems"]), len(found["warnings"])) == (True, 0, 1)


def test_sources_are_checked_as_they_are_served(tmp_path: Path) -> None:
    settings = {"keys": {"web": {"key": "$secret.NOT_SET_ANYWHERE"}}}
    sources = {
        "web": {"package": "http", "config": {"settings": settings}},
        "other": {"package": "not-installed"},
    }
    flow = written(tmp_path, {"destinations": {}, "sources": sources})
    assert walker("validate", flow).exit_code == 0
    result = walker("validate", flow, "--serve", "--json")
    assert result.exit_code == 1
    (found,) = objects(result.stdout)
    assert {problem["path"] for problem in found["problems"]} == {
        "sources.web.config.settings.keys.web.key",
        "sources.other.package",
    }


def test_flow_without_sources_is_checked_with_the_one_that_it_is_served_with(
    tmp_path: Path,
) -> None:
    mapping = {"user": {"leave": {"settings": {"destroy": True}}}}
    settings = {"siteId": "s", "apiKey": "k"}
    entry = {"package": "customerio", "config": {"settings": settings, "mapping": mapping}}
    flow = written(tmp_path, {"destinations": {"cio": entry}})
    (found,) = objects(walker("validate", flow, "--serve", "--json").stdout)
    assert "sources.http: anybody can send events" in found["warnings"][0]
    (found,) = objects(walker("validate", flow, "--json").stdout)
    assert found["warnings"] == []


def test_place_is_left_out_where_the_file_itself_is_the_problem(tmp_path: Path) -> None:
    flow = tmp_path / "flow.json"
    flow.write_text("{")
    result = walker("validate", flow)
    assert result.exit_code == 1
    assert result.stdout.startswith("not valid JSON: ")
    assert result.stderr == f"{flow}: 1 problem\n"


def test_environment_may_be_absent_where_told(tmp_path: Path) -> None:
    flow = write_flow(tmp_path, {"out": to_file(Path("$env.NOT_SET_ANYWHERE"))})
    assert walker("validate", flow).exit_code == 1
    assert walker("validate", flow, "--no-credentials").exit_code == 0


def test_named_flow_is_checked(tmp_path: Path) -> None:
    flow = written(tmp_path, {"version": 4, "flows": {"good": {}, "bad": TEN}})
    assert walker("validate", flow, "--flow", "good").exit_code == 0
    assert walker("validate", flow, "--flow", "bad").exit_code == 1


def test_nothing_is_written(tmp_path: Path) -> None:
    spool = {"path": str(tmp_path / "spool.db")}
    flow = write_flow(tmp_path, {"out": to_file(tmp_path / "out")}, spool=spool)
    assert walker("validate", flow).exit_code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["flow.json"]


def test_several_files_are_told_by_name_and_counted(tmp_path: Path) -> None:
    bad, ugly = written(tmp_path, TEN).rename(tmp_path / "bad.json"), tmp_path / "ugly.json"
    ugly.write_text("[]")
    good = write_flow(tmp_path, {"out": to_file(tmp_path / "out")})
    result = walker("validate", bad, good, ugly)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert [line.split(": ")[0] for line in lines] == [str(bad)] * 10 + [str(good), str(ugly)]
    assert result.stderr.splitlines()[-1] == "3 flows: 1 valid, 2 with problems"
    assert walker("validate", good, good).exit_code == 0
    found = objects(walker("validate", good, ugly, "--json").stdout)
    assert [(item["file"], item["valid"]) for item in found] == [
        (str(good), True),
        (str(ugly), False),
    ]


def test_all_flows_of_a_file_are_checked_except_those_for_browsers(tmp_path: Path) -> None:
    web = {"config": {"platform": "web"}, "destinations": {"x": {"package": "nowhere"}}}
    content = {"version": 4, "flows": {"shop": {}, "web": web, "bad.one": TEN}}
    flow = written(tmp_path, content)
    result = walker("validate", flow)
    assert result.exit_code == 1
    valid, *lines = result.stdout.splitlines()
    assert valid == f"{flow}: valid (flow shop; destinations: none)"
    assert {line.split(": ")[0] for line in lines} == {
        f'flows["bad.one"].{place}' for place in PLACES
    }
    assert result.stderr.splitlines()[-2:] == [
        f"{flow} (flow bad.one): 10 problems",
        "2 flows: 1 valid, 1 with problems",
    ]
    found = objects(walker("validate", flow, "--json").stdout)
    assert [(item["flow"], item["valid"]) for item in found] == [("shop", True), ("bad.one", False)]
    flow = written(tmp_path, {"version": 4, "flows": {"web": web, "server": {}}})
    assert walker("validate", flow).exit_code == 0
    flow = written(tmp_path, {"version": 4, "flows": {"web": web}})
    assert "a web flow runs in browsers" in walker("validate", flow).stdout
