"""Extensions by configuration: chosen in a flow, in its order, with their settings."""

import json
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from attrs import frozen

from tests.core.cli_support import walker
from walker_collector import Collector, ConfigError, Ignored, Registry, Secret, hookimpl
from walker_collector.extensions.redact import Redact
from walker_collector.extensions.sample import Sample, position
from walker_collector.flow import load_flow
from walker_collector.flow.json_schema import flow_schema
from walker_collector.testing import Recorder

PLAIN = {"package": "recorder"}


@frozen(kw_only=True)
class StampSettings:
    mark: str
    token: Secret | None = None


class Stamp:
    """Appends a mark to events, and to the calls of its destination."""

    settings: ClassVar = StampSettings

    def __init__(self, settings: StampSettings) -> None:
        self.mark = settings.mark

    @hookimpl
    def transform(self, event: Any) -> None:
        event["custom"].setdefault("marks", []).append(self.mark)

    @hookimpl(wrapper=True)
    def push(self, event: Any) -> Generator[None, Any, Any]:
        event["custom"].setdefault("calls", []).append(self.mark)
        return (yield)


class Always:
    """An extension without settings: at work wherever it is installed."""

    @hookimpl
    def transform(self, event: Any) -> None:
        event["custom"].setdefault("marks", []).append("always")


class Broken:
    @hookimpl
    def transform(self, event: Any) -> None:
        raise KeyError(event["user"]["id"])


RATE = {"settings": {"rate": 1}}


def registry_with(recorder: Recorder) -> Registry:
    registry = recorder.registry()
    for name, plugin in (("stamp", Stamp), ("always", Always), ("sample", Sample)):
        registry.register_extension(name, plugin)
    registry.register_extension("redact", Redact)
    return registry


def flow_of(extensions: Any, *ids: str, recorder: Recorder, **config: Any) -> dict[str, Any]:
    entry = recorder.entry()
    entry["config"] = {**entry.get("config", {}), **config}
    return {
        "collector": {"extensions": extensions} if extensions is not None else {},
        "destinations": dict.fromkeys(ids or ("crm",), entry),
    }


def delivered(extensions: Any, *ids: str, **config: Any) -> dict[str, dict[str, Any]]:
    """Deliver one event through a flow with these extensions; return it by destination."""
    recorder = Recorder()
    flow = flow_of(extensions, *ids, recorder=recorder, **config)
    with Collector.from_config(flow, registry=registry_with(recorder)) as collector:
        collector.push(
            "order complete",
            data={"total": 5, "card": "4000"},
            user={"id": "u1", "email": "ines@example.org"},
        )
    return {each.destination: each.event for each in recorder.deliveries}


def stamp(mark: str, **config: Any) -> dict[str, Any]:
    return {"package": "stamp", "config": {"settings": {"mark": mark}, **config}}


def test_extensions_are_at_work_in_the_order_of_the_flow() -> None:
    custom = delivered({"z": stamp("first"), "a": stamp("second")})["crm"]["custom"]
    assert custom == {"marks": ["first", "second"], "calls": ["first", "second"]}


def test_without_a_choice_the_installed_ones_without_settings_are_at_work() -> None:
    assert delivered(None)["crm"]["custom"] == {"marks": ["always"]}


def test_a_choice_leaves_the_others_out_and_a_warning_names_them() -> None:
    recorder = Recorder()
    flow = flow_of({"a": stamp("a")}, recorder=recorder)
    loaded = load_flow(flow, registry=registry_with(recorder))
    (warning,) = loaded.warnings
    assert warning.startswith("collector.extensions: always is installed, and not at work here")


def test_extensions_that_come_with_the_collector_are_not_missed() -> None:
    registry = Registry().discover()
    assert "otel" in registry.extensions()
    flow = {
        "destinations": {"log": {"package": "console"}},
        "collector": {"extensions": {"few": {"package": "sample", "config": RATE}}},
    }
    assert load_flow(flow, registry=registry).warnings == ()
    assert delivered({})["crm"].get("custom", {}) == {}


def test_an_extension_is_at_work_for_its_destinations_only() -> None:
    events = delivered({"a": stamp("a", destinations=["crm"])}, "crm", "ads")
    assert events["crm"]["custom"] == {"marks": ["a"], "calls": ["a"]}
    assert events["ads"].get("custom", {}) == {}


def test_a_disabled_extension_is_left_out() -> None:
    assert delivered({"a": stamp("a", disabled=True)})["crm"].get("custom", {}) == {}


