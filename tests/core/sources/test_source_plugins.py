"""Sources as plugins: found, verified, read from a flow with places in every problem, and run."""

import threading
from collections.abc import Mapping
from typing import Any, ClassVar

import attrs
import jsonschema
import pytest

from tests.support import wait_until
from walker_collector import Collector, ConfigError, PluginError, hookimpl
from walker_collector.config import FlowConfig
from walker_collector.flow import load_flow
from walker_collector.flow.json_schema import flow_schema, settings_schema
from walker_collector.plugins import Registry
from walker_collector.serving import RunningSources
from walker_collector.sources.http.settings import Settings as HttpSettings


@attrs.frozen(kw_only=True)
class Settings:
    count: int = 1
    name: str


@attrs.frozen(kw_only=True)
class OtherSettings:
    number: int = 1


class Counting:
    """A source that hands on events until its count, and waits for the stop."""

    settings: ClassVar[type] = Settings
    aliases: ClassVar[Mapping[str, type]] = {}

    @hookimpl
    def run(self, context: Any) -> None:
        events = [{"name": context.settings.name} for _ in range(context.settings.count)]
        self.results = context.accept(events)
        context.ready(f"{len(self.results)} events")
        context.stop.wait(20)


class Other(Counting):
    settings = OtherSettings


ALIAS = "@else/server-source-counting"
Counting.aliases = {ALIAS: Other}


class Kept:
    """A destination that keeps what it gets."""

    got: ClassVar[list[Any]] = []

    @hookimpl
    def push(self, event: Any) -> None:
        self.got.append(event)


def registry() -> Registry:
    made = Registry()
    made.register("kept", Kept)
    made.register_source("counting", Counting)
    return made


def load(sources: Any, *, serve: bool = True, **flow: Any) -> FlowConfig:
    raw = {"destinations": {"kept": {"package": "kept"}}, "sources": sources, **flow}
    return load_flow(raw, environ={}, registry=registry(), serve=serve)


def problems(sources: Any, **options: Any) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        load(sources, **options)
    return {problem.path: problem.message for problem in caught.value.problems}


# --- registry ---------------------------------------------------------------------------------


def test_source_is_found_by_its_name_and_by_aliases_with_settings_of_their_own() -> None:
    found = registry()
    assert found.find_source("counting") is Counting
    assert found.find_source(ALIAS) is Other


def test_sources_and_destinations_of_the_same_name_do_not_meet() -> None:
    found = Registry().discover()
    assert found.find("http") is not found.find_source("http")
    assert {(info.name, info.kind) for info in found.installed()} >= {
        ("http", "destination"),
        ("http", "source"),
    }


@pytest.mark.parametrize(
    "package", ["http", "@walkeros/server-source-express", "@walkeros/server-source-fetch"]
)
def test_source_http_comes_along_under_the_names_of_walkeros(package: str) -> None:
    assert hasattr(Registry().discover().find_source(package), "run")


def test_unknown_source_is_an_error_with_the_nearest_name() -> None:
    with pytest.raises(PluginError, match=r"no source plugin named countign .* mean counting\?"):
        registry().find_source("countign")


class Deaf:
    """A source without a hook."""


class Unmarked:
    def run(self, context: Any) -> None: ...


class Asynchronous:
    @hookimpl
    async def run(self, context: Any) -> None: ...


class Misspelt:
    @hookimpl
    def run(self, contxt: Any) -> None: ...


class Unsettled:
    settings = dict

    @hookimpl
    def run(self, context: Any) -> None: ...


class AlsoDelivers(Counting):
    @hookimpl
    def push(self, event: Any) -> None: ...


@pytest.mark.parametrize(
    ("plugin", "message"),
    [
        (AlsoDelivers, "hook push is never called at a source"),
        (Deaf, "has no run marked with @hookimpl"),
        (Unmarked, "run is not marked with @hookimpl"),
        (Asynchronous, "hook run is async"),
        (Misspelt, "has no argument contxt"),
        (Unsettled, "settings must be an attrs class"),
        (Counting(), "a source is a class"),
    ],
)
def test_class_that_breaks_the_contract_is_refused(plugin: Any, message: str) -> None:
    with pytest.raises(PluginError, match=message):
        Registry().register_source("bad", plugin)


