"""Flows of walkerOS: each loads and means the same, or is refused with what to write instead."""

from typing import Any, ClassVar

import attrs
import pytest

from walker_collector import ConfigError, Secret, hookimpl
from walker_collector.config import FlowConfig
from walker_collector.flow import load_flow
from walker_collector.plugins import Registry


@attrs.frozen(kw_only=True)
class Settings:
    site: str = "none"
    size: int = 1
    rate: float | None = None
    fast: bool = False
    region: str | None = None
    key: Secret | None = None


class Plain:
    """A destination with settings of each kind, all optional."""

    settings: ClassVar = Settings

    @hookimpl
    def push(self, event: Any) -> None: ...


REGISTRY = Registry()
REGISTRY.register("plain", Plain)


def load(environ: dict[str, str] | None = None, **flow: Any) -> FlowConfig:
    """Load a flow in walkerOS's frame."""
    flow = {"config": {"platform": "server"}, "destinations": {"p": {"package": "plain"}}, **flow}
    raw = {"version": 4, "flows": {"default": flow}}
    return load_flow(raw, environ=environ or {}, registry=REGISTRY)


def load_entry(environ: dict[str, str] | None = None, **entry: Any) -> FlowConfig:
    return load(environ, destinations={"p": {"package": "plain", **entry}})


def problems(environ: dict[str, str] | None = None, **flow: Any) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        load(environ, **flow)
    return {problem.path: problem.message for problem in caught.value.problems}


def entry_problems(environ: dict[str, str] | None = None, **entry: Any) -> dict[str, str]:
    found = problems(environ, destinations={"p": {"package": "plain", **entry}})
    return {path.removeprefix("destinations.p."): text for path, text in found.items()}


# --- steps that are not run -------------------------------------------------------------------


@pytest.mark.parametrize("place", ["beside", "inside"])
@pytest.mark.parametrize("key", ["cache", "state", "require"])
def test_step_of_a_source_that_cannot_be_done_is_a_problem(key: str, place: str) -> None:
    step = {key: ["x"]}
    source = {"package": "anything", **(step if place == "beside" else {"config": step})}
    found = problems(sources={"http": source})
    assert [path.rpartition(".")[2] for path in found] == [key]


@pytest.mark.parametrize("key", ["next", "before", "hooks"])
def test_chain_of_the_collector_is_a_problem(key: str) -> None:
    assert list(problems(collector={key: {"x": "y"}})) == [f"collector.{key}"]


def test_collector_that_waits_to_be_run_is_a_problem() -> None:
    assert "there is no run command here" in problems(collector={"run": False})["collector.run"]


@pytest.mark.parametrize("nothing", [None, [], "", {}])
def test_empty_chain_changes_nothing(nothing: Any) -> None:
    source = {"next": nothing, "before": nothing, "config": {"policy": nothing}}
    flow = load(
        sources={"http": source},
        collector={"next": nothing, "hooks": nothing},
        destinations={"p": {"package": "plain", "before": nothing, "config": {"next": nothing}}},
    )
    assert list(flow.destinations) == ["p"]


def test_source_that_only_takes_events_in_is_a_warning() -> None:
    express = {
        "package": "@walkeros/server-source-express",
        "primary": True,
        "config": {"settings": {"port": 8080, "paths": ["/collect"]}, "ingest": {"ip": "req.ip"}},
    }
    assert load(sources={"http": express}).warnings == (
        "sources: not run here; `walker serve` starts them, and other events come in through push"
        " or `walker run`",
        "sources.http.config.ingest: is not read here; a setting of the source says what is kept of"
        " the request",
    )


def test_what_is_left_out_needs_no_advice() -> None:
    source = {"next": "redact", "config": {"disabled": True, "policy": {"a": "b"}}}
    entry = {"package": "plain", "before": "redact", "config": {"disabled": True, "state": "s"}}
    assert load(sources={"http": source}, destinations={"p": entry})


