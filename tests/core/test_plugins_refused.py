"""What would be taken for a hook that did its work, although it never began, is refused."""

import functools
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from attrs import frozen

from walker_collector import Collector, ConfigError, PluginError, Registry, Rejected, hookimpl
from walker_collector.checking import check_destinations
from walker_collector.flow import load_flow


class Async:
    @hookimpl
    async def push(self, event: dict[str, Any]) -> None:
        raise AssertionError


class Generator:
    @hookimpl
    def push(self, event: dict[str, Any]) -> Any:
        yield


class Unmarked:
    def init(self) -> None:
        raise AssertionError

    @hookimpl
    def push(self, event: dict[str, Any]) -> None:
        raise AssertionError


class Sized:
    batch_size = "x"

    @hookimpl
    def push(self, event: dict[str, Any]) -> None:
        raise AssertionError


class Misspelt:
    @hookimpl
    def push(self, event: dict[str, Any]) -> None:
        raise AssertionError

    @hookimpl
    def push_bacth(self, batch: Any) -> None:
        raise AssertionError


class Selfless:
    @hookimpl
    def push(event: dict[str, Any], data: Any) -> None:  # noqa: N805  # that is the mistake
        raise AssertionError


class Demanding:
    def __init__(self, url: str, *, token: str, timeout: int = 1) -> None:
        raise AssertionError

    @hookimpl
    def push(self, event: dict[str, Any]) -> None:
        raise AssertionError


@dataclass
class PlainSettings:
    url: str


class Plain:
    settings = PlainSettings

    @hookimpl
    def push(self, event: dict[str, Any]) -> None:
        raise AssertionError


@frozen
class RowRule:
    delete_row: bool = False


def with_attributes(**attributes: Any) -> type:
    """Return a destination whose class has these, too."""

    class Mine:
        @hookimpl
        def push(self, event: dict[str, Any]) -> None:
            raise AssertionError

    for name, value in attributes.items():
        setattr(Mine, name, value)
    return Mine


def of_one_event(self: Any, event: Any) -> list[Any]:
    raise AssertionError


async def asynchronous(self: Any, event: Any, data: Any, rule: Any, context: Any) -> list[Any]:
    raise AssertionError


def of_an_instance(self: Any, settings: Any, rules: Any) -> list[Any]:
    raise AssertionError


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        (
            {"rule_settings": RowRule, "guarded": frozenset({"delete_row"})},
            "guarded has 'delete_row', but .* no such key.*; did you mean deleteRow",
        ),
        ({"reads": ("name", "usr.id")}, "reads has 'usr.id', but events have no part usr; did you"),
        ({"concurrency": 0}, "concurrency must be a whole number from 1, not 0"),
        ({"linger": -1}, "linger must be a whole number from 0, not -1"),
        ({"simulate": of_one_event}, r"write def simulate\(self, event, data, rule, context\)"),
        ({"simulate": asynchronous}, "simulate is async; write a plain function"),
        (
            {"check_settings": of_an_instance},
            r"check_settings is called with settings, rules: write @staticmethod, and def "
            r"check_settings\(settings, rules\)",
        ),
    ],
)
def test_attributes_and_methods_without_effect_are_refused(
    attributes: dict[str, Any], message: str
) -> None:
    with pytest.raises(PluginError, match=message) as caught:
        Registry().register("mine", with_attributes(**attributes))
    assert f"(in {__file__}:" in str(caught.value)


def of_its_class(cls: type, settings: Any, rules: Any) -> list[Any]:
    raise AssertionError


def of_any(*args: Any) -> list[Any]:
    raise AssertionError


def with_more(self: Any, settings: Any, more: Any) -> bool:
    raise AssertionError


@pytest.mark.parametrize(
    "attributes",
    [
        {"guarded": frozenset({"deleteRow"}), "rule_settings": None},
        {"reads": ("name", "user.id", "nested", "data.rows.*.id")},
        {"check_settings": classmethod(of_its_class)},
        {"check_settings": staticmethod(of_any), "simulate": of_any, "advise": of_any},
        {"wants_consent": functools.cache(lambda self, settings: True)},
        {"wants_consent": functools.partialmethod(with_more, more=1)},
        {"wants_consent": functools.wraps(with_more)(lambda self, settings: True)},
        {"estimate": property(lambda self: None)},
    ],
)
def test_attributes_and_methods_that_work_are_accepted(attributes: dict[str, Any]) -> None:
    Registry().register("mine", with_attributes(**attributes))


