"""Flow files that nobody means: each is refused with its place, soon, whatever the text."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.core.test_flowfile import load, problems
from walker_collector import ConfigError, Registry, hookimpl
from walker_collector.flow import load_flow

SOON = 5.0
"""Seconds of CPU; a quick machine takes a tenth of them."""


def refusal(path: Path, text: str) -> dict[str, str]:
    path.write_text(text, "utf-8")
    began = time.process_time()
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert time.process_time() - began < SOON
    return {problem.path: problem.message for problem in caught.value.problems}


def test_nesting_is_bounded_in_files_and_in_code(tmp_path: Path) -> None:
    deep: Any = 1
    for _ in range(300):
        deep = {"a": deep}
    flow = {"collector": {"globals": deep}}
    for found in (refusal(tmp_path / "flow.json", json.dumps(flow)), problems(flow)):
        (message,) = found.values()
        assert message == "nested more than 60 levels deep"
    flow["collector"]["globals"] = flow
    assert list(problems(flow).values()) == ["nested more than 60 levels deep"]


@pytest.mark.parametrize("name", ["a.json", "a.toml"])
def test_number_of_thousands_of_digits_is_refused(tmp_path: Path, name: str) -> None:
    text = '{"a": %s}' if name == "a.json" else "a = %s"
    (message,) = refusal(tmp_path / name, text % ("9" * 5000)).values()
    assert message.startswith("not valid")


def test_nesting_in_toml_is_refused(tmp_path: Path) -> None:
    (message,) = refusal(tmp_path / "a.toml", "a = " + "[" * 50_000).values()
    assert message.startswith("not valid TOML")


def test_shared_objects_of_a_flow_in_code_count_as_often_as_they_stand_there() -> None:
    data: Any = "data.a"
    for _ in range(20):
        data = {"map": {"a": data, "b": data}}
    entry = {"package": "plain", "config": {"data": data}}
    assert problems({"destinations": {"p": entry}}) == {
        "": "more than 50,000 values; that is no flow"
    }


def test_key_that_is_there_twice_among_many_is_found_soon(tmp_path: Path) -> None:
    keys = ",".join(f'"k{n}":1' for n in range(60_000))
    found = refusal(tmp_path / "a.json", f'{{"variables":{{{keys},"k59999":2}}}}')
    assert found == {"variables.k59999": "the key is there twice"}


@pytest.mark.parametrize("shape", ["text", "list"])
def test_variables_that_double_end(tmp_path: Path, shape: str) -> None:
    variables: dict[str, Any] = {"v0": "x"}
    for n in range(1, 40):
        before = f"$var.v{n - 1}"
        variables[f"v{n}"] = before * 2 if shape == "text" else [before, before]
    flow = {"variables": variables, "collector": {"globals": {"a": "$var.v39"}}}
    ((path, message),) = refusal(tmp_path / "a.json", json.dumps(flow)).items()
    assert path.startswith("collector.globals.a")
    assert message.startswith("variables make more of it than 50,000 values")


def test_a_thousand_misspelt_variables_among_thousands_are_told_soon(tmp_path: Path) -> None:
    variables = {f"name{n}": 1 for n in range(3_000)}
    values = {f"g{n}": f"$var.nmae{n}" for n in range(1_000)}
    flow = {"variables": variables, "collector": {"globals": values}}
    found = refusal(tmp_path / "a.json", json.dumps(flow))
    assert len(found) == 1_000
    assert all(message.endswith("and 2,960 more") for message in found.values())


def test_thousands_of_unknown_keys_are_told_soon(tmp_path: Path) -> None:
    config = {f"k{n}": 1 for n in range(3_000)}
    flow = {"destinations": {"p": {"package": "plain", "config": config}}}
    found = refusal(tmp_path / "a.json", json.dumps(flow))
    assert set(found.values()) == {"unknown key", "and 2,000 more problems"}


def test_text_that_is_no_unicode_is_refused() -> None:
    assert problems({"destinations": {"\ud800": {"package": "plain"}}}) == {
        "destinations": "the key '\\ud800' is not valid text"
    }
    assert problems({"collector": {"globals": {"a": ["\udc00"]}}}) == {
        "collector.globals.a[0]": "not valid Unicode: it has a lone surrogate"
    }


@pytest.mark.parametrize("id", ["", "a\nb", "a\x1b[31m", "x" * 201])
def test_id_that_cannot_be_shown_on_a_line_is_refused(id: str) -> None:
    ((path, message),) = problems({"destinations": {id: {"package": "plain"}}}).items()
    assert "\n" not in path
    assert message.startswith("an id is 1 to 200 characters")
    entry = {"package": "plain", "config": {"id": id}}
    assert list(problems({"destinations": {"p": entry}})) == ["destinations.p.config.id"]


@pytest.mark.parametrize("ms", [1e300, 4_000_000_000_000])
def test_time_of_more_than_a_hundred_years_is_refused(ms: float) -> None:
    config = {"timeout": ms, "retry": {"cap": ms}, "queueAge": ms, "breaker": {"cooldown": ms}}
    flow = {
        "collector": {"queueWait": ms},
        "destinations": {"p": {"package": "plain", "config": config}},
    }
    found = problems(flow)
    assert len(found) == 5
    assert all(text.startswith("must be at most 3,153,600,000,000") for text in found.values())


def test_commands_that_map_nothing_import_nothing_of_a_flow(tmp_path: Path) -> None:
    marked = tmp_path / "imported"
    module = f"import pathlib; pathlib.Path({str(marked)!r}).touch(); f = str"
    (tmp_path / "marks.py").write_text(module)
    entry = {"package": "console", "config": {"data": {"fn": "marks:f"}}}
    spool = {"path": str(tmp_path / "spool.db")}
    flow = {"collector": {"spool": spool}, "destinations": {"out": entry}}
    path = tmp_path / "flow.json"
    path.write_text(json.dumps(flow))
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}
    readers = (
        ["spool", "status", path],
        ["dead", "list", path],
        ["forget", path, "--user-id", "u"],
    )
    for command in (*readers, ["run", path, os.devnull]):
        assert not marked.exists(), command
        run = [sys.executable, "-m", "walker_collector", *map(str, command)]
        process = subprocess.run(run, capture_output=True, env=environ, timeout=60, check=False)
        assert b"Traceback" not in process.stderr
    assert marked.exists()


LEAVING = {
    "exits": ("import sys; sys.exit(0)", "SystemExit"),
    "interrupts": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "raises_anything": ("raise BaseException('secret')", "BaseException"),
    "never_ends": ("def f(): f()\nf()", "RecursionError"),
    "raises_at_look_up": ("def __getattr__(name): raise SystemExit(0)", "SystemExit"),
}


@pytest.mark.parametrize("module", LEAVING)
def test_module_that_leaves_when_it_is_imported_is_a_problem(
    module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, name = LEAVING[module]
    (tmp_path / f"{module}.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    entry = {"package": "plain", "config": {"data": {"fn": f"{module}:f"}}}
    (message,) = problems({"destinations": {"p": entry}}).values()
    assert f"{name} at {tmp_path / module}.py:" in message
    assert "secret" not in message


def test_module_that_prints_when_it_is_imported_leaves_stdout_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "talkative.py").write_text("print('hello')\nf = str")
    monkeypatch.syspath_prepend(str(tmp_path))
    entry = {"package": "plain", "config": {"data": {"fn": "talkative:f"}}}
    load({"destinations": {"p": entry}})
    assert tuple(capsys.readouterr()) == ("", "hello\n")


class Exits:
    """A destination whose checks try to end the process."""

    @hookimpl
    def push(self, event: Any) -> None: ...

    @staticmethod
    def check_settings(settings: Any, rules: Any) -> Any:
        raise SystemExit(0)

    @staticmethod
    def advise(config: Any) -> Any:
        raise KeyboardInterrupt


def test_checks_of_a_package_that_raise_are_a_problem_of_its_destination() -> None:
    registry = Registry()
    registry.register("exits", Exits)
    with pytest.raises(
        ConfigError, match=r"check_settings of the package raised SystemExit at .*\.py:\d+"
    ):
        load_flow({"destinations": {"out": {"package": "exits"}}}, registry=registry)


@pytest.mark.parametrize(
    ("function", "module"),
    [
        ("os:system", "os"),
        ("ours:system", "posix"),
        ("ours:os.system", "os"),
        ("builtins:str", "builtins"),
        ("oursore:f", "oursore"),
    ],
)
def test_functions_of_other_modules_than_allowed_are_refused(
    function: str, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ours.py").write_text("import os\nfrom os import system\ndef f(value): return 1")
    monkeypatch.syspath_prepend(str(tmp_path))

    def found(name: str, *allowed: str) -> list[str]:
        entry = {"package": "console", "config": {"data": {"fn": name}}}
        try:
            load_flow({"destinations": {"out": entry}}, functions=allowed)
        except ConfigError as error:
            return [problem.message for problem in error.problems]
        return []

    refused = [f"functions of module {module} are not allowed here (allowed: ours)"]
    assert found(function, "ours.*") == refused
    assert found("ours:f", "ours") == []
    assert found("ours:f") == ["functions of module ours are not allowed here (allowed: none)"]


WAYS_OUT = {
    "begins with _": [
        "total.__globals__.get",
        "total.__globals__.update",
        "__builtins__.pop",
        "total.__call__",
        "Ours.__subclasses__",
        "_hidden",
    ],
    "a method of a built-in type": [
        "CACHE.update",
        "NAMES.append",
        "Ours.update",
        "Ours.mro",
        "OURS.update",
        "MARK.join",
        "str.join",
    ],
    "are not allowed here": ["PATH.write_text", "LOG.info", "PART", "PART.func", "str"],
}


@pytest.mark.parametrize(
    ("reason", "name"), [(reason, name) for reason, names in WAYS_OUT.items() for name in names]
)
def test_names_that_lead_out_of_an_allowed_module_are_refused(
    reason: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ways.py").write_text(
        "import logging, os\nfrom functools import partial\nfrom pathlib import Path\n"
        "class Ours(dict):\n    def ours(self, value): return 1\n"
        "def total(value): return 1\n_hidden = total\nstr = str\n"
        "CACHE, NAMES, MARK, OURS = {}, [], '', Ours()\n"
        "PATH, LOG, PART = Path('x'), logging.getLogger(), partial(os.system)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))

    def flow(name: str) -> dict[str, Any]:
        entry = {"package": "console", "config": {"data": {"fn": f"ways:{name}"}}}
        return {"destinations": {"out": entry}}

    with pytest.raises(ConfigError) as caught:
        load_flow(flow(name), functions=["ways"])
    (problem,) = caught.value.problems
    assert problem.path == "destinations.out.config.data.fn"
    assert reason in problem.message
    for good in ("total", "Ours", "OURS.ours"):
        load_flow(flow(good), functions=["ways"])
    load_flow(flow("_hidden"))  # a trusted flow names what it likes


def test_destinations_that_all_require_each_other_are_told_soon(tmp_path: Path) -> None:
    ids = [f"d{n}" for n in range(200)]
    destinations = {id: entry_of({"require": [it for it in ids if it != id]}) for id in ids}
    began = time.process_time()
    found = problems({"destinations": destinations})
    assert time.process_time() - began < SOON
    assert len(found) == 200
    assert all(message.endswith("wait for each other") for message in found.values())


def test_destination_between_two_circles_is_in_none() -> None:
    edges = {"a": "b", "b": "ac", "c": "d", "d": "e", "e": "d", "f": "f", "g": ""}
    read = {id: entry_of({"require": list(names)}) for id, names in edges.items()}
    assert set(problems({"destinations": read})) == {
        f"destinations.{id}.config.require" for id in "abdef"
    }


@pytest.mark.parametrize("times", [11, 50_000])
def test_defaults_nested_in_each_other_are_bounded(times: int, tmp_path: Path) -> None:
    def flow(times: int) -> str:
        data = {"value": "$env.UNSET_NAME:" * times}
        return json.dumps({"destinations": {"p": entry_of({"data": data})}})

    assert refusal(tmp_path / "a.json", flow(times)) == {
        "destinations.p.config.data.value": "defaults of $env nested more than 10 levels deep"
    }
    (tmp_path / "a.json").write_text(flow(10))
    load(tmp_path / "a.json")


def test_file_of_a_secret_that_is_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    environ = {"KEY_FILE": str(make_pipe(tmp_path / "key"))}
    settings = {"url": "https://a.example", "headers": {"a": "$secret.KEY"}}
    entry = {"package": "http", "config": {"settings": settings}}
    began = time.monotonic()
    with pytest.raises(ConfigError, match=r"headers\.a: secret KEY: .* it is no regular file"):
        load_flow({"destinations": {"out": entry}}, environ=environ)
    assert time.monotonic() - began < 4


@pytest.mark.parametrize("package", ["file", "@walkeros/server-destination-file"])
@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("a\0b", "must name a file"),
        ("events/", "must name a file"),
        ("x" * 5_000, "no file can have this path: File name too long"),
        ("{folder}", "is a folder; name a file in it"),
        ("{folder}/file/events", "no file can have this path: Not a directory"),
    ],
)
def test_path_of_a_file_destination_that_no_file_has_is_refused(
    package: str, path: str, reason: str, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    key = "path" if package == "file" else "filename"
    settings = {key: path.replace("{folder}", str(tmp_path))}
    entry = {"package": package, "config": {"settings": settings}}
    with pytest.raises(ConfigError) as caught:
        load_flow({"destinations": {"out": entry}})
    (problem,) = caught.value.problems
    assert (problem.path, problem.message) == (f"destinations.out.config.settings.{key}", reason)


@pytest.mark.parametrize("path", [":memory:", "file:x?mode=memory", "{folder}", "x" * 300])
def test_path_of_a_spool_that_no_file_has_is_refused(path: str, tmp_path: Path) -> None:
    spool = {"path": path.replace("{folder}", str(tmp_path))}
    with pytest.raises(ConfigError) as caught:
        load_flow({"collector": {"spool": spool}, "destinations": {}})
    assert [problem.path for problem in caught.value.problems] == ["collector.spool.path"]


def write_dotted_key(path: Path) -> Path:
    path.write_text("a = 1\n" + ".".join(["b"] * 100_000) + " = 1")
    return path


def make_pipe(path: Path) -> Path:
    os.mkfifo(path)
    return path


def test_dotted_key_of_toml_without_end_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nested more than 60 levels deep \(line 2\)"):
        load(write_dotted_key(tmp_path / "flow.toml"))


def test_file_that_never_ends_or_never_comes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("walker_collector.flow.source_file._WAIT", 0.1)
    large = tmp_path / "large.json"
    with large.open("wb") as file:
        file.truncate(100_000_000)
    for path, reason in {
        Path("/dev/zero"): "neither a file nor a pipe",
        tmp_path: "neither a file nor a pipe",
        make_pipe(tmp_path / "pipe.json"): "nothing came through the pipe",
        large: "more than 2,000,000 bytes",
        tmp_path / "none.json": "No such file",
        Path("a\0b"): "null (byte|character)",  # by the version of Python
    }.items():
        with pytest.raises(ConfigError, match=reason):
            load(path)


def test_flow_is_read_from_a_pipe_that_is_slow(tmp_path: Path) -> None:
    pipe = make_pipe(tmp_path / "flow.json")
    writer = threading.Thread(target=pipe.write_text, args=['{"destinations": {}}'])
    writer.start()
    assert load(pipe).destinations == {}
    writer.join(10)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{"collector": {"globals": {"a": 1e999999}}}', "collector.globals.a"),
        ('{"collector": {"globals": {"a": [99999999999999999999]}}}', "collector.globals.a[0]"),
        ('{"collector": {"globals": [1], "globalsStatic": {"a": 1}}}', "collector.globals"),
        ('{"collector": {"user": {"id": true}}}', "collector.user"),
        ('{"collector": {"user": {"session": {}}}}', "collector.user"),
        ('{"collector": {"maxDepth": 1e18}}', "collector.maxDepth"),
        ('{"collector": {"peopleMax": 1e300}}', "collector.peopleMax"),
        ('{"collector": {"consent": {"a\\nb": true}}}', "collector.consent"),
        ('{"collector": {"spool": {"path": "/nowhere/spool.db"}}}', "collector.spool.path"),
    ],
)
def test_value_that_no_event_could_have_or_use_is_refused(
    text: str, place: str, tmp_path: Path
) -> None:
    assert [path.partition('["')[0] for path in refusal(tmp_path / "a.json", text)] == [place]


@pytest.mark.parametrize("path", ["a." * 5_000, "*." * 100_000])
def test_path_of_more_segments_than_an_event_has_is_refused(path: str) -> None:
    for config in (
        {"data": path},
        {"policy": {path: "data.x"}},
        {"data": {"key": path}},
        {"mapping": {"a": {"b": {"remove": [path]}}}},
    ):
        ((_, message),) = problems({"destinations": {"p": entry_of(config)}}).items()
        assert message == "a path of more than 60 segments"


def entry_of(config: dict[str, Any]) -> dict[str, Any]:
    return {"package": "plain", "config": config}


def test_chains_of_variables_end() -> None:
    for last in ('"$var.v0"', '{"a": "$var.v0"}'):
        variables = {f"v{n}": json.loads(last.replace("v0", f"v{n + 1}")) for n in range(3_000)}
        flow = {"variables": variables, "destinations": {"p": entry_of({"data": "$var.v0"})}}
        ((place, message),) = problems(flow).items()
        assert place.startswith("destinations.p.config.data")
        assert message.startswith("variables make more of it than")


@pytest.mark.parametrize("known", [60, 199])
def test_thousands_of_names_that_nobody_knows_are_told_soon(known: int, tmp_path: Path) -> None:
    names = [f"x{'y' * 30}{n}" for n in range(30)]
    destinations = {f"d{n}{'z' * 30}": entry_of({"require": names}) for n in range(known)}
    assert refusal(tmp_path / "a.json", json.dumps({"destinations": destinations}))


def test_mistakes_in_thousands_of_rules_are_told_soon(tmp_path: Path) -> None:
    rules = {f"e{n}": {"a": {"dat": "x"}, "b": {"extend": {"dat": 1}}} for n in range(6_000)}
    found = refusal(
        tmp_path / "a.json", json.dumps({"destinations": {"p": entry_of({"mapping": rules})}})
    )
    assert len(found) == 1_001


@pytest.mark.parametrize("path", ["x" * 5_000, "x" * 5_000 + "/a", "a\x00b/c"])
def test_path_that_no_system_takes_is_a_problem_of_the_flow(path: str) -> None:
    entry = {
        "package": "http",
        "config": {"settings": {"url": "https://a.example", "caFile": path}},
    }
    flow = {"collector": {"spool": {"path": f"{path}/spool.db"}}, "destinations": {"out": entry}}
    with pytest.raises(ConfigError) as caught:
        load_flow(flow)
    assert {problem.path for problem in caught.value.problems} == {
        "collector.spool.path",
        "destinations.out.config.settings.caFile",
    }
