"""What would be taken for a hook that did its work, although it never began, is refused."""

from typing import Any

import pytest

from walker_collector import Collector, ConfigError, PluginError, Registry, hookimpl


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


@pytest.mark.parametrize(
    ("plugin", "message"),
    [
        (Async, "hook push is async"),
        (Generator, "hook push is a generator"),
        (Unmarked, "init is not marked with @hookimpl"),
        (Sized, "batch_size must be a whole number"),
    ],
)
def test_it_says_what_to_mend(plugin: type, message: str) -> None:
    with pytest.raises(PluginError, match=message):
        Registry().register("mine", plugin)


@pytest.mark.parametrize("failures", [{"0": ValueError()}, {7: ValueError()}, {0: "no"}, [1]])
def test_failures_that_name_no_event_are_a_bug_of_the_plugin(failures: Any) -> None:
    class Confused:
        @hookimpl
        def push_batch(self, batch: Any) -> Any:
            return failures

    registry = Registry()
    registry.register("confused", Confused)
    retry = {"base": 1, "cap": 1}
    flow = {"destinations": {"x": {"package": "confused", "config": {"retry": retry}}}}
    with Collector.from_config(flow, registry=registry) as collector:
        collector.push("order complete")
        assert collector.flush(20)
        [letter] = collector.dead()
    assert "Confused.push_batch must return None, or exceptions by" in letter.reason


@pytest.mark.parametrize("level", ["dbgg", 4, -1])
def test_a_log_level_that_is_none_is_refused_at_load(level: Any) -> None:
    config = {"logger": {"level": level}}
    with pytest.raises(ConfigError, match=r"logger\.level: must be error, warn, info, debug or"):
        Collector.from_config({"destinations": {"x": {"package": "console", "config": config}}})