@pytest.mark.parametrize(
    ("plugin", "message"),
    [
        (Async, "hook push is async; .* see the guide about async clients"),
        (Generator, "hook push is a generator"),
        (Unmarked, "init is not marked with @hookimpl"),
        (Sized, "batch_size must be a whole number"),
        (Misspelt, "there is no hook push_bacth; did you mean push_batch"),
        (Selfless, r"hook push has no self: write def push\(self, \.\.\.\)"),
        (Demanding, r"Demanding\(\) needs the arguments url, token"),
        (Plain, "settings must be an attrs class .* not the class PlainSettings"),
    ],
)
def test_it_says_what_to_mend_and_where(plugin: type, message: str) -> None:
    with pytest.raises(PluginError, match=message) as caught:
        Registry().register("mine", plugin)
    assert f"(in {__file__}:" in str(caught.value)


@frozen
class Precise:
    rate: Decimal


def test_setting_of_a_type_that_none_can_have_is_told_as_the_packages_mistake() -> None:
    registry = Registry()
    registry.register("precise", with_attributes(settings=Precise))
    entry = {"package": "precise", "config": {"settings": {"rate": "1.5"}}}
    with pytest.raises(ConfigError) as caught:
        Collector.from_config({"destinations": {"x": entry}}, registry=registry)
    told = "the package declares it as Decimal, a type that no setting can have"
    assert f"destinations.x.config.settings.rate: {told}" in str(caught.value)


def dead_reasons(plugin: type, **push: Any) -> list[str]:
    """Deliver two events to a plugin, and return the reasons of the dead letters."""
    registry = Registry()
    registry.register("confused", plugin)
    config = {"retry": {"base": 1, "cap": 1}, "concurrency": 1}
    flow = {"destinations": {"x": {"package": "confused", "config": config}}}
    with Collector.from_config(flow, registry=registry) as collector:
        for _ in range(2):
            collector.push("order complete", **push)
        assert collector.flush(20)
        return [letter.reason for letter in collector.dead()]