@pytest.mark.parametrize(
    ("extensions", "path", "message"),
    [
        ([], "", "expected an object"),
        ({"a": {"package": "stmp"}}, ".a.package", "did you mean stamp?"),
        ({"a": {"config": {}}}, ".a.package", "required"),
        ({"a": {"package": "stamp"}}, ".a.config.settings.mark", "required"),
        ({"a": stamp("x", disable=True)}, ".a.config.disable", "did you mean disabled"),
        ({"a": stamp("x", destinations=["crn"])}, ".a.config.destinations", "did you mean crm?"),
        (
            {"a": {"package": "always", "config": {"settings": {"x": 1}}}},
            ".a.config.settings.x",
            "takes no settings",
        ),
        (
            {"a": {"package": "sample", "config": {"settings": {"rate": 10}}}},
            ".a.config.settings.rate",
            "must be a share from 0",
        ),
        (
            {"a": {"package": "redact", "config": {"settings": {"remove": ["id"]}}}},
            ".a.config.settings.remove",
            "is no part that can be redacted",
        ),
    ],
)
def test_mistakes_are_named_with_their_place(extensions: Any, path: str, message: str) -> None:
    recorder = Recorder()
    with pytest.raises(ConfigError) as caught:
        load_flow(flow_of(extensions, recorder=recorder), registry=registry_with(recorder))
    problems = {each.path: each.message for each in caught.value.problems}
    assert message in problems[f"collector.extensions{path}"]


def test_settings_come_from_the_environment() -> None:
    recorder = Recorder()
    flow = flow_of(
        {"s": {"package": "sample", "config": {"settings": {"rate": "$env.RATE"}}}},
        recorder=recorder,
    )
    loaded = load_flow(flow, registry=registry_with(recorder), environ={"RATE": "0.25"})
    assert loaded.collector.extensions is not None
    assert loaded.collector.extensions["s"].config.settings.rate == 0.25


def test_a_bug_of_an_extension_is_a_dead_letter_that_names_its_file(
    caplog: pytest.LogCaptureFixture,
) -> None:
    recorder = Recorder()
    registry = recorder.registry()
    registry.register_extension("broken", Broken)
    flow = flow_of(None, recorder=recorder, retry={"attempts": 1})
    with Collector.from_config(flow, registry=registry) as collector:
        result = collector.push("order complete", user={"id": "u1"}, wait=True, timeout=10)
    assert result.destinations == {"crm": "failed"}
    assert f"transform raised KeyError at {__file__}:" in caplog.text


class Wanting:
    """Its constructor takes nothing, though it has settings."""

    settings: ClassVar = StampSettings

    @hookimpl
    def transform(self, event: Any) -> None: ...


class Destination:
    @hookimpl
    def push(self, event: Any) -> None: ...

    @hookimpl
    def transform(self, event: Any) -> None: ...


def test_classes_that_would_be_without_effect_are_refused() -> None:
    with pytest.raises(Exception, match=r"write def __init__\(self, settings\)"):
        Registry().register_extension("wanting", Wanting)
    with pytest.raises(Exception, match="hook transform is never called at a destination"):
        Registry().register("destination", Destination)


# --- sample, redact -----------------------------------------------------------------------------


def sampled(rate: float, people: int, **settings: Any) -> dict[str, str]:
    """Return what became of two events of each person, where both have the same answer."""
    recorder = Recorder()
    sample = {"package": "sample", "config": {"settings": {"rate": rate, **settings}}}
    flow = flow_of({"sample": sample}, "crm", "ads", recorder=recorder)
    found: dict[str, set[str]] = {}
    with Collector.from_config(flow, registry=registry_with(recorder)) as collector:
        events = [
            {"name": "order complete", "user": {"id": f"u{number}"}}
            for number in (*range(people), *range(people))
        ]
        results = collector.push_many(events)
        assert collector.flush(20)
        status = collector.status().destinations["crm"]
    for delivery in recorder.deliveries:
        found.setdefault(delivery.event["user"]["id"], set()).add(delivery.destination)
    assert len(results) == status.delivered + status.ignored
    assert all(names == {"crm", "ads"} for names in found.values())
    assert len(recorder.deliveries) == 4 * len(found)  # both events, at both destinations
    return dict.fromkeys(found, "delivered")


def test_a_sample_has_all_events_of_its_people_everywhere_and_always_the_same_people() -> None:
    people = sampled(0.3, 200)
    assert 35 < len(people) < 85
    assert sampled(0.3, 200) == people
    assert people.keys() <= sampled(0.6, 200).keys()
    assert sampled(0.3, 200, salt="another") != people


