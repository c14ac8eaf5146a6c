"""Flow files: what can be loaded, and how every mistake is told with its place."""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from walker_collector import ConfigError, Secret, hookimpl
from walker_collector.config import (
    CollectorConfig,
    DestinationConfig,
    FlowConfig,
    LoggerConfig,
    PathSpec,
    RuleConfig,
)
from walker_collector.flow import load_flow
from walker_collector.mapping import Value
from walker_collector.plugins import Registry


def _absolute(_: Any, __: Any, value: str | None) -> None:
    if value is not None and not value.startswith("https://"):
        raise ValueError("must begin with https://")


@attrs.frozen(kw_only=True)
class CrmSettings:
    site_id: str = attrs.field(metadata={"credential": True})
    api_key: Secret
    app_key: Secret | None = None
    region: Literal["us", "eu"] = "us"
    track_url: str | None = attrs.field(default=None, validator=_absolute)
    headers: dict[str, Secret] = attrs.Factory(dict)
    identify: Value | None = None


@attrs.frozen(kw_only=True)
class CrmRuleSettings:
    send_email: Value | None = None
    page: Value | None = None


class Crm:
    """A destination with everything a plugin may declare."""

    settings: ClassVar = CrmSettings
    rule_settings: ClassVar = CrmRuleSettings
    aliases: ClassVar = ("@vendor/server-destination-crm",)
    mapping: ClassVar = {
        "order": {
            "complete": {
                "name": "Purchase",
                "remove": ["internal"],
                "settings": {"sendEmail": {"map": {"to": "user.email"}}},
            },
            "view": {"name": "Viewed"},
        },
        "page": {"view": [{"name": "First"}, {"name": "Second"}]},
    }

    @hookimpl
    def push(self, event: Any) -> None: ...

    @staticmethod
    def check_settings(
        settings: CrmSettings, rules: Mapping[str, Mapping[str, Any]]
    ) -> Iterable[tuple[str, str]]:
        if settings.region == "eu" and "lead" in rules:
            yield "mapping.lead", "leads are not for the region eu"


class Plain:
    """A destination without settings."""

    @hookimpl
    def push(self, event: Any) -> None: ...


REGISTRY = Registry()
REGISTRY.register("crm", Crm)
REGISTRY.register("plain", Plain)

KEYS = {"siteId": "s", "apiKey": "k"}

WHOLE_SECRET = (
    "a secret is the whole string, with its name in capitals: $secret.NAME; inside a text write"
    " $env.NAME"
)


def load(source: Any, environ: Mapping[str, str] | None = None, **options: Any) -> FlowConfig:
    return load_flow(source, environ=environ or {}, registry=REGISTRY, **options)


def load_crm(environ: Mapping[str, str] | None = None, **config: Any) -> DestinationConfig:
    config = {"settings": KEYS, **config}
    raw = {"destinations": {"crm": {"package": "crm", "config": config}}}
    return load(raw, environ).destinations["crm"].config


def problems(
    source: Any, environ: Mapping[str, str] | None = None, **options: Any
) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        load(source, environ, **options)
    return {problem.path: problem.message for problem in caught.value.problems}


def crm_problems(environ: Mapping[str, str] | None = None, **config: Any) -> dict[str, str]:
    """Return the problems of one destination's config, by place below it."""
    config = {"settings": KEYS, **config}
    raw = {"destinations": {"crm": {"package": "crm", "config": config}}}
    start = "destinations.crm.config."
    return {path.removeprefix(start): text for path, text in problems(raw, environ).items()}


def setting(value: Any, environ: Mapping[str, str] | None = None, **variables: Any) -> Any:
    """Return what a destination-wide value becomes once references are resolved."""
    entry = {"package": "plain", "config": {"env": {"value": value}}, "variables": variables}
    flow = load({"destinations": {"d": entry}}, environ)
    return flow.destinations["d"].config.env["value"]


def setting_problem(value: Any, environ: Mapping[str, str] | None = None, **variables: Any) -> str:
    entry = {"package": "plain", "config": {"env": {"value": value}}, "variables": variables}
    found = problems({"destinations": {"d": entry}}, environ)
    return found["destinations.d.config.env.value"]


# --- reading ----------------------------------------------------------------------------------

WHOLE = {
    "version": 4,
    "$schema": "https://walkeros.io/schema/flow/v4.json",
    "include": ["./shared"],
    "contract": {"default": {}},
    "variables": {"currency": "EUR"},
    "flows": {
        "default": {
            "config": {"platform": "server", "url": "https://x", "bundle": {"packages": {}}},
            "collector": {
                "run": True,
                "consent": {"functional": True},
                "globalsStatic": {"lang": "en", "shop": 1},
                "globals": {"lang": "de"},
                "spool": {"path": "spool.db", "maxEvents": 10},
            },
            "destinations": {
                "crm": {
                    "package": "@vendor/server-destination-crm@^4.1.0",
                    "import": "destinationCrm",
                    "examples": {},
                    "env": {"a": 1, "b": 1},
                    "logger": {"level": 2},
                    "config": {
                        "settings": {"siteId": "$env.ID", "apiKey": "$secret.KEY"},
                        "consent": {"marketing": True},
                        "loadScript": True,
                        "env": {"b": 2},
                        "mapping": {"lead": {"new": {"data": {"map": {"c": "data.c"}}}}},
                    },
                }
            },
        }
    },
}


