"""Plugins: found through real installed packages, verified, and joined to hooks."""

import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import attrs
import pytest

from walker_collector import Collector, ConfigError, PluginError, hookimpl
from walker_collector.config import DestinationConfig, DestinationEntry, FlowConfig
from walker_collector.extension_config import ExtensionEntry
from walker_collector.hooks import Hooks, connect
from walker_collector.plugins import PluginInfo, Registry

PACKAGE = {
    "walker_good.py": """
        from walker_collector import hookimpl

        class Good:
            aliases = ("@vendor/good",)

            @hookimpl
            def push(self, event): ...
    """,
    "walker_bad_import.py": "import no_such_module",
    "walker_bad_argument.py": """
        from walker_collector import hookimpl

        class Bad:
            @hookimpl
            def push(self, event, evnt): ...
    """,
    "walker_old.py": """
        from walker_collector import hookimpl

        class Old:
            api_version = 0

            @hookimpl
            def push(self, event): ...
    """,
    "walker_trace.py": """
        from walker_collector import hookimpl

        class Trace:
            @hookimpl(wrapper=True)
            def push(self, event):
                event["traced"] = event.get("traced", 0) + 1
                return (yield)
    """,
    "walker_demo-1.2.dist-info/METADATA": """
        Metadata-Version: 2.1
        Name: walker-demo
        Version: 1.2
    """,
    "walker_demo-1.2.dist-info/entry_points.txt": """
        [walker_collector.destinations]
        good = walker_good:Good
        gone = walker_bad_import:Gone
        wrong = walker_bad_argument:Bad
        old = walker_old:Old
        nothing = walker_good:Missing
        module = walker_good

        [walker_collector.extensions]
        trace = walker_trace:Trace
    """,
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path, for packages to lie in."""
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("walker_") and "." not in name]:
        if (tmp_path / f"{name}.py").exists():
            del sys.modules[name]


def install(folder: Path, package: Mapping[str, str]) -> None:
    """Leave a package's files as an installer does."""
    for name, text in package.items():
        file = folder / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(textwrap.dedent(text).lstrip())


def install_points(folder: Path, distribution: str, **points: str) -> None:
    """Install a distribution of these entry points: group -> lines."""
    groups = [f"[walker_collector.{group}]\n{lines}\n" for group, lines in points.items()]
    install(
        folder,
        {
            f"{distribution}-1.dist-info/METADATA": f"Name: {distribution}\nVersion: 1\n",
            f"{distribution}-1.dist-info/entry_points.txt": "".join(groups),
        },
    )


@pytest.fixture
def installed(folder: Path) -> Registry:
    """A registry that finds a package lying on the path as an installer leaves it."""
    install(folder, PACKAGE)
    return Registry().discover()


def info(registry: Registry, name: str) -> PluginInfo:
    return next(info for info in registry.installed() if info.name == name)


class Recorder:
    """Records what its hooks were called with."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []

    @hookimpl
    def init(self, context: Any) -> None:
        self.calls.append(("init", context))

    @hookimpl
    def push(self, event: Any) -> None:
        self.calls.append(("push", event))

    @hookimpl
    def shutdown(self) -> None:
        self.calls.append(("shutdown", None))


def connected(extensions: dict[str, Any] | None = None, **plugins: type) -> dict[str, Hooks]:
    entries = {
        id: DestinationEntry(package=id, plugin=plugin, config=DestinationConfig())
        for id, plugin in plugins.items()
    }
    around = {
        name: ExtensionEntry(package=name, plugin=each) for name, each in (extensions or {}).items()
    }
    return connect(entries, around)


def push(hooks: Hooks, event: Any) -> Any:
    return hooks.push(event=event, data=None, rule=None, context=None)


# --- discovery --------------------------------------------------------------------------------


def test_own_destinations_come_through_the_same_door() -> None:
    registry = Registry().discover()
    for name in ("console", "file", "http"):
        found = info(registry, name)
        assert (found.kind, found.distribution, found.error) == (
            "destination",
            "walker-collector",
            None,
        )
        assert registry.find(name).__module__ == f"walker_collector.destinations.{name}"


def test_installed_plugin_is_found_by_name_and_alias(installed: Registry) -> None:
    found = info(installed, "good")
    assert (found.distribution, found.version, found.origin) == (
        "walker-demo",
        "1.2",
        "walker_good:Good",
    )
    assert found.aliases == ("@vendor/good",)
    assert installed.find("good") is installed.find("@vendor/good")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("gone", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("nothing", "AttributeError: module 'walker_good' has no attribute 'Missing'"),
        (
            "wrong",
            "plugin wrong: hook push has no argument evnt (there are: event, data, rule, context)",
        ),
        (
            "old",
            "plugin old was written for hook API 0, this collector has 1:"
            " install matching versions of both",
        ),
    ],
)
def test_unusable_plugin_is_listed_with_its_reason(
    installed: Registry, name: str, reason: str
) -> None:
    error = str(info(installed, name).error)
    assert error.startswith(reason)
    with pytest.raises(PluginError) as caught:
        installed.find(name)
    assert str(caught.value).endswith(f"cannot be used: {error}")
    assert installed.find("good")


UNUSED = {
    "walker_log.py": """
        from walker_collector import hookimpl

        class Log:
            aliases = ("@vendor/log",)

            @hookimpl
            def push(self, event): ...
    """,
    "walker_trips.py": """
        class Row(dict):
            pass

        Row.price
    """,
    "walker_unused-1.dist-info/METADATA": "Name: walker-unused\nVersion: 1\n",
    "walker_unused-1.dist-info/entry_points.txt": """
        [walker_collector.destinations]
        log = walker_log:Log
        trips = walker_trips:Trips
        [walker_collector.sources]
        trips = walker_trips:Trips
        [walker_collector.extensions]
        trips = walker_trips:Trips
    """,
}


def test_plugins_that_a_flow_does_not_name_are_neither_imported_nor_complained_of(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    install(folder, UNUSED)
    caplog.set_level("DEBUG", "walker_collector")
    chosen = {"sample": {"package": "sample", "config": {"settings": {"rate": 1}}}}
    flow = {"destinations": {"log": {"package": "log"}}, "collector": {"extensions": chosen}}
    with Collector.from_config(flow) as collector:
        collector.push("order complete", wait=True)
    assert not [record for record in caplog.records if "trips" in record.getMessage()]
    assert not [record for record in caplog.records if hasattr(record, "traceback")]


def test_plugin_is_imported_when_it_is_named_and_then_shows_its_traceback_once(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    install(folder, UNUSED)
    caplog.set_level("DEBUG", "walker_collector")
    registry = Registry().discover()
    assert registry.find("log")
    assert "walker_trips" not in sys.modules
    assert registry.find("@vendor/log")
    assert not caplog.records
    assert "has no attribute 'price'" in _refusal(registry, "trips")
    (record,) = caplog.records
    assert record.getMessage() == "traceback: destination trips could not be loaded"
    assert "walker_trips.py" in vars(record)["traceback"]


def test_package_that_is_not_found_counts_those_whose_other_names_are_unknown(
    folder: Path,
) -> None:
    install(folder, UNUSED)
    assert _refusal(Registry().discover(), "@vendor/zzz").endswith(
        "; 1 plugin that cannot be used is shown by walker destinations"
    )


def test_entry_point_that_is_no_class_is_refused(installed: Registry) -> None:
    assert "a destination is a class" in str(info(installed, "module").error)


def test_usable_extensions_are_offered_as_instances(installed: Registry) -> None:
    assert type(installed.extensions()["trace"]).__name__ == "Trace"


BROKEN = {
    "walker_bad_argument:Bad": "no argument evnt",
    "walker_bad_import:Gone": "No module named 'no_such_module'",
    "walker_exits:Scrub": "SystemExit at ",
}


@pytest.mark.parametrize(("point", "reason"), BROKEN.items())
def test_nothing_runs_without_an_extension_that_is_installed_but_broken(
    folder: Path, point: str, reason: str
) -> None:
    install(folder, PACKAGE | {"walker_exits.py": "raise SystemExit(3)"})
    install_points(folder, "walker_ext_broken", extensions=f"scrub = {point}")
    registry = Registry().discover()
    flow = {"destinations": {"out": {"package": "console"}, "bad": {"package": "consol"}}}
    with pytest.raises(ConfigError) as caught:
        Collector.from_config(flow, registry=registry)
    first, second = map(str, caught.value.problems)
    assert first.startswith(f"extension scrub: ({point}) cannot be used: ")
    assert reason in first
    assert first.endswith("; repair or uninstall walker_ext_broken")
    assert second.startswith("destinations.bad.package: ")
    with pytest.raises(PluginError, match=r"extension scrub \(walker_.*\) cannot be used"):
        Collector(FlowConfig(), registry)


def test_plugin_that_exits_when_imported_takes_nothing_down(folder: Path) -> None:
    install(folder, PACKAGE | {"walker_exits.py": "raise SystemExit(3)"})
    install_points(folder, "walker_dest_exits", destinations="exits = walker_exits:Exits")
    registry = Registry().discover()
    assert str(info(registry, "exits").error).startswith("SystemExit at ")
    assert registry.find("good")


def test_plugin_that_exits_when_made_is_told_by_its_destination() -> None:
    class Exits(Recorder):
        def __init__(self) -> None:
            raise SystemExit(3)

    with pytest.raises(PluginError, match=r"destination a: .*Exits\(\) raised SystemExit at "):
        connected(a=Exits)


def test_name_that_two_packages_have_is_nobodys(folder: Path) -> None:
    install(folder, PACKAGE)
    install_points(folder, "walker_other", destinations="console = walker_good:Good")
    registry = Registry().discover()
    for message in (str(info(registry, "console").error), _refusal(registry, "console")):
        assert "two installed packages have a plugin of this name" in message
        assert "walker-collector (walker_collector.destinations.console:" in message
        assert "walker_other (walker_good:Good)" in message
    assert registry.find("file")


def test_alias_that_two_plugins_have_must_be_said_otherwise(folder: Path) -> None:
    install(folder, PACKAGE)
    install_points(folder, "walker_other", destinations="best = walker_good:Good")
    registry = Registry().discover()
    assert _refusal(registry, "@vendor/good") == (
        "several plugins go by @vendor/good: best (walker_good:Good) and good (walker_good:Good); "
        "name the one you mean"
    )
    assert registry.find("best") is registry.find("good")


def _refusal(registry: Registry, package: str) -> str:
    with pytest.raises(PluginError) as caught:
        registry.find(package)
    return str(caught.value)


def test_unknown_package_says_what_is_installed_and_what_to_do() -> None:
    registry = Registry()
    registry.register("recorder", Recorder)
    with pytest.raises(PluginError) as caught:
        registry.find("recoder")
    assert str(caught.value) == (
        "no destination plugin named recoder is installed; did you mean recorder?"
        " (a plugin is a Python package: pip install walker-dest-NAME)"
    )
    assert Registry().installed() == []


# --- verification -----------------------------------------------------------------------------


class NoHook:
    def push(self, event: Any) -> None: ...


class UnknownHook(Recorder):
    @hookimpl
    def pusch(self, event: Any) -> None: ...


class NotAGenerator:
    @hookimpl(wrapper=True)
    def push(self, event: Any) -> None: ...


class PlainSettings(Recorder):
    settings: ClassVar = dict


@pytest.mark.parametrize(
    ("plugin", "reason"),
    [
        (NoHook, "plugin x: push is not marked with @hookimpl"),
        (UnknownHook, "plugin x: there is no hook pusch; did you mean push?"),
        (
            PlainSettings,
            "plugin x: settings must be an attrs class (@attrs.frozen) or None, not the class dict",
        ),
    ],
)
def test_class_that_breaks_the_contract_is_refused(plugin: type, reason: str) -> None:
    with pytest.raises(PluginError) as caught:
        Registry().register("x", plugin)
    assert str(caught.value).startswith(reason)
    assert f"(in {__file__}" in str(caught.value)


def test_other_mistakes_keep_the_explanation_of_pluggy() -> None:
    with pytest.raises(PluginError, match="not a generator function"):
        Registry().register("x", NotAGenerator)


def test_registered_class_is_found_by_its_aliases() -> None:
    class Aliased(Recorder):
        aliases = ("@vendor/x",)

    registry = Registry()
    registry.register("x", Aliased)
    assert registry.find("@vendor/x") is Aliased
    assert info(registry, "x").origin.endswith("Aliased")


def test_extension_is_registered_from_code_as_class_or_instance() -> None:
    registry, instance = Registry(), Recorder()
    registry.register_extension("made", Recorder)
    registry.register_extension("given", instance)
    assert type(registry.extensions()["made"]) is Recorder
    assert registry.extensions()["given"] is instance
    assert {(found.name, found.kind) for found in registry.installed()} == {
        ("made", "extension"),
        ("given", "extension"),
    }
    with pytest.raises(PluginError, match="no hook pusch"):
        registry.register_extension("bad", UnknownHook)


# --- connection -------------------------------------------------------------------------------


def test_hooks_of_a_destination_reach_that_instance_only() -> None:
    both = connected(a=Recorder, b=Recorder)
    push(both["a"], 1)
    both["b"].shutdown(context=None)
    assert both["a"].instance.calls == [("push", 1)]
    assert both["b"].instance.calls == [("shutdown", None)]


def test_equal_and_unhashable_instances_of_one_class_are_told_apart() -> None:
    @attrs.define
    class Equal:
        seen: list[Any] = attrs.Factory(list)

        @hookimpl
        def push(self, event: Any) -> None:
            self.seen.append(event)

    both = connected(a=Equal, b=Equal)
    assert both["a"].instance == both["b"].instance
    push(both["a"], 1)
    assert (both["a"].instance.seen, both["b"].instance.seen) == ([1], [])


def test_batch_hook_is_there_only_where_the_destination_has_one() -> None:
    class Batches(Recorder):
        @hookimpl
        def push_batch(self, batch: Any) -> dict[int, Exception]:
            return {0: ValueError("no")}

    both = connected(a=Recorder, b=Batches)
    assert both["a"].push_batch is None
    push_batch = both["b"].push_batch
    assert push_batch is not None
    assert list(push_batch(batch=[1], context=None)) == [0]


def test_extension_wraps_every_destination_and_plain_ones_come_after() -> None:
    order: list[str] = []

    class Wrapper:
        @hookimpl(wrapper=True)
        def push(self, event: Any) -> Any:
            order.append("before")
            result = yield
            order.append("after")
            return result

    class Plain:
        @hookimpl
        def push(self, event: Any) -> None:
            order.append("plain")

    class Destination:
        @hookimpl
        def push(self, event: Any) -> None:
            order.append("destination")

    both = connected({"w": Wrapper(), "p": Plain()}, a=Destination, b=Recorder)
    push(both["a"], 1)
    assert order == ["before", "destination", "plain", "after"]
    push(both["b"], 1)
    assert order[4:] == ["before", "plain", "after"]


def test_exception_of_a_destination_passes_the_wrappers(installed: Registry) -> None:
    class Failing:
        @hookimpl
        def push(self, event: Any) -> None:
            raise ValueError("no")

    event: dict[str, Any] = {}
    destination = connected({"trace": installed.extensions()["trace"]}, a=Failing)["a"]
    with pytest.raises(ValueError, match="no"):
        push(destination, event)
    assert event == {"traced": 1}


def test_instance_that_cannot_be_made_names_the_destination() -> None:
    class Picky(Recorder):
        def __init__(self) -> None:
            raise RuntimeError("no licence for ines@example.com")

    with pytest.raises(PluginError) as caught:
        connected(crm=Picky)
    assert str(caught.value).startswith("destination crm: ")
    assert f"raised RuntimeError at {__file__}:" in str(caught.value)
    assert "ines" not in str(caught.value)


def test_extension_that_cannot_watch_is_named_without_the_text_of_its_exception() -> None:
    class Watching:
        def watch(self, context: Any) -> None:
            raise ValueError("ines@example.com")

    registry = Registry()
    registry.register("recorder", Recorder)
    registry.register_extension("watching", Watching)
    flow = {"destinations": {"out": {"package": "recorder"}}}
    with pytest.raises(PluginError) as caught:
        Collector.from_config(flow, registry=registry)
    expected = f"extension watching: watch raised ValueError at {__file__}:"
    assert str(caught.value).startswith(expected)
    assert "ines" not in str(caught.value)