class WithHelpers(Counting):
    def push(self, event: Any) -> None:
        """A method of its own, with the name of a destination's hook."""


class KeptByRunning(Kept):
    def run(self) -> None:
        """A method of its own, with the name of a source's hook."""


def test_methods_with_names_of_the_other_kind_are_no_hooks() -> None:
    Registry().register_source("helpers", WithHelpers)
    Registry().register("running", KeptByRunning)


# --- flow file --------------------------------------------------------------------------------


def test_settings_of_a_source_are_read_into_its_class() -> None:
    flow = load({"a": {"package": "counting@1.2", "config": {"settings": {"name": "x y"}}}})
    assert flow.sources["a"].plugin is Counting
    assert flow.sources["a"].config.settings == Settings(name="x y")


@pytest.mark.parametrize(
    ("source", "place", "message"),
    [
        ({"package": "counting", "config": {}}, "config.settings.name", "required"),
        ({"package": ALIAS, "conifg": {}}, "conifg", "did you mean config?"),
        ({"package": ALIAS, "settings": {}}, "settings", "stands inside config"),
        ({"package": "nowhere"}, "package", "no source plugin named nowhere"),
        ({"config": {}}, "package", "required: which plugin brings events in"),
        (
            {"package": "counting", "config": {"settings": {"name": "x", "count": "many"}}},
            "config.settings.count",
            "expected a whole number",
        ),
        (
            {"package": "counting", "config": {"settings": {"name": "x"}, "polciy": {}}},
            "config.polciy",
            "did you mean policy?",
        ),
        (
            {"package": "counting", "config": {"settings": {"name": "$env.ABSENT"}}},
            "config.settings.name",
            "ABSENT",
        ),
        (
            {
                "package": "counting",
                "config": {"settings": {"name": "x"}, "mapping": {"a": {"b": {"nmae": "c d"}}}},
            },
            "config.mapping.a.b.nmae",
            "did you mean name?",
        ),
    ],
)
def test_mistake_in_a_source_is_a_problem_with_its_place(
    source: Any, place: str, message: str
) -> None:
    found = problems({"web": source})
    assert list(found) == [f"sources.web.{place}"]
    assert message in found[f"sources.web.{place}"]


def test_places_of_the_source_http_are_those_of_the_file() -> None:
    raw = {
        "destinations": {},
        "sources": {"web": {"package": "http", "config": {"settings": {"port": 70_000}}}},
    }
    with pytest.raises(ConfigError, match=r"sources\.web\.config\.settings\.port: must be between"):
        load_flow(raw, serve=True)


@pytest.mark.parametrize("package", ["nowhere", "@walkeros/server-source-gcp"])
def test_source_that_is_not_installed_is_a_warning_where_it_is_not_started(package: str) -> None:
    flow = load({"web": {"package": package, "config": {"settings": {"any": 1}}}}, serve=False)
    assert flow.sources == {}
    (warning,) = flow.warnings
    assert warning.startswith("sources: not run here; `walker serve` starts them")


def test_secrets_of_a_source_are_not_needed_where_it_is_not_started() -> None:
    source = {"package": "counting", "config": {"settings": {"name": "$secret.ABSENT"}}}
    assert load({"web": source}, serve=False).sources == {}  # and nothing stands in for them


@pytest.mark.parametrize("where", ["beside", "inside"])
def test_disabled_source_is_left_out(where: str) -> None:
    off = {"disabled": True}
    source = {"package": "nowhere", **(off if where == "beside" else {"config": off})}
    assert load({"web": source}).sources == {}