def test_walkeros_file_is_loaded_as_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "flow.json"
    path.write_text(json.dumps(WHOLE))
    flow = load(path, {"ID": "site", "KEY": "hunter2"})
    crm = flow.destinations["crm"]
    assert (flow.name, flow.source, flow.warnings) == ("default", str(path), ())
    assert (crm.plugin, crm.package) == (Crm, "@vendor/server-destination-crm@^4.1.0")
    assert crm.config.settings == CrmSettings(site_id="site", api_key=Secret("hunter2"))
    assert crm.config.env == {"a": 1, "b": 2}
    assert crm.config.logger == LoggerConfig(level=2)
    assert flow.collector.globals == {"lang": "de", "shop": 1}
    assert flow.collector.spool is not None
    assert flow.collector.spool.max_events == 10
    assert "hunter2" not in repr(flow)


def test_toml_has_the_same_keys(tmp_path: Path) -> None:
    path = tmp_path / "flow.toml"
    path.write_text(
        """
        version = 4
        [flows.default.collector.user]
        born = 1979-05-27
        [flows.default.destinations.crm]
        package = "crm"
        [flows.default.destinations.crm.config.settings]
        site_id = "s"
        apiKey = "k"
        [flows.default.destinations.crm.config.mapping.lead.new]
        include = ["data"]
        """
    )
    flow = load(str(path))
    assert flow.collector.user == {"born": "1979-05-27"}
    assert flow.destinations["crm"].config.mapping is not None
    assert flow.destinations["crm"].config.mapping["lead"]["new"] == RuleConfig(include=["data"])


def test_shorthand_is_one_flow_and_its_places_are_the_same() -> None:
    short = {"variables": {"x": "y"}, "destinations": {"p": {"package": "plain", "confg": {}}}}
    whole = {"version": 4, "flows": {"default": short}}
    assert (
        problems(short)
        == problems(whole)
        == {"destinations.p.confg": "unknown key; did you mean config?"}
    )
    assert load({"version": 4, "destinations": {}}).name == "default"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "a.json",
            '{"a": 1,\n "b" 2}',
            "not valid JSON: Expecting ':' delimiter (line 2, column 6)",
        ),
        (
            "a.json",
            '{"a": {"b": 1, "b": 2}}',
            "a.b: the key is there twice (line 1)",
        ),
        ("a.json", '{"a": NaN}', "not valid JSON: NaN is not a JSON number"),
        ("a.json", "[" * 100_000, "not valid JSON: nested too deeply"),
        ("a.json", "[]", "expected an object at the top, got a list"),
        ("a.json", b"\xff\xfe", "not UTF-8 text (line 1, byte 0)"),
        (
            "a.toml",
            "a = \n",
            "not valid TOML: Invalid value (at line 1, column 5); text stands in quotes",
        ),
        ("a.toml", "[a]\nb = [1.0, inf]", "a.b[1]: not a finite number"),
    ],
)
def test_unreadable_text_says_where(
    tmp_path: Path, name: str, text: str | bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value) == f"{path}: 1 problem\n  {message}"


def test_missing_file_says_so(tmp_path: Path) -> None:
    assert problems(tmp_path / "none.json") == {
        "": "cannot read the file: No such file or directory"
    }


def test_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "flow.json"
    path.write_bytes(b'\xef\xbb\xbf{"destinations": {}}')
    assert load(path).destinations == {}


# --- choosing ---------------------------------------------------------------------------------


def test_flow_is_chosen_by_name_else_default_else_the_only_one() -> None:
    one, two = {"collector": {"user": {"n": 1}}}, {"collector": {"user": {"n": 2}}}
    assert load({"flows": {"a": one, "b": two}}, flow="b").collector.user == {"n": 2}
    assert load({"flows": {"a": one, "default": two}}).name == "default"
    assert load({"flows": {"a": one}}).name == "a"


def test_flow_for_browsers_beside_another_one_need_not_be_told_from_it(tmp_path: Path) -> None:
    web = {"config": {"platform": "web"}, "destinations": {}}
    assert load({"flows": {"web": web, "server": {}}}).name == "server"
    assert load({"flows": {"default": web, "server": {}}}).name == "server"
    path = tmp_path / "flow.json"
    path.write_text(json.dumps({"flows": {"web": web, "shop": {"stores": {"a": {}}}}}, indent=0))
    assert any(text.endswith("(line 9)") for text in load(path).warnings)
    assert "platform" in str(problems({"flows": {"web": web}}))