@pytest.mark.parametrize(
    ("failures", "problem"),
    [
        ({"0": ValueError()}, "the index str"),
        ({7: ValueError()}, "the index 7 for a batch of"),
        ({0: "no"}, "str as a failure"),
        ([1], "returned list"),
        (False, "returned bool"),
    ],
)
def test_failures_that_name_no_event_are_told_once_with_the_plugins_file(
    failures: Any, problem: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Confused:
        @hookimpl
        def push_batch(self, batch: Any) -> Any:
            return failures

    reasons = dead_reasons(Confused)
    assert len(reasons) == 2
    (line,) = [each.getMessage() for each in caplog.records if each.levelname == "ERROR"]
    for told in (line, *reasons):
        assert f"Confused.push_batch ({__file__}:" in told
        assert problem in told
        assert "return None, or a dict of exceptions by the index" in told
        assert "hook_calls.py" not in told


def test_a_failure_that_was_returned_and_never_raised_has_the_place_of_its_hook(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Returning:
        @hookimpl
        def push_batch(self, batch: Any) -> Any:
            return {at: ValueError() for at in range(len(batch))}

    reasons = dead_reasons(Returning)
    assert len(reasons) == 2
    told = [each.getMessage() for each in caplog.records if each.levelname == "ERROR"]
    assert told
    for text in (*told, *reasons):
        assert f"push_batch raised ValueError at {__file__}:" in text


def test_what_a_batch_raises_is_told_under_the_name_of_its_hook() -> None:
    class Raising:
        @hookimpl
        def push_batch(self, batch: Any) -> Any:
            raise ValueError

    reasons = dead_reasons(Raising)
    assert len(reasons) == 2
    assert all(f"push_batch raised ValueError at {__file__}:" in reason for reason in reasons)


def test_a_coroutine_that_nobody_runs_is_no_delivery(caplog: pytest.LogCaptureFixture) -> None:
    async def send(event: Any) -> None:
        raise AssertionError

    class Lazy:
        @hookimpl
        def push(self, event: Any) -> Any:
            return send(event)

    reasons = dead_reasons(Lazy)
    assert len(reasons) == 2
    assert "returned a coroutine, which is not run" in reasons[0]
    assert len([each for each in caplog.records if each.levelname == "ERROR"]) == 1


@pytest.mark.parametrize("answer", [Rejected("no such person"), Rejected])
def test_error_that_is_returned_and_not_raised_is_no_delivery(
    answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Returning:
        @hookimpl
        def push(self, event: Any) -> Any:
            return answer

    reasons = dead_reasons(Returning)
    assert "returned Rejected; raise it" in reasons[0]
    assert f"Returning.push ({__file__}:" in caplog.text
    assert "no such person" not in caplog.text


def test_false_of_push_is_no_delivery(caplog: pytest.LogCaptureFixture) -> None:
    class Denying:
        @hookimpl
        def push(self, event: Any) -> Any:
            return False

    reasons = dead_reasons(Denying)
    assert len(reasons) == 2
    (line,) = [each.getMessage() for each in caplog.records if each.levelname == "ERROR"]
    for told in (line, *reasons):
        assert f"Denying.push ({__file__}:" in told
        assert "returned False; return nothing after a delivery, and raise" in told


def test_other_values_of_push_are_told_once_and_nothing_is_sent_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    sent = []

    class Answering:
        @hookimpl
        def push(self, event: Any) -> Any:
            sent.append(event)
            return {"status": "ok, ines"}

    assert dead_reasons(Answering) == []
    assert len(sent) == 2
    (line,) = [each.getMessage() for each in caplog.records if each.levelname == "ERROR"]
    assert f"Answering.push ({__file__}:" in line
    assert "returned dict; the event counts as delivered; return nothing" in line
    assert "ines" not in caplog.text


def test_events_left_by_a_wrong_result_have_the_cause_in_log_and_close(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Confused:
        @hookimpl
        def push_batch(self, batch: Any) -> Any:
            return [1]

    caplog.set_level("DEBUG", "walker_collector")
    registry = Registry()
    registry.register("confused", Confused)
    config = {"retry": {"base": 60_000, "cap": 60_000}}
    flow = {
        "collector": {"closeTimeout": 10},
        "destinations": {"x": {"package": "confused", "config": config}},
    }
    with Collector.from_config(flow, registry=registry) as collector:
        collector.push("order complete", id="e1", wait=True, timeout=20)
        reason = collector.status().destinations["x"].reason
    assert f"Confused.push_batch ({__file__}:" in reason
    lines = [each.getMessage() for each in caplog.records]
    (closed,) = [line for line in lines if "closed with 1 event undelivered" in line]
    assert closed.endswith(reason)
    (event,) = [line for line in lines if "event e1" in line and ", attempt 1: " in line]
    assert event.endswith("Confused.push_batch returned list")


class Sink:
    @hookimpl
    def push(self, event: Any) -> None: ...


class Copying:
    """Returns a changed copy, which would be lost."""

    @hookimpl
    def transform(self, event: Any) -> Any:
        return {**event, "data": {}}


class Same:
    @hookimpl
    def transform(self, event: Any) -> Any:
        event["data"] = {}
        return event


@pytest.mark.parametrize("others", [{}, {"same": Same}], ids=["alone", "two"])
def test_extension_that_returns_an_event_changes_none_and_is_told(
    others: dict[str, type], caplog: pytest.LogCaptureFixture
) -> None:
    registry = Registry()
    registry.register("sink", Sink)
    for name, extension in {"copying": Copying, **others}.items():
        registry.register_extension(name, extension)
    flow = {"destinations": {"x": {"package": "sink", "config": {"retry": {"attempts": 1}}}}}
    with Collector.from_config(flow, registry=registry) as collector:
        collector.push("order complete", data={"card": "4000"})
        assert collector.flush(20)
        (letter,) = collector.dead()
    assert "returned dict; change the event in place, and return nothing" in letter.reason
    assert "extension copying" in letter.reason
    assert f"({__file__}:" in letter.reason
    assert "4000" not in caplog.text


def test_extension_that_returns_the_event_itself_has_changed_it() -> None:
    registry = Registry()
    registry.register("sink", Sink)
    registry.register_extension("same", Same)
    flow = {"destinations": {"x": {"package": "sink"}}}
    with Collector.from_config(flow, registry=registry) as collector:
        assert collector.push("order complete", wait=True).destinations == {"x": "delivered"}


@pytest.mark.parametrize("answer", ["wrong", None, 5, [("settings.url",)]])
def test_objections_of_another_shape_are_told_with_the_plugins_file(answer: Any) -> None:
    class Objecting(Sink):
        @staticmethod
        def check_settings(settings: Any, rules: Any) -> Any:
            return answer

    registry = Registry()
    registry.register("objecting", Objecting)
    with pytest.raises(ConfigError) as caught:
        Collector.from_config({"destinations": {"x": {"package": "objecting"}}}, registry=registry)
    assert f"check_settings of the package ({__file__}:" in str(caught.value)
    assert f"returned {type(answer).__name__}; it yields pairs" in str(caught.value)


@pytest.mark.parametrize("answer", [False, 5])
def test_check_that_returns_no_problems_of_text_is_wrong(answer: Any) -> None:
    class Checking(Sink):
        @hookimpl
        def check(self, context: Any) -> Any:
            return answer

    registry = Registry()
    registry.register("checking", Checking)
    flow = load_flow({"destinations": {"x": {"package": "checking"}}}, registry=registry)
    found = check_destinations(flow)["x"]
    assert found.status == "wrong"
    assert f"Checking.check ({__file__}:" in found.reasons[0]


@pytest.mark.parametrize("level", ["dbgg", 4, -1])
def test_a_log_level_that_is_none_is_refused_at_load(level: Any) -> None:
    config = {"logger": {"level": level}}
    with pytest.raises(ConfigError, match=r"logger\.level: must be error, warn, info, debug or"):
        Collector.from_config({"destinations": {"x": {"package": "console", "config": config}}})