def test_sections_that_are_null_are_as_none() -> None:
    sections = dict.fromkeys(("sources", "transformers", "stores", "variables", "collector"))
    assert load(**sections).collector.globals == {}
    assert load(collector={"globals": None, "globalsStatic": {"a": 1}}).collector.globals == {
        "a": 1
    }


def test_keys_of_walkeros_that_change_nothing_are_read() -> None:
    flow = load(
        packages={"@walkeros/collector": {}},
        config={"platform": "server", "observe": {"level": "off"}, "bundle": {}},
        collector={"name": "shop", "release": "7", "observe": {}, "custom": {"x": "$env.NONE"}},
    )
    assert (flow.collector.name, flow.collector.release) == ("shop", "7")
    assert flow.warnings == ()


# --- require ----------------------------------------------------------------------------------


@pytest.mark.parametrize("event", ["run", "ready", "consent", "user", "globals"])
def test_required_event_that_has_happened_at_the_start_is_not_awaited(event: str) -> None:
    collector = {"consent": {"a": False}, "user": {"id": "x"}, "globals": {"a": 1}}
    entry = {"package": "plain", "config": {"require": [event]}}
    flow = load(collector=collector, destinations={"p": entry})
    assert flow.destinations["p"].config.require == []
    assert flow.warnings == ()


def test_required_consent_that_nobody_gave_says_what_to_write() -> None:
    (message,) = entry_problems(config={"require": ["consent"]}).values()
    assert 'as consent of this destination, such as {"marketing": true}' in message
    assert "or what is granted at the start as consent of the collector" in message


@pytest.mark.parametrize("event", ["session start", "session", "custom", "user", "globals"])
def test_other_required_event_is_called_an_event(event: str) -> None:
    (message,) = entry_problems(config={"require": [event]}).values()
    assert f"event {event} is not awaited" in message or f"{event} is an event" in message


# --- values -----------------------------------------------------------------------------------


def test_whole_collector_or_config_may_be_a_variable() -> None:
    flow = load(
        variables={"state": {"globals": {"a": "$env.A"}}, "c": {"settings": {"site": "s"}}},
        collector="$var.state",
        destinations={"p": {"package": "plain", "config": "$var.c"}},
        environ={"A": "x"},
    )
    assert flow.collector.globals == {"a": "x"}
    assert flow.destinations["p"].config.settings.site == "s"
    assert problems(variables={"n": 5}, collector="$var.n", destinations={"p": {"config": 5}}) == {
        "collector": "expected an object, got a number",
        "destinations.p.config": "expected an object, got a number",
        "destinations.p.package": "required: which plugin delivers the events, such as console",
    }


def test_environment_becomes_the_number_or_boolean_that_is_wanted() -> None:
    environ = {"T": "500", "R": "2.5", "YES": "true", "NO": "0", "AGE": " 10 ", "LEVEL": "2"}
    environ |= {"MODE": "all", "DAY": "1960-01-01"}
    config = {
        "timeout": "$env.T",
        "rateLimit": "$env.R",
        "queue": "$env.NO",
        "consent": {"marketing": "$env.YES"},
        "consentMode": "$env.MODE",
        "batch": "$env.T",
        "retry": {"age": "$env.AGE"},
        "logger": {"level": "$env.LEVEL"},
        "settings": {"size": "$var.size", "rate": "$env.R", "fast": "$env.YES", "site": "$env.T"},
    }
    flow = load_entry(environ, config=config, variables={"size": "$env.SIZE:7"})
    read = flow.destinations["p"].config
    assert (read.timeout, read.rate_limit, read.queue) == (500, 2.5, False)
    assert (read.consent, read.consent_mode, read.retry.age) == ({"marketing": True}, "all", 10)
    assert read.batch is not None
    assert read.batch.wait == 500
    assert read.logger is not None
    assert read.logger.level == 2
    assert read.settings == Settings(site="500", size=7, rate=2.5, fast=True)
    assert type(read.settings.site) is str
    assert load(environ, collector={"oldest": "$env.DAY"}).collector.oldest == "1960-01-01"
    assert load(environ, collector={"oldest": "$env.T"}).collector.oldest == 500