def test_flow_that_is_not_clear_or_not_there_is_a_problem() -> None:
    assert problems({"flows": {"b": {}, "a": {}}}) == {
        "": "name the flow to run; the file has: a, b"
    }
    assert problems({"flows": {}}) == {
        "flows": 'there is none; write {"default": {"destinations": {...}}}'
    }
    assert problems({"flows": {"server": {}}}, flow="sever") == {
        "": "there is no flow sever; did you mean server?"
    }
    assert problems({"destinations": {}}, flow="other") == {
        "": "the file is one flow, named default; there is no other"
    }


def test_mistakes_of_other_flows_do_not_matter() -> None:
    web = {"config": {"platform": "web"}, "destinations": {"x": {"package": "unknown"}}}
    assert load({"flows": {"web": web, "server": {}}}, flow="server").name == "server"


def test_other_versions_are_refused() -> None:
    assert "version 3 is not supported" in problems({"version": 3, "flows": {}})["version"]
    assert problems({"version": "4", "flows": {}}) == {"version": "is a number; write 4"}


def test_unknown_keys_at_the_top_are_problems() -> None:
    assert problems({"flow": {}}) == {
        "flow": "unknown key; known: $schema, collector, config, contract, destinations, include,"
        " packages, sources, stores, transformers, variables, version"
    }
    assert problems({"flows": {}, "variabels": {}}) == {
        "variabels": "unknown key; did you mean variables?"
    }


def test_web_flow_is_a_problem() -> None:
    assert problems({"config": {"platform": "web"}}) == {
        "config.platform": 'a web flow runs in browsers; this runs flows with "platform": "server"'
    }


@pytest.mark.parametrize(
    "destinations", [{}, {"out": {"package": "plain", "config": {"disabled": True}}}]
)
def test_flow_whose_events_go_nowhere_is_warned_of(destinations: Any) -> None:
    (warning,) = load({"destinations": destinations}).warnings
    assert warning == "destinations: the flow uses none; its events are accepted and go nowhere"


def test_what_is_not_run_here_is_a_warning() -> None:
    idle = {"sources": {"x": {}}, "transformers": {"y": {}}, "stores": {"z": {}}}
    flow = load({**idle, "destinations": {"out": {"package": "plain"}}})
    assert flow.warnings == (
        "sources: not run here; `walker serve` starts them, and other events come in through push"
        " or `walker run`",
        "stores: not run here; nothing reads them",
    )


def test_a_warning_has_the_line_of_its_place(tmp_path: Path) -> None:
    path = tmp_path / "flow.json"
    out = '"out": {"package": "console", "config": {"data": "dta.x"}}'
    path.write_text(
        '{"flows": {"default": {\n"sources": {},\n"stores": {"z": {}},\n'
        f'"destinations": {{\n{out}}}}}}}}}'
    )
    assert [text.rpartition(" (")[2] for text in load_flow(path).warnings] == ["line 3)", "line 5)"]


def test_collector_problems_have_their_place() -> None:
    assert problems({"collector": {"queueMax": 0, "spool": {}, "consnet": {}}}) == {
        "collector.queueMax": "must be at least 1, got 0",
        "collector.spool": 'needs a path, such as "spool.db", or the url of a PostgreSQL database',
        "collector.consnet": "unknown key; did you mean consent?",
    }


def test_spool_in_a_database_has_a_url_that_is_shown_without_its_login() -> None:
    url = "postgresql://shop:hunter2-and-more@db.example:5432/events?sslmode=require"
    spool = load({"collector": {"spool": {"url": url, "leaseUrl": url}}}).collector.spool
    assert spool is not None
    assert spool.url is not None
    assert spool.url.reveal() == url
    assert spool.place == "postgresql://db.example:5432/events"
    assert "hunter2" not in repr(spool)
    assert spool.schema == "walker"
    url = "postgresql://shop:hunter2@one:5432,two,[::1]:5433/events?target_session_attrs=read-write"
    spool = load({"collector": {"spool": {"url": url}}}).collector.spool
    assert spool is not None
    assert spool.place == "postgresql://one:5432,two,[::1]:5433/events"


