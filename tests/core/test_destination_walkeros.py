"""walkerOS's own destinations under their names: the same settings, the same deliveries."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.core.destination_harness import BASE, Harness
from walker_collector import Collector, ConfigError
from walker_collector.flow import load_flow
from walker_collector.plugins import Registry

API = "@walkeros/server-destination-api"
FILE = "@walkeros/server-destination-file"
DEMO = "@walkeros/destination-demo"
ORDER: dict[str, Any] = {
    "name": "order complete",
    "timestamp": 1_700_000_000_000,
    "data": {"total": 5.0, "note": 'a, "b"', "paid": True, "items": [{"sku": "t\t1"}]},
}
MAPPING = {"order": {"complete": {"name": "purchase", "data": {"map": {"value": "data.total"}}}}}


def push(package: str, settings: dict[str, Any], **config: Any) -> None:
    """Push an order through a flow of walkerOS's shape with this destination."""
    destination = {"package": f"{package}@4.4.0", "config": {"settings": settings, **config}}
    flow = {"config": {"platform": "server"}, "destinations": {"d": destination}}
    with Collector.from_config({"version": 4, "flows": {"default": flow}}) as collector:
        result = collector.push(ORDER, wait=True, timeout=20)
    assert result.destinations == {"d": "delivered"}


def problems(package: str, settings: dict[str, Any]) -> dict[str, str]:
    flow = {"destinations": {"d": {"package": package, "config": {"settings": settings}}}}
    with pytest.raises(ConfigError) as caught:
        load_flow(flow, registry=Registry().discover())
    at = "destinations.d.config.settings."
    return {item.path.removeprefix(at): item.message for item in caught.value.problems}


# --- api --------------------------------------------------------------------------------------


def test_api_takes_the_settings_of_the_original() -> None:
    settings = {"url": "https://api.example/in", "method": "PATCH", "headers": {"X-Key": "k"}}
    api = Harness(API, {**settings, "timeout": 800})
    item = api.item("order complete", {"value": 5})
    assert api.simulate(item) == [["patch", "https://api.example/in", {"value": 5}]]
    assert api.simulate(api.item("a b")) == [
        ["patch", "https://api.example/in", {**BASE, "name": "a b"}]
    ]
    assert (api.context.settings.timeout, Harness(API, settings).context.settings.timeout) == (
        800,
        5_000,
    )


def test_api_says_what_it_cannot_do() -> None:
    found = problems(API, {"url": "x", "method": "PATHC", "transform": "module:name", "batch": 5})
    assert found == {
        "url": "must be http://host/... or https://host/...",
        "method": "not one of the choices; did you mean PATCH?",
        "transform": "JavaScript cannot run here; write data of the destination, with a fn",
        "batch": "unknown key; it belongs to config of the destination",
    }
    assert (
        "$code:" in problems(API, {"url": "http://x", "transform": "$code:(x) => x"})["transform"]
    )


# --- file -------------------------------------------------------------------------------------


def test_file_writes_the_renamed_event_whatever_the_mapping_made_of_it(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "events.jsonl"
    push(FILE, {"filename": str(path)}, mapping=MAPPING)
    (line,) = path.read_text().splitlines()
    assert json.loads(line)["name"] == "purchase"
    assert json.loads(line)["data"] == ORDER["data"]


@pytest.mark.parametrize(
    ("format_", "expected"),
    [
        ("csv", '1700000000000,order complete,5,"a, ""b""",true,,"{""sku"":""t\\t1""}"\n'),
        ("tsv", '1700000000000\torder complete\t5\ta, "b"\ttrue\t\t{"sku":"t\\t1"}\n'),
    ],
)
def test_file_writes_columns(tmp_path: Path, format_: str, expected: str) -> None:
    path = tmp_path / "events"
    fields = ["timestamp", "name", "data.total", "data.note", "data.paid", "user.id"]
    columns = [*fields, "data.items.0"]
    push(FILE, {"filename": str(path), "format": format_, "fields": columns})
    assert path.read_text() == expected


def test_file_says_what_it_cannot_do() -> None:
    assert (
        "a file for each event is not supported"
        in (problems(FILE, {"filename": {"key": "data.tenant"}})["filename"])
    )


def test_columns_are_required_and_plain_paths() -> None:
    columns = {"format": "csv requires fields: the paths of the event that are its columns"}
    assert problems(FILE, {"filename": "x", "format": "csv"}) == columns
    assert problems(FILE, {"filename": "x", "format": "csv", "fields": []}) == columns
    assert problems(FILE, {"filename": "x", "format": "tsv", "fields": ["nested.*.data"]}) == {
        "fields": "nested.*.data: a path of one part, such as data.id; * is not supported"
    }


# --- demo -------------------------------------------------------------------------------------


def test_demo_prints_the_event_under_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    push(DEMO, {}, mapping=MAPPING)
    heading, _, body = capsys.readouterr().out.partition(" ")
    assert heading == "[demo]"
    assert json.loads(body)["name"] == "purchase"
    assert body.startswith('{\n  "name": "purchase",\n')


def test_demo_prints_some_values_only(capsys: pytest.CaptureFixture[str]) -> None:
    push(DEMO, {"name": "Shop", "values": ["name", "data.total", "user.none"]})
    assert capsys.readouterr().out == (
        '[Shop] {\n  "name": "order complete",\n  "data.total": 5.0\n}\n'
    )


# --- names ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("package", "hint"),
    [
        ("@walkeros/server-destination-meta", "installed: console, customerio, file, http"),
        ("@walkeros/server-destination-gcp", "installed: console, customerio, file, http"),
        ("@walkeros/web-destination-api", f"did you mean {API}?"),
        ("@walkeros/server-destination-custmerio", "did you mean customerio?"),
        ("custmerio", "did you mean customerio?"),
        ("walker-dest-customerio", "did you mean customerio?"),
    ],
)
def test_package_that_is_not_there_is_likened_to_what_is_near_only(package: str, hint: str) -> None:
    flow = {"destinations": {"d": {"package": package}}}
    with pytest.raises(ConfigError) as caught:
        load_flow(flow, registry=Registry().discover())
    assert hint in caught.value.problems[0].message
