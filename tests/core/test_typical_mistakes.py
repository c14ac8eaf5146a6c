"""Mistakes of people who write their first flow: each message says what to write, and where."""

import json
from pathlib import Path
from typing import Any

import pytest

from walker_collector import ConfigError
from walker_collector.flow import load_flow

BELONGS = "unknown key; it belongs to config of the destination"


def problems(raw: Any, environ: dict[str, str] | None = None) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        load_flow(raw, environ=environ or {})
    return {problem.path: problem.message for problem in caught.value.problems}


def console(**config: Any) -> dict[str, Any]:
    return {"destinations": {"out": {"package": "console", "config": config}}}


def file(**entry: Any) -> dict[str, Any]:
    return {"destinations": {"out": {"package": "file", **entry}}}


@pytest.mark.parametrize(
    ("raw", "place", "message"),
    [
        ({"destinatons": {}}, "destinatons", "unknown key; did you mean destinations?"),
        (
            {"destinations": [{"package": "console"}]},
            "destinations",
            'expected an object, got a list; write {"out": {"package": "console"}}',
        ),
        (
            {"spool": {"path": "x"}, **console()},
            "spool",
            'unknown key; write it into collector: {"collector": {"spool": ...}}',
        ),
        (
            {"mapping": {}, **console()},
            "mapping",
            "unknown key; it belongs to one of the destinations",
        ),
        (
            {"default": console()},
            "default",
            'unknown key; several flows stand in flows: {"flows": {"default": ...}}',
        ),
        (
            {"flows": {"default": console()}, "destinations": {}},
            "destinations",
            "unknown key; it belongs to one of the flows",
        ),
        (
            {"flows": [console()]},
            "flows",
            'expected an object, got a list; write {"default": {"destinations": {...}}}',
        ),
        (
            {"collector": {"spool": "spool.db"}},
            "collector.spool",
            'expected an object, got a string; write {"path": "spool.db"}',
        ),
        (
            {"collector": {"maxEvents": 3}},
            "collector.maxEvents",
            'unknown key; write it into spool: {"spool": {"maxEvents": ...}}',
        ),
        (
            {"destinations": {"out": {"type": "console"}}},
            "destinations.out.type",
            "unknown key; the plugin is named by package",
        ),
        (
            {"sources": {"web": {"package": "http", "config": {"port": 8080}}}},
            "sources.web.config.port",
            'unknown key; write it into settings: {"settings": {"port": ...}}',
        ),
    ],
)
def test_outer_parts(raw: Any, place: str, message: str) -> None:
    assert problems(raw)[place] == message


@pytest.mark.parametrize(
    ("config", "place", "message"),
    [
        (
            {"format": "line"},
            "format",
            'unknown key; write it into settings: {"settings": {"format": ...}}',
        ),
        ({"settings": {"mapping": {}}}, "settings.mapping", BELONGS),
        ({"name": "x"}, "name", "unknown key; it belongs to a rule of mapping"),
        (
            {"consent": ["marketing"]},
            "consent",
            'expected an object of consent keys, such as {"marketing": true}, got a list',
        ),
        ({"include": "user"}, "include", 'expected a list, got a string; write ["user"]'),
        (
            {"batch": True},
            "batch",
            'expected an object or a number, got a boolean; write {"size": 100}',
        ),
        ({"retry": 3}, "retry", 'expected an object, got a number; write {"attempts": 3}'),
        ({"timeout": "5s"}, "timeout", "expected a whole number, got a string; write 5000 for 5 s"),
        (
            {"logger": "debug"},
            "logger",
            'expected an object, got a string; write {"level": "debug"}',
        ),
        (
            {"policy": {"user.email": True}},
            'policy["user.email"]',
            "expected a path, a list of alternatives or an object, got a boolean"
            '; a constant is written {"value": ...}',
        ),
    ],
)
def test_config_of_a_destination(config: Any, place: str, message: str) -> None:
    assert problems(console(**config))[f"destinations.out.config.{place}"] == message