@pytest.mark.parametrize(
    ("spool", "place", "problem"),
    [
        ({"path": "a.db", "url": "postgresql://h/d"}, "path", "has a path and a url"),
        ({"url": "mysql://h/d"}, "url", "must be a URL of PostgreSQL"),
        ({"url": "postgresql://h:port/d"}, "url", "has a port that is no number"),
        ({"url": "postgresql://u:pa/ss@h/d"}, "url", "write %2F for a / in the password"),
        ({"url": "postgresql://u:p@ss@h/d"}, "url", "write %40 for an @ in the password"),
        ({"url": "postgres:/d"}, "url", "must be a URL of PostgreSQL"),
        ({"url": "postgresql://h/d", "schema": "Walker"}, "schema", "must be small letters"),
        ({"url": "postgresql://h/d", "schema": "pg_walker"}, "schema", "not begin with pg_"),
        ({"url": "postgresql://h/d", "schema": "public"}, "schema", "needs a schema of its own"),
        ({"url": "postgresql://h/d", "schema": "information_schema"}, "schema", "of its own"),
        (
            {"path": "postgresql://u:pass-word-9@h/d"},
            "path",
            'write {"url": "$secret.DATABASE_URL"}',
        ),
        ("postgresql://u:pass-word-9@h/d", "", 'write {"url": "$secret.DATABASE_URL"}'),
        ("spool.db", "", 'write {"path": "spool.db"}'),
    ],
)
def test_wrong_place_of_a_spool_is_a_problem(
    spool: dict[str, Any] | str, place: str, problem: str
) -> None:
    found = problems({"collector": {"spool": spool}})
    ((path, told),) = found.items()
    assert path == f"collector.spool.{place}".rstrip(".")
    assert problem in told
    assert "pass-word-9" not in told


def test_parameters_of_a_database_url_are_checked_where_its_driver_is_installed() -> None:
    pytest.importorskip("psycopg")
    found = problems({"collector": {"spool": {"url": "postgresql://h/d?sslmod=require"}}})
    assert "sslmod; did you mean sslmode?" in found["collector.spool.url"]


def test_database_in_a_refused_url_is_no_secret() -> None:
    url = "mysql://shop:hunter2-and-more@h/postgres"
    found = problems({"collector": {"spool": {"url": "postgresql://h/d", "leaseUrl": url}}})
    assert "postgresql://USER:PASSWORD@HOST" in str(found)


def test_process_that_only_accepts_needs_a_spool() -> None:
    told = "false needs a spool, from which other processes deliver; add one (collector.spool), or"
    found = problems({"collector": {"deliver": False}})
    assert found == {"collector.deliver": f"{told} leave this out"}
    assert not load({"collector": {"deliver": False, "spool": {"path": "x.db"}}}).collector.deliver
    with pytest.raises(ValueError, match=re.escape(told)):
        CollectorConfig(deliver=False)


def test_shards_without_a_spool_are_said_to_have_no_effect() -> None:
    told = "collector.shards: has no effect without a spool"
    assert told in " ".join(load({"collector": {"shards": 8}}).warnings)
    spooled = load({"collector": {"shards": 8, "spool": {"path": "x.db"}}})
    assert told not in " ".join(spooled.warnings)
    told = {"collector.shards": "must be at most 1,024, got 2,000"}
    assert problems({"collector": {"shards": 2000}}) == told


# --- references -------------------------------------------------------------------------------


def test_environment_inside_strings_with_and_without_default() -> None:
    value = "$env.HOST:localhost $env.PART/$env.EMPTY:no $env.MODE:-"
    environ = {"PART": "api", "EMPTY": ""}
    assert setting(value, environ) == "localhost api/ -"
    assert setting("$env.EMPTY", environ) == ""


def test_default_reaches_to_the_next_space_as_in_walkeros() -> None:
    assert setting("$env.HOST:localhost/api", {"HOST": "example.com"}) == "example.com"


def test_variables_keep_their_type_alone_and_are_written_into_strings() -> None:
    assert setting("$var.list", list=[1, {"a": None}]) == [1, {"a": None}]
    assert setting("$var.deep.er", deep={"er": 5}) == 5
    assert setting("a $var.n$var.f-$var.b.", n=1.0, f=1.5, b=True) == "a 11.5-true."


def test_variables_may_refer_to_variables_and_the_environment() -> None:
    assert setting({"x": ["$var.a"]}, {"E": "e"}, a="<$var.b>", b="$env.E") == {"x": ["<e>"]}


def test_inner_variables_win() -> None:
    raw = {
        "version": 4,
        "variables": {"a": "file", "b": "file", "c": "file"},
        "flows": {
            "default": {
                "variables": {"b": "flow", "c": "flow"},
                "collector": {"user": {"all": "$var.a $var.b $var.c"}},
                "destinations": {
                    "p": {
                        "package": "plain",
                        "variables": {"c": "own"},
                        "env": {"all": "$var.a $var.b $var.c"},
                    }
                },
            }
        },
    }
    flow = load(raw)
    assert flow.collector.user == {"all": "file flow flow"}
    assert flow.destinations["p"].config.env == {"all": "file flow own"}


def test_default_of_an_environment_variable_may_be_a_variable() -> None:
    assert setting("$env.X:$var.d", d="fallback") == "fallback"


def test_what_the_environment_holds_is_not_read_as_a_reference() -> None:
    assert setting("$env.X", {"X": "$env.Y $var.z"}) == "$env.Y $var.z"