EXPRESS = {
    "package": "@walkeros/server-source-express",
    "code": "sourceExpress",
    "primary": True,
    "config": {
        "settings": {
            "port": 0,
            "paths": ["/collect", {"path": "/pixel", "methods": ["GET"]}],
            "cors": {"origin": ["https://a.example"], "credentials": True, "maxAge": 60},
            "status": True,
        },
        "async": False,
        "ingest": {"map": {"ip": {"key": "ip"}}},
    },
}
FETCH = {
    "package": "@walkeros/server-source-fetch",
    "config": {
        "settings": {"healthPath": "/up", "maxRequestSize": 1000, "maxBatchSize": 7, "cors": True}
    },
}


def test_two_sources_of_one_id_are_a_problem() -> None:
    config = {"id": "b", "settings": {"name": "x y"}}
    found = problems({"a": {"package": "counting", "config": config}, "b": {"package": ALIAS}})
    assert found == {"sources.a.config.id": "another one is called b"}


def test_flow_of_walkeros_with_its_server_sources_loads_unchanged() -> None:
    flow = {"config": {"platform": "server"}, "sources": {"express": EXPRESS, "fetch": FETCH}}
    read = load_flow({"version": 4, "flows": {"default": flow}}, serve=True).sources
    express: HttpSettings = read["express"].config.settings.common()
    assert [route.path for route in express.routes] == ["/collect", "/pixel"]
    assert (express.cors, express.port, express.segment) == (["https://a.example"], 0, False)
    fetch: HttpSettings = read["fetch"].config.settings.common()
    assert (fetch.max_body, fetch.max_batch, fetch.cors) == (1000, 7, True)


def test_walkeros_sources_take_the_settings_of_http_that_they_lack() -> None:
    more = {"maxConnections": 9, "bodyTimeout": 8, "keepAlive": 7, "learnConsent": False}
    more |= {"segment": True, "acknowledge": "delivered", "timeout": 6, "maxBody": 5, "maxBatch": 4}
    for package in ("express", "fetch"):
        source = {"package": f"@walkeros/server-source-{package}", "config": {"settings": more}}
        flow = load_flow({"destinations": {}, "sources": {"a": source}}, serve=True)
        assert flow.sources["a"].config.settings.common() == HttpSettings(
            max_connections=9,
            body_timeout=8,
            keep_alive=7,
            learn_consent=False,
            segment=True,
            acknowledge="delivered",
            timeout=6,
            max_body=5,
            max_batch=4,
        )


def test_settings_of_fetch_have_both_names_and_spellings() -> None:
    for settings in ({"maxRequestSize": 7}, {"max_request_size": 7}, {"maxBody": 7}):
        source = {"package": "@walkeros/server-source-fetch", "config": {"settings": settings}}
        flow = load_flow({"destinations": {}, "sources": {"a": source}}, serve=True)
        assert flow.sources["a"].config.settings.common().max_body == 7