@pytest.mark.parametrize(
    ("mapping", "place", "message"),
    [
        (
            {"order": {"name": "x"}},
            ".order.name",
            "is a key of a rule, where an action is expected; write"
            ' {"order": {"*": {"name": ...}}}',
        ),
        (
            {"order": [{"name": "x"}]},
            ".order",
            'expected rules by action; write {"order": {"*": [...]}}',
        ),
        (
            {"order": {"complete": "Order Completed"}},
            ".order.complete",
            'expected a rule, got a string; write {"name": "Order Completed"}',
        ),
        (
            [{"event": "order complete"}],
            "",
            'expected an object, got a list; write {"order": {"*": {...}}}',
        ),
        ({"a": {"b": {"queue": True}}}, ".a.b.queue", BELONGS),
        (
            {"a": {"b": {"data": {"total": "data.total"}}}},
            ".a.b.data.total",
            "unknown key; known: condition, consent, fn, key, loop, map, nullable, set, validate,"
            ' value; an object of values is written {"map": {"total": ...}}',
        ),
        (
            {"a": {"b": {"data": {"map": {"t": {"path": "data.total"}}}}}},
            ".a.b.data.map.t.path",
            "unknown key; write the path as key",
        ),
        (
            {"a": {"b": {"data": {"fn": "os.path.join"}}}},
            ".a.b.data.fn",
            'expected a callable, written "module:name"; write "os.path:join"',
        ),
        (
            {"a": {"b": {"data": {"fn": "lambda e: e"}}}},
            ".a.b.data.fn",
            'expected a callable, written "module:name"',
        ),
    ],
)
def test_rules(mapping: Any, place: str, message: str) -> None:
    found = problems(console(mapping=mapping))
    assert found == {f"destinations.out.config.mapping{place}": message}


def test_key_of_rule_settings_that_stands_in_the_rule() -> None:
    raw = {"package": "customerio", "config": {"settings": {"siteId": "s", "apiKey": "k"}}}
    raw["config"]["mapping"] = {"user": {"login": {"identify": {}, "settings": {"name": "x"}}}}
    found = problems({"destinations": {"cio": raw}})
    place = "destinations.cio.config.mapping.user.login"
    assert found == {
        f"{place}.identify": 'unknown key; write it into settings: {"settings": {"identify": ...}}',
        f"{place}.settings.name": "unknown key; it belongs to the rule, beside settings",
    }


@pytest.mark.parametrize(
    "text", ["$CIO_KEY", "${CIO_KEY}", "{{ CIO_KEY }}", "$ENV.CIO_KEY", "process.env.CIO_KEY"]
)
def test_variable_in_the_spelling_of_other_tools_is_a_warning(text: str) -> None:
    raw = {"package": "http", "config": {"settings": {"url": "http://x/", "method": text}}}
    raw["config"]["settings"] = {"url": "http://a/", "caFile": text}
    flow = load_flow({"destinations": {"o": raw}}, credentials=False)
    assert flow.warnings == (
        "destinations.o.config.settings.caFile: is used as it stands; a variable of the environment"
        " is $env.NAME",
    )


@pytest.mark.parametrize(
    ("name", "text", "advice"),
    [
        ("a.json", '{"a": 1,}', "remove the comma before the bracket"),
        ("a.json", '{"a": [1,\n]}', "remove the comma before the bracket"),
        ("a.json", '{\n// a flow\n"a": 1}', "JSON has no comments; remove it"),
        ("a.json", "{'a': 1}", 'text and keys stand in double quotes: "'),
        ("a.json", "{a: 1}", 'text and keys stand in double quotes: "'),
        ("a.json", '{"a": 1\n"b": 2}', "a comma is missing before it"),
        ("a.json", '{"a": True}', "write true"),
        ("a.json", '{"a": “x”}', 'typographic quotation marks are no quotes; write "'),
        ("a.json", '{"a": {"b": 1}', "the text ends too early: a bracket or a quotation mark is"),
        ("a.json", '[a.b]\nc = "d"', "it looks like TOML; give the file a name that ends in .toml"),
        ("a.yaml", "a:\n  b: 1", "YAML is not read; write it as JSON or TOML"),
        ("a.ts", "export default {}", "TypeScript is not read; write the flow as JSON"),
        ("a.toml", "a = b", "text stands in quotes"),
    ],
)
def test_text_that_cannot_be_parsed(name: str, text: str, advice: str, tmp_path: Path) -> None:
    flow = tmp_path / name
    flow.write_text(text, "utf-8")
    with pytest.raises(ConfigError) as caught:
        load_flow(flow)
    (problem,) = caught.value.problems
    assert "line" in problem.message
    assert f"; {advice}" in problem.message


def test_right_text_needs_no_advice(tmp_path: Path) -> None:
    flow = tmp_path / "flow.json"
    flow.write_text(json.dumps(file(config={"settings": {"path": str(tmp_path / "out")}})))
    assert load_flow(flow).warnings == ()