@pytest.mark.parametrize("reference", ["$env.KEY", "x$env.KEY", "$secret.KEY"])
def test_environment_variable_that_is_no_text_is_a_problem(reference: str) -> None:
    entry = {"package": "plain", "config": {"data": {"value": reference}}}
    found = problems({"destinations": {"p": entry}}, {"KEY": "caf\udce9"})
    message = "environment variable KEY is not valid UTF-8"
    assert found == {"destinations.p.config.data.value": message}


def test_secret_comes_from_the_environment_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("from file\n")
    for environ in ({"KEY": "plain"}, {"KEY_FILE": str(file)}):
        value = setting("$secret.KEY", environ)
        assert isinstance(value, Secret)
        assert repr(value) == "'***'"
    assert value.reveal() == "from file"


def test_string_with_a_secret_in_a_variable_is_secret() -> None:
    value = setting("Bearer $var.token", {"T": "hunter2"}, token="$secret.T")
    assert isinstance(value, Secret)
    assert value.reveal() == "Bearer hunter2"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            "x $env.NONE",
            "environment variable NONE is not set; set it, or write a default: $env.NONE:default",
        ),
        (
            "$secret.NONE",
            "secret NONE is not set; set the environment variable NONE,"
            " or NONE_FILE to a file that holds it",
        ),
        (
            "$secret.GONE",
            "secret GONE: cannot read /no/such/file (GONE_FILE): No such file or directory",
        ),
        ("a $secret.KEY", WHOLE_SECRET),
        ("$secret.key", WHOLE_SECRET),
        (
            "$var.lst",
            "variable lst is not defined; define it under variables; did you mean list?",
        ),
        ("$var.list.x", "$var.list.x: there is no x in variable list"),
        (
            "- $var.list",
            '$var.list is a list, inside a string; use it as a whole string: "$var.list"',
        ),
        ("$var.a", "variables refer to each other in a circle: a -> b -> a"),
        ("x $var.a", "variables refer to each other in a circle: a -> b -> a"),
    ],
)
def test_reference_that_cannot_be_resolved_names_what_to_do(value: str, message: str) -> None:
    environ = {"GONE_FILE": "/no/such/file"}
    found = setting_problem(value, environ, list=[1], a="$var.b", b="-$var.a")
    assert found == message


def test_secret_file_that_is_not_text_is_a_problem(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_bytes(b"\xff")
    assert setting_problem("$secret.K", {"K_FILE": str(file)}).endswith("not UTF-8 text")


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        ("$code:(x) => x", "write the Python function into a module"),
        ("$contract.a.b", "write the value itself"),
        ("$flow.web.url", "write the value itself, or a variable"),
        ("$store.s", "give the value through code"),
    ],
)
def test_other_references_of_walkeros_say_what_to_do_instead(value: str, advice: str) -> None:
    assert advice in setting_problem(value)


def test_unresolved_reference_is_one_problem_whatever_its_place_asks_for() -> None:
    found = crm_problems(timeout="$env.NONE", batch="$var.none", consent_mode="$env.NONE")
    assert sorted(found) == ["batch", "consent_mode", "timeout"]
    assert all("not set" in text or "not defined" in text for text in found.values())


@given(st.text().filter(lambda text: "$" not in text))
def test_text_without_references_stays_as_it_is(text: str) -> None:
    assert setting(text) == text


@given(st.from_regex(r"[A-Z_][A-Z0-9_]{0,8}", fullmatch=True), st.text(), st.sampled_from("/ ?&-"))
def test_environment_value_is_written_in_verbatim(name: str, value: str, end: str) -> None:
    assert setting(f"<$env.{name}{end}", {name: value}) == f"<{value}{end}"


# --- destinations -----------------------------------------------------------------------------


def test_settings_and_rule_settings_are_instances_of_the_plugins_classes() -> None:
    config = load_crm(
        settings={**KEYS, "identify": {"map": {"a": "user.a"}}},
        mapping={"lead": {"new": [{"settings": {"page": "data.url"}}, {"name": "x"}]}},
    )
    assert isinstance(config.settings.identify, Value)
    assert config.mapping is not None
    rules = config.mapping["lead"]["new"]
    assert isinstance(rules, list)
    assert rules[0].settings == CrmRuleSettings(page=Value(PathSpec("data.url")))
    assert rules[1].settings is None


def test_every_problem_of_a_destination_is_told_at_once() -> None:
    found = crm_problems(
        settings={"apiKey": 5, "regoin": "eu"},
        queueMxa=1,
        mapping={
            "order": {"complete": {"settings": {"sendEmial": "x"}, "dta": "y"}},
            "a": {"b": 5},
        },
    )
    assert found == {
        "settings.regoin": "unknown key; did you mean region?",
        "settings.apiKey": "expected a string, got a number",
        "settings.siteId": "required, but missing",
        "mapping.order.complete.settings.sendEmial": "unknown key; did you mean sendEmail?",
        "mapping.order.complete.dta": "unknown key; did you mean data?",
        "mapping.a.b": "expected an object, got a number",
        "queueMxa": "unknown key; did you mean queueMax?",
    }