def http_problem(**settings: Any) -> str:
    source = {"package": "http", "config": {"settings": settings}}
    with pytest.raises(ConfigError) as caught:
        load_flow({"destinations": {}, "sources": {"web": source}}, serve=True)
    (problem,) = caught.value.problems
    return str(problem).removeprefix("sources.web.config.settings.")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"cors": ["shop.example"]},
            "cors: shop.example: an origin begins with its scheme; write https://shop.example",
        ),
        (
            {"cors": ["https://a.example", "localhost:3000"]},
            "cors: localhost:3000: an origin begins with its scheme; write https://localhost:3000",
        ),
        (
            {"cors": ["http://shop.example/teas?a=1"]},
            "cors: http://shop.example/teas?a=1: an origin has no path; write http://shop.example",
        ),
        (
            {"cors": ["https://shop.example:443"]},
            "cors: https://shop.example:443: browsers leave out the usual port; write"
            " https://shop.example",
        ),
        ({"cors": ["*"]}, "cors: * is no origin; for pages of any origin write true"),
        (
            {"cors": ["https://*.shop.example"]},
            "cors: https://*.shop.example: each origin is written by itself, without *",
        ),
        ({"cors": ["a b"]}, "cors: 'a b' is no origin, such as https://shop.example"),
        (
            {"keys": {"web": {"key": "k", "origins": ["shop.example"]}}},
            "keys.web.origins: shop.example: an origin begins with its scheme; write"
            " https://shop.example",
        ),
        (
            {"keys": {"web": {"key": "k", "origins": ["*"]}}},
            "keys.web.origins: * is no origin; for pages of any origin leave this out",
        ),
        (
            {"path": "/health"},
            "path: /health tells of the server itself; write another path, or another healthPath",
        ),
        (
            {"paths": ["/a", {"path": "/ready"}]},
            "paths: /ready tells of the server itself; write another path",
        ),
        ({"path": "/metrics"}, "path: /metrics tells of the server itself; write another path"),
        (
            {"path": "/up", "healthPath": "/up"},
            "path: /up tells of the server itself; write another path, or another healthPath",
        ),
        (
            {"healthPath": "/ready"},
            "healthPath: /ready has an answer of its own; write another path, such as /health",
        ),
        ({"healthPath": "up"}, "healthPath: must begin with /; write /up"),
        (
            {"path": "/a?b=1"},
            "path: /a?b=1: a path has no query, and is written without % escapes",
        ),
        ({"paths": []}, "paths: names no path; leave it out for /collect"),
        (
            {"paths": [{"path": "/a", "methods": []}]},
            "paths: /a has no methods; leave them out for GET and POST",
        ),
        (
            {"path": "/v1/t", "segment": True},
            'path: /v1/t is Segment\'s; write another path, or "segment": false',
        ),
    ],
)
def test_address_that_can_never_match_says_what_to_write(
    settings: dict[str, Any], message: str
) -> None:
    assert http_problem(**settings) == message


def test_origins_and_paths_that_may_be() -> None:
    origins = ["http://localhost:3000/", "https://[::1]:8443", "null", "capacitor://localhost"]
    settings = {"cors": origins, "paths": ["/v1/t", "/healthy"], "segment": False}
    source = {"package": "http", "config": {"settings": settings}}
    flow = load_flow({"destinations": {}, "sources": {"web": source}}, serve=True)
    assert flow.sources["web"].config.settings.cors == origins
    with pytest.raises(ValueError, match="is Segment's"):
        HttpSettings(path="/v1/t")


@pytest.mark.parametrize(
    ("origin", "cors"),
    [("*", True), (["*"], True), ("https://a.example", ["https://a.example"])],
)
def test_origins_of_walkeros_mean_the_same(origin: Any, cors: Any) -> None:
    settings = {"cors": {"origin": origin}}
    source = {"package": "@walkeros/server-source-express", "config": {"settings": settings}}
    flow = load_flow({"destinations": {}, "sources": {"a": source}}, serve=True)
    assert flow.sources["a"].config.settings.common().cors == cors


@pytest.mark.parametrize(
    ("source", "valid"),
    [
        (EXPRESS, True),
        (FETCH, True),
        ({"package": "http", "config": {"settings": {"port": 8080}}}, True),
        ({"package": "http", "config": {"settings": {"prot": 8080}}}, False),
        ({"package": "http", "next": "a", "before": ["b"]}, True),
        ({"package": "http", "cache": {}}, False),
        ({"package": "http", "config": {"policy": {"user.ip": {"value": ""}}}}, True),
        ({"package": "not-installed", "config": {"settings": {"any": 1}}}, True),
        ({}, True),
    ],
)
def test_schema_of_a_flow_describes_its_sources(source: Any, valid: bool) -> None:
    schema = jsonschema.Draft202012Validator(flow_schema(Registry().discover()))
    raw = {"sources": {"web": {key: item for key, item in source.items() if key != "code"}}}
    assert schema.is_valid(raw) is valid


# --- running ----------------------------------------------------------------------------------