def test_environment_in_values_without_a_type_is_plain_text() -> None:
    flow = load({"A": "7"}, collector={"globals": {"a": ["$env.A"]}})
    assert flow.collector.globals == {"a": ["7"]}
    assert type(flow.collector.globals["a"][0]) is str


def test_environment_that_is_no_number_or_boolean_is_named() -> None:
    found = entry_problems(
        {"T": "soon", "B": "maybe", "R": "nan", "C": "deny", "MODE": "some", "N": "-1"},
        config={
            "timeout": "$env.T",
            "disabled": "$env.B",
            "rateLimit": "$env.R",
            "queueMax": "$env.N",
            "dlqMax": "$env.MAX:many",
            "consentMode": "$env.MODE",
            "consent": {"a": "$env.C"},
        },
    )
    assert found == {
        "config.timeout": 'expected a whole number (environment variable T holds "soon")',
        "config.disabled": 'expected true or false (environment variable B holds "maybe")',
        "config.rateLimit": 'expected a number (environment variable R holds "nan")',
        "config.queueMax": 'must be at least 0, got -1 (environment variable N holds "-1")',
        "config.dlqMax": 'expected a whole number (the default of $env.MAX is "many")',
        "config.consentMode": "not one of the choices; choices: all, any"
        ' (environment variable MODE holds "some")',
        "config.consent.a": 'expected true or false (environment variable C holds "deny")',
    }


def test_environment_that_may_be_a_credential_is_named_and_not_shown() -> None:
    environ = {"API_KEY": "k3y", "LONG": "0123456789abcdef0", "KEY": "7"}
    config = {"timeout": "$env.API_KEY", "queueMax": "$env.LONG", "dlqMax": "$secret.KEY"}
    assert entry_problems(environ, config=config) == {
        "config.timeout": "expected a whole number (from $env.API_KEY)",
        "config.queueMax": "expected a whole number (from $env.LONG)",
        "config.dlqMax": "expected a whole number, got a secret, which is text; write it as"
        " $env.NAME",
    }


def test_variables_that_a_simulation_lacks_are_as_none_given() -> None:
    config = {
        "queueMax": "$env.NONE",
        "concurrency": "$env.NONE",
        "rateLimit": "$env.NONE",
        "consentMode": "$env.NONE",
        "consent": {"a": "$env.NONE"},
        "batch": "$env.NONE",
        "mapping": {"a": {"b": {"batch": {"size": "$env.NONE"}, "skip": "$env.NONE"}}},
        "settings": {"size": "$env.NONE", "fast": "$env.NONE"},
    }
    raw = {"destinations": {"p": {"package": "plain", "config": config}}}
    flow = load_flow(raw, environ={}, registry=REGISTRY, credentials=False)
    read = flow.destinations["p"].config
    assert (read.queue_max, read.concurrency, read.rate_limit) == (10_000, None, None)
    assert (read.consent_mode, read.consent, read.batch) == ("any", {"a": False}, None)
    assert (read.settings.size, read.settings.fast) == (1, False)


@pytest.mark.parametrize("where", ["beside", "inside"])
def test_environment_may_disable_a_destination(where: str) -> None:
    disabled = {"disabled": "$env.OFF"}
    entry = disabled if where == "beside" else {"config": disabled}
    assert load_entry({"OFF": "true"}, **entry).destinations["p"].config.disabled
    assert not load_entry({"OFF": "false"}, **entry).destinations["p"].config.disabled


def test_optional_setting_whose_variable_is_not_set_is_left_out_with_a_warning() -> None:
    flow = load_entry(config={"settings": {"region": "$env.REGION", "size": "$env.SIZE"}})
    assert flow.destinations["p"].config.settings == Settings()
    at = "destinations.p.config.settings"
    assert flow.warnings == (
        f"{at}.region: environment variable REGION is not set; set it, or write a default: "
        "$env.REGION:default; it is left out",
        f"{at}.size: environment variable SIZE is not set; set it, or write a default: "
        "$env.SIZE:default; it is left out",
    )