def test_example_of_the_manual() -> None:
    assert crm_problems(
        mapping={"order": {"complete": {"settings": {"sendEmial": {"map": {}}}}}}
    ) == {
        "mapping.order.complete.settings.sendEmial": "unknown key; did you mean sendEmail?",
    }


def test_destination_without_settings_takes_none() -> None:
    entry = {
        "package": "plain",
        "config": {"settings": {"url": "x"}, "mapping": {"a": {"b": {"settings": {"c": 1}}}}},
    }
    assert problems({"destinations": {"p": entry}}) == {
        "destinations.p.config.settings.url": "this package takes no settings",
        "destinations.p.config.mapping.a.b.settings.c": "this package takes no settings",
    }
    entry["config"] = {"settings": []}
    assert problems({"destinations": {"p": entry}}) == {
        "destinations.p.config.settings": "expected an object, got a list"
    }
    entry["config"] = {"settings": {}}
    assert load({"destinations": {"p": entry}}).destinations["p"].config.settings is None


def test_package_is_required_and_must_be_installed() -> None:
    found = problems({"destinations": {"a": {}, "b": {"package": "crn"}}})
    assert found["destinations.a.package"].startswith("required")
    assert found["destinations.b.package"].startswith(
        "no destination plugin named crn is installed; did you mean crm?"
    )


@pytest.mark.parametrize(
    ("key", "advice"),
    [
        ("next", "use policy, data and mapping"),
        ("cache", "remove it"),
        ("state", "remove it"),
    ],
)
def test_what_would_change_deliveries_is_refused(key: str, advice: str) -> None:
    beside = problems({"destinations": {"p": {"package": "plain", key: "x"}}})
    inside = problems({"destinations": {"p": {"package": "plain", "config": {key: "x"}}}})
    assert list(beside) == [f"destinations.p.{key}"]
    assert list(inside) == [f"destinations.p.config.{key}"]
    assert advice in beside[f"destinations.p.{key}"]


def test_inline_code_and_credentials_say_what_to_write() -> None:
    found = problems(
        {
            "destinations": {
                "p": {
                    "package": "plain",
                    "code": {"push": "$code:x"},
                    "config": {"credentials": {"key": "k"}},
                }
            }
        }
    )
    assert "name a package" in found["destinations.p.code"]
    assert "into settings" in found["destinations.p.config.credentials"]


def test_keys_beside_config_are_read_into_it() -> None:
    entry = {"package": "plain", "id": "other", "mock": 0, "disabled": True}
    config = load({"destinations": {"p": entry}}).destinations["other"].config
    assert (config.id, config.mock, config.disabled) == ("other", 0, True)


def test_what_the_plugin_cannot_work_with_is_a_problem() -> None:
    found = crm_problems(settings={**KEYS, "region": "eu"}, mapping={"lead": {"new": {}}})
    assert found == {"mapping.lead": "leads are not for the region eu"}


def test_check_may_concern_the_destination_as_a_whole() -> None:
    class Never(Plain):
        @staticmethod
        def check_settings(settings: Any, rules: Any) -> Iterable[tuple[str, str]]:
            yield "", "never"

    registry = Registry()
    registry.register("never", Never)
    with pytest.raises(ConfigError) as caught:
        load_flow({"destinations": {"n": {"package": "never"}}}, registry=registry)
    assert str(caught.value.problems[0]) == "destinations.n.config: never"


def test_function_a_mapping_cannot_call_is_a_problem_with_its_place() -> None:
    async def late(value: Any) -> Any:
        return value

    assert crm_problems(data={"map": {"x": {"fn": late}}}) == {
        "data.map.x.fn": "is async; a mapping calls plain functions"
    }


def test_required_destinations_must_exist_and_be_ready() -> None:
    def entry(*require: str, disabled: bool = False) -> dict[str, Any]:
        return {"package": "plain", "config": {"require": list(require), "disabled": disabled}}

    assert load({"destinations": {"a": entry(), "b": entry("a")}}).destinations["b"]
    found = problems(
        {
            "destinations": {
                "alpha": entry("alhpa"),
                "b": entry("off"),
                "off": entry(disabled=True),
                "c": entry("d"),
                "d": entry("c"),
                "self": entry("self"),
            }
        }
    )
    assert found == {
        "destinations.alpha.config.require": "there is no destination alhpa; did you mean alpha?",
        "destinations.b.config.require": "destination off is disabled: it is never ready",
        "destinations.c.config.require": "c and d wait for each other",
        "destinations.d.config.require": "d and c wait for each other",
        "destinations.self.config.require": "self and self wait for each other",
    }