def test_a_sample_of_none_and_of_all() -> None:
    assert sampled(0, 3) == {}
    assert len(sampled(1, 3)) == 3


PLACES = {"id:u1": 0.158828, "session:s1": 0.885013, "id:ïnes": 0.14425}


def test_who_is_in_a_sample_is_the_same_in_every_version() -> None:
    places = {key: round(position(key), 6) for key in ("id:u1", "session:s1", "id:ïnes")}
    assert places == PLACES


def test_the_reason_is_in_the_result() -> None:
    recorder = Recorder()
    sample = {"package": "sample", "config": {"settings": {"rate": 0}}}
    flow = flow_of({"sample": sample}, recorder=recorder)
    with Collector.from_config(flow, registry=registry_with(recorder)) as collector:
        result = collector.push("order complete", user={"id": "u1"}, wait=True, timeout=10)
    assert result.destinations == {"crm": "ignored"}
    assert result.reasons == {"crm": "not in the sample of 0%"}


def redacting(**settings: Any) -> Mapping[str, Any]:
    return {"redact": {"package": "redact", "config": {"settings": settings}}}


def test_redacted_parts_reach_neither_event_nor_data() -> None:
    data = {"map": {"mail": "user.email", "card": "data.card", "total": "data.total"}}
    recorder = Recorder()
    extensions = redacting(remove=["user.email", "data.none.deep"], mask=["data.card", "data.no"])
    flow = flow_of(extensions, recorder=recorder, data=data)
    with Collector.from_config(flow, registry=registry_with(recorder)) as collector:
        collector.push(
            "order complete",
            data={"total": 5, "card": "4000"},
            user={"id": "u1", "email": "ines@example.org"},
        )
    (delivery,) = recorder.deliveries
    assert delivery.data == {"card": "***", "total": 5}
    assert delivery.event["user"] == {"id": "u1"}
    assert delivery.event["data"] == {"total": 5, "card": "***"}


def test_redaction_for_one_destination_leaves_the_event_of_others_alone() -> None:
    extensions = redacting(remove=["user.email"])
    extensions["redact"]["config"]["destinations"] = ["ads"]
    events = delivered(extensions, "crm", "ads")
    assert "email" in events["crm"]["user"]
    assert "email" not in events["ads"]["user"]


# --- commands -----------------------------------------------------------------------------------


@pytest.fixture
def flow(tmp_path: Path) -> Path:
    path = tmp_path / "flow.json"
    sample = {"package": "sample", "config": {"settings": {"rate": 0.5}}}
    document = {
        "collector": {"extensions": {"sample": sample, **redacting(mask=["user.email"])}},
        "destinations": {"shown": {"package": "console"}},
    }
    path.write_text(json.dumps(document))
    return path


def test_commands_know_them(flow: Path, tmp_path: Path) -> None:
    checked = walker("validate", flow)
    assert checked.exit_code == 0, checked.output
    events = tmp_path / "events.ndjson"
    lines = [
        {"name": "page view", "user": {"id": f"u{number}", "email": "i@x.org"}}
        for number in range(20)
    ]
    events.write_text("".join(json.dumps(line) + "\n" for line in lines))
    shown = walker("simulate", flow, events, "--json").stdout.splitlines()
    statuses = [(item["status"], item.get("reason")) for item in map(json.loads, shown)]
    assert {*statuses} == {("deliver", None), ("ignored", "not in the sample of 50%")}
    assert "i@x.org" not in "".join(shown)
    run = walker("run", flow, events)
    assert run.exit_code == 0
    assert run.stdout.count("***") == sum(status == "deliver" for status, _ in statuses)
    assert json.loads(walker("schema", "--extension", "sample").stdout)["settings"]["required"]
    named = {(each["name"], each["kind"]) for each in installed()}
    assert {("sample", "extension"), ("redact", "extension")} <= named


def installed() -> Any:
    return json.loads(walker("destinations", "--json").stdout)


def test_the_schema_of_a_flow_knows_their_settings() -> None:
    recorder = Recorder()
    schema = flow_schema(registry_with(recorder))
    extensions = schema["$defs"]["CollectorConfig"]["properties"]["extensions"]
    choices = extensions["additionalProperties"]["allOf"]
    assert len(choices) == 4
    settings = schema["$defs"]["sample.ExtensionConfig"]["properties"]["settings"]
    assert "rate" in json.dumps([settings, schema["$defs"]])


def test_ignored_names_its_reason() -> None:
    assert Ignored("because").reason == "because"