def running(collector: Collector, **options: Any) -> RunningSources:
    return RunningSources(collector, collector.flow.sources, registry(), **options)


def test_source_hands_on_events_until_it_is_told_to_stop() -> None:
    Kept.got.clear()
    settings = {"settings": {"name": "page view", "count": 3}}
    flow = load({"a": {"package": "counting", "config": settings}})
    places: list[tuple[str, str]] = []
    with Collector(flow, registry()) as collector:
        sources = running(collector, ready=lambda *told: places.append(told))
        wait_until(lambda: places)
        assert sources.running
        assert sources.stop()
        assert not sources.running
    assert places == [("a", "3 events")]
    assert [event["name"] for event in Kept.got] == ["page view"] * 3


class Failing:
    @hookimpl
    def run(self, context: Any) -> None:
        raise ValueError("their data")


def test_source_that_fails_ends_all_and_tells_no_data() -> None:
    found = registry()
    found.register_source("failing", Failing)
    raw = {
        "destinations": {"kept": {"package": "kept"}},
        "sources": {
            "bad": {"package": "failing"},
            "good": {"package": "counting", "config": {"settings": {"name": "a b"}}},
        },
    }
    flow = load_flow(raw, registry=found, serve=True)
    with Collector(flow, found) as collector:
        sources = RunningSources(collector, flow.sources, found)
        wait_until(lambda: not sources.running)
        assert sources.stop()
    (failure,) = sources.failures
    assert str(failure).startswith(f"source bad raised ValueError at {__file__}:")
    assert "-vv or WALKER_DEBUG=1 shows the traceback" in str(failure)
    assert "their data" not in str(failure)


def test_source_that_ignores_the_stop_is_named_with_what_its_author_does(
    caplog: pytest.LogCaptureFixture,
) -> None:
    go_on = threading.Event()

    class Deaf(Counting):
        @hookimpl
        def run(self, context: Any) -> None:
            go_on.wait(20)

    found = registry()
    found.register_source("deaf", Deaf)
    entry = {"package": "deaf", "config": {"settings": {"name": "page view"}}}
    raw = {
        "collector": {"closeTimeout": 0},
        "destinations": {"kept": {"package": "kept"}},
        "sources": {"web": entry},
    }
    flow = load_flow(raw, environ={}, registry=found, serve=True)
    with Collector(flow, found) as collector:
        sources = RunningSources(collector, flow.sources, found)
        assert not sources.stop()
        go_on.set()
        wait_until(lambda: not sources.running)
    (told,) = (item.getMessage() for item in caplog.records if "did not end" in item.getMessage())
    assert told.startswith(
        "source web did not end within 1 s (collector.closeTimeout and a second)"
    )
    assert "context.grace" in told
    assert "context.stop" in told


def test_class_without_a_docstring_has_no_empty_description_in_the_schema() -> None:
    described = settings_schema(Counting)
    assert (described["type"], "description" in described) == ("object", False)


def test_full_spool_comes_back_as_results_and_refuses_nothing_that_fits() -> None:
    blocked = threading.Event()

    class Blocked:
        @hookimpl
        def push(self, event: Any) -> None:
            blocked.wait(20)

    found = registry()
    found.register("blocked", Blocked)
    raw = {
        "collector": {"queueMax": 2, "queueWait": 1, "closeTimeout": 5_000},
        "destinations": {"slow": {"package": "blocked"}},
        "sources": {"a": {"package": "counting", "config": {"settings": {"name": "a b"}}}},
    }
    flow = load_flow(raw, registry=found, serve=True)
    with Collector(flow, found) as collector:
        results = [collector.push_from("a", [{"name": "a b"}])[0] for _ in range(6)]
        kinds = {type(result).__name__ for result in results}
        blocked.set()
    assert kinds == {"PushResult", "SpoolFull"}
    accepted = [result for result in results if type(result).__name__ == "PushResult"]
    assert collector.status().destinations["slow"].delivered == len(accepted)