def test_mistakes_at_every_level_are_told_together() -> None:
    found = problems(
        {
            "variabels": {},
            "config": {"platform": "web"},
            "collector": {"quueMax": 1},
            "destinations": {
                "a": {"package": "plain", "confg": {}, "config": {"batch": "x"}},
                "b": 5,
                "c": {"package": "plain", "config": "x", "env": {"y": "$var.z"}},
            },
        }
    )
    assert sorted(found) == [
        "collector.quueMax",
        "config.platform",
        "destinations.a.confg",
        "destinations.a.config.batch",
        "destinations.b",
        "destinations.c.config",
        "destinations.c.env.y",
        "variabels",
    ]


def test_flow_that_is_no_object_is_a_problem() -> None:
    assert problems({"flows": {"a": 5}}) == {"": "expected an object, got a number"}


# --- without credentials ----------------------------------------------------------------------


def test_simulation_needs_no_credentials() -> None:
    raw = {"destinations": {"crm": {"package": "crm", "config": {"settings": {}}}}}
    settings = load(raw, credentials=False).destinations["crm"].config.settings
    assert settings.api_key.reveal() == settings.app_key.reveal() == "simulated"
    assert settings.site_id == "simulated"


def test_simulation_stands_in_for_what_is_not_set() -> None:
    settings = {
        "siteId": "$env.ID",
        "apiKey": "$secret.KEY",
        "trackUrl": "$env.URL",
        "region": "$env.REGION",
        "headers": {"a": "Bearer $env.TOKEN"},
    }
    raw = {"destinations": {"crm": {"package": "crm", "config": {"settings": settings}}}}
    read = load(raw, {"ID": "real"}, credentials=False).destinations["crm"].config.settings
    assert (read.site_id, read.track_url, read.region) == ("real", "simulated", "us")
    assert read.headers["a"].reveal() == "Bearer simulated"


def test_simulation_still_finds_mistakes() -> None:
    raw = {"destinations": {"crm": {"package": "crm", "config": {"settings": {"x": "$var.y"}}}}}
    found = problems(raw, credentials=False)
    assert list(found) == ["destinations.crm.config.settings.x"]


def test_disabled_destination_needs_no_environment_but_no_mistakes_either() -> None:
    def raw(**settings: Any) -> dict[str, Any]:
        config = {"disabled": True, "settings": {"apiKey": "$secret.KEY", **settings}}
        return {"destinations": {"crm": {"package": "crm", "config": config}}}

    assert load(raw()).destinations["crm"].config.disabled
    assert list(problems(raw(regoin="eu"))) == ["destinations.crm.config.settings.regoin"]


# --- shipped rules ----------------------------------------------------------------------------


def rule(mapping: Any, entity: str = "order", action: str = "complete") -> Any:
    rules = load_crm(mapping=mapping).mapping
    assert rules is not None
    return rules[entity][action]


def test_shipped_rules_stay_active_unless_replaced() -> None:
    mapping = load_crm().mapping
    assert mapping is not None
    assert mapping == load_crm(mapping={}).mapping
    own = rule({"order": {"complete": {"data": "data"}}})
    assert own == RuleConfig(data=PathSpec("data"))
    assert rule({"order": {"complete": {"data": "data"}}}, "order", "view").name == "Viewed"
    assert rule({}).name == "Purchase"


def test_extend_builds_on_the_shipped_rule_and_null_clears() -> None:
    extended = rule(
        {
            "order": {
                "complete": {
                    "extend": {"name": None, "settings": {"sendEmail": {"map": {"cc": "user.cc"}}}},
                    "remove": ["secret"],
                }
            }
        }
    )
    assert extended.name is None
    assert extended.remove == ["secret"]
    assert set(extended.settings.send_email.spec.map) == {"to", "cc"}


def test_remove_alone_keeps_the_rest_of_the_shipped_rule() -> None:
    kept = rule({"order": {"complete": {"remove": ["a"]}}})
    assert (kept.name, kept.remove) == ("Purchase", ["a"])


def test_extend_without_remove_drops_what_the_shipped_rule_removes() -> None:
    assert rule({"order": {"complete": {"extend": {"skip": True}}}}).remove is None


def test_problem_beside_extend_keeps_its_place() -> None:
    found = crm_problems(
        mapping={"order": {"complete": {"extend": {"nam": 1}, "dta": 2}}, "x": {"y": 1}}
    )
    assert sorted(found) == [
        "mapping.order.complete.dta",
        "mapping.order.complete.extend.nam",
        "mapping.x.y",
    ]


def test_fields_beside_extend_win() -> None:
    both = rule({"order": {"complete": {"extend": {"name": "a", "skip": True}, "name": "b"}}})
    assert (both.name, both.skip) == ("b", True)