def test_secret_or_part_of_a_text_that_is_not_set_stays_a_problem() -> None:
    settings = {"key": "$secret.KEY", "site": "https://$env.HOST", "region": "$env.R:$var.none"}
    found = entry_problems(config={"settings": settings})
    assert sorted(found) == [f"config.settings.{key}" for key in ("key", "region", "site")]


def test_empty_variable_is_none_where_a_number_or_boolean_is_optional() -> None:
    config = {"timeout": "$env.E", "disabled": "$env.E", "settings": {"region": "$env.E"}}
    read = load_entry({"E": ""}, config=config).destinations["p"].config
    assert (read.timeout, read.disabled, read.settings.region) == (None, False, "")


def test_null_is_as_none_given() -> None:
    rule = {"silent": None, "ignore": None, "name": None, "batch": None}
    config = {"queue": None, "dlqMax": None, "env": None, "mapping": {"a": {"b": rule}}}
    read = load_entry(config=config).destinations["p"].config
    assert (read.queue, read.dlq_max, read.env) == (True, 10_000, {})
    assert read.mapping is not None
    made = read.mapping["a"]["b"]
    assert not isinstance(made, list)
    assert (made.skip, made.ignore) == (False, False)


def test_timeout_of_zero_is_as_none_given() -> None:
    assert load_entry(config={"timeout": 0}).destinations["p"].config.timeout is None


def test_queue_max_alone_refuses_nothing_that_the_default_would_take() -> None:
    flow = load(collector={"queueMax": 1000})
    assert flow.collector.queue_max == 100_000
    assert flow.warnings == (
        "collector.queueMax: as in walkerOS, it refuses no event before 100,000 wait; beside "
        "queueWait it bounds how many do",
    )
    assert load(collector={"queueMax": 200_000}).collector.queue_max == 200_000
    assert load(collector={"queueMax": 10, "queueWait": 0}).collector.queue_max == 10


# --- destinations -----------------------------------------------------------------------------


def test_id_that_is_given_is_the_destinations_id() -> None:
    entries = {
        "a": {"package": "plain", "config": {"id": "crm", "require": ["b"]}},
        "b": {"package": "plain", "id": "archive"},
    }
    flow = load(destinations=entries)
    assert flow.destinations.keys() == {"crm", "archive"}
    assert flow.destinations["crm"].config.require == ["archive"]
    twice = {"a": {"package": "plain", "config": {"id": "b"}}, "b": {"package": "plain"}}
    assert problems(destinations=twice) == {"destinations.a.config.id": "another one is called b"}


def test_key_of_config_beside_it_says_where_it_stands() -> None:
    found = entry_problems(mapping={}, consent={"a": True})
    assert found == dict.fromkeys(("mapping", "consent"), "stands inside config, as in walkerOS")


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("destinationPlain", "package says it all; remove it"),
        ("$code:() => {}", "JavaScript cannot run here"),
        ({"push": "$code:(event) => console.log(event)"}, "name a package (console prints events)"),
    ],
)
def test_code_beside_a_package_says_what_to_do(code: Any, advice: str) -> None:
    found = entry_problems(code=code)
    assert list(found) == ["code"]
    assert advice in found["code"]


def test_name_of_an_export_without_a_package_asks_for_it() -> None:
    found = problems(destinations={"p": {"code": "destinationDemo"}})
    assert found == {
        "destinations.p.code": (
            "the name of an export, which says nothing here; name its package instead"
        )
    }


def test_javascript_says_what_to_write_in_its_place() -> None:
    data = {"map": {"a": "$code:(event) => 1", "b": {"fn": "$code:() => 1"}}}
    found = entry_problems(config={"data": data})
    assert found["config.data.map.a"].endswith(
        'as {"fn": "module:name"} where a mapping takes a value'
    )
    assert found["config.data.map.b.fn"].endswith('into a module and "module:name"')
    assert problems(collector={"globals": {"a": "$code:() => 1"}}) == {
        "collector.globals.a": "JavaScript ($code:) cannot run here; write the value itself"
    }