def test_extend_where_nothing_is_shipped_is_a_warning_and_remove_applies() -> None:
    entry = {
        "package": "plain",
        "config": {"mapping": {"a": {"b": {"extend": {"name": "x"}, "remove": ["y"]}}}},
    }
    flow = load({"destinations": {"p": entry}})
    assert flow.destinations["p"].config.mapping == {"a": {"b": RuleConfig(remove=["y"])}}
    assert flow.warnings == (
        "destinations.p.config.mapping.a.b.extend: no effect, the destination ships no such rule",
    )


def test_remove_alone_where_no_single_rule_is_shipped_is_a_rule_of_its_own() -> None:
    own = {"remove": ["y"]}
    for mapping, entity, action in (
        ({"a": {"b": own}}, "a", "b"),
        ({"page": {"view": own}}, "page", "view"),
    ):
        assert rule(mapping, entity, action) == RuleConfig(remove=["y"])


def test_rules_of_a_list_may_each_extend() -> None:
    rules = rule({"order": {"complete": [{"extend": {"skip": True}}, {"name": "own"}]}})
    assert [(item.name, item.skip) for item in rules] == [("Purchase", True), ("own", False)]


def test_problem_inside_extend_is_placed_there() -> None:
    found = crm_problems(
        mapping={"order": {"complete": {"extend": {"nmae": "x", "settings": {"sendEmial": "y"}}}}}
    )
    assert found == {
        "mapping.order.complete.extend.nmae": "unknown key; did you mean name?",
        "mapping.order.complete.extend.settings.sendEmial": (
            "unknown key; did you mean sendEmail?"
        ),
    }


def test_extend_of_what_cannot_be_extended_is_a_problem() -> None:
    assert crm_problems(
        mapping={"page": {"view": {"extend": {}}}, "order": {"view": {"extend": "x"}}}
    ) == {
        "mapping.page.view.extend": (
            "the destination ships several rules here; write out the rule instead"
        ),
        "mapping.order.view.extend": "expected an object, got a string",
    }


@pytest.mark.parametrize("mapping", [5, [], {"order": 5}, {"order": {"complete": "x"}}])
def test_rules_of_the_wrong_shape_are_problems(mapping: Any) -> None:
    (path,) = crm_problems(mapping=mapping)
    assert path.startswith("mapping")


def test_destinations_that_wait_for_each_other_in_a_circle_are_refused() -> None:
    def entry(require: str) -> dict[str, Any]:
        return {"package": "plain", "config": {"require": [require]}}

    found = problems({"destinations": {"a": entry("b"), "b": entry("c"), "c": entry("a")}})
    assert found["destinations.a.config.require"] == "a and b wait for each other"


# --- all at once ------------------------------------------------------------------------------


def test_what_the_plugin_finds_and_what_is_required_are_told_with_other_mistakes() -> None:
    config = {
        "settings": KEYS | {"region": "eu"},
        "mapping": {"lead": {"won": {}}, "cart": {"add": {"nmae": "x"}}},
        "require": ["nobody", 1],
        "queueMax": -1,
    }
    found = problems({"destinations": {"crm": {"package": "crm", "config": config}}})
    at = "destinations.crm.config"
    assert found == {
        f"{at}.mapping.lead": "leads are not for the region eu",
        f"{at}.mapping.cart.add.nmae": "unknown key; did you mean name?",
        f"{at}.require": "there is no destination nobody; there are: crm",
        f"{at}.require[1]": "expected a string, got a number",
        f"{at}.queueMax": "must be at least 0, got -1",
    }


def test_plugin_is_not_asked_about_settings_or_rules_that_are_wrong_themselves() -> None:
    mapping = {"lead": {"won": {"nmae": "x"}}}
    assert crm_problems(settings=KEYS | {"region": "eu"}, mapping=mapping) == {
        "mapping.lead.won.nmae": "unknown key; did you mean name?"
    }
    wrong = KEYS | {"region": "eu", "apiKey": 1}
    assert crm_problems(settings=wrong, mapping={"lead": {"won": {}}}) == {
        "settings.apiKey": "expected a string, got a number"
    }


def test_plugin_is_asked_where_the_environment_is_not_set() -> None:
    settings = KEYS | {"region": "eu", "apiKey": "$env.NOT_SET"}
    found = crm_problems(settings=settings, mapping={"lead": {"won": {}}})
    assert found.keys() == {"settings.apiKey", "mapping.lead"}


def test_rule_that_no_event_can_match_is_a_problem() -> None:
    never = (
        "one word, as rules are found by the first two words of an event's name: this one never "
        'matches; write {"order": {"complete": {...}}}'
    )
    assert crm_problems(
        mapping={"order complete": {"name": "x"}, "order": {"complete now": {}}}
    ) == {
        'mapping["order complete"]': f"a key here is an entity, {never}",
        'mapping.order["complete now"]': f"a key here is an action, {never}",
    }
    assert (
        crm_problems(mapping={"order ": {"complete": {}}})
        .popitem()[1]
        .endswith('write {"order": {"*": {...}}}')
    )
