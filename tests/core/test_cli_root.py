"""The command line as a whole: help, version, what is installed, schemas."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest

from tests.core.cli_support import COMMAND, below, walker
from walker_collector.cli import main
from walker_collector.version import __version__

SCRIPT = [str(Path(sys.executable).with_name("walker"))]


def commands(group: click.Group, *names: str) -> list[tuple[str, ...]]:
    """Return the names of every command and group below."""
    found = []
    for name, command in below(group).items():
        found.append((*names, name))
        if isinstance(command, click.Group):
            found += commands(command, *names, name)
    return found


@pytest.mark.parametrize("names", [(), *commands(main)], ids=" ".join)
def test_every_command_has_help_with_examples(names: tuple[str, ...]) -> None:
    result = walker(*names, "--help")
    assert result.exit_code == 0
    examples = result.output.split("Examples:\n")[1].splitlines()
    example = f"    {' '.join(('walker', *names))}"
    assert examples
    assert any(line.startswith(example) for line in examples)


@pytest.mark.parametrize("command", [COMMAND, SCRIPT], ids=["module", "script"])
def test_version_is_printed(command: list[str]) -> None:
    process = subprocess.run(
        [*command, "--version"], capture_output=True, text=True, timeout=60, check=True
    )
    assert process.stdout == f"walker {__version__}\n"


def test_help_of_all_commands_lists_each_and_imports_none() -> None:
    run = "from walker_collector.cli import main\ntry: main()"
    code = f"import sys\n{run}\nfinally: print(*sys.modules)"
    process = subprocess.run(
        [sys.executable, "-c", code, "--help"], capture_output=True, text=True, timeout=60
    )
    text, _, loaded = process.stdout.strip().rpartition("\n")
    shown = " ".join(text.split())
    for name, command in below(main).items():
        assert f"{name} {command.short_help}" in shown
    inside = {f"walker_collector.{name}" for name in ("collector", "events", "flow", "cli.run")}
    assert not {"rich", "msgspec", *inside} & set(loaded.split())


def install(folder: Path, kind: str, name: str, code: str) -> None:
    """Install a plugin as packages are: a module, and metadata that name its entry point."""
    module = f"walker_test_{name}"
    (folder / f"{module}.py").write_text(code)
    metadata = folder / f"{module}-1.2.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.2\n")
    (metadata / "entry_points.txt").write_text(f"[{kind}]\n{name} = {module}:plugin\n")


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plugins that work and plugins that do not."""
    install(
        tmp_path,
        "walker_collector.destinations",
        "works",
        "from walker_collector import hookimpl\n"
        "class plugin:\n    aliases = ('@other/works',)\n    @hookimpl\n    def push(self): ...\n",
    )
    install(tmp_path, "walker_collector.destinations", "broken", "import nowhere_to_be_found\n")
    install(
        tmp_path,
        "walker_collector.extensions",
        "misspelt",
        "from walker_collector import hookimpl\n"
        "class plugin:\n    @hookimpl\n    def push(self, evnt): ...\n",
    )
    monkeypatch.syspath_prepend(str(tmp_path))


def listed(result: str) -> dict[str, Any]:
    return {item["name"]: item for item in json.loads(result)}


@pytest.mark.usefixtures("plugins")
def test_installed_plugins_are_listed_with_version_origin_and_why_not() -> None:
    result = walker("destinations", "--json")
    assert result.exit_code == 0
    found = listed(result.stdout)
    assert found["file"]["distribution"] == "walker-collector"
    assert found["works"] == {
        "name": "works",
        "kind": "destination",
        "version": "1.2",
        "distribution": "walker_test_works",
        "origin": "walker_test_works:plugin",
        "aliases": ["@other/works"],
        "error": None,
    }
    assert "nowhere_to_be_found" in found["broken"]["error"]
    assert found["misspelt"]["kind"] == "extension"
    assert "hook push has no argument evnt" in found["misspelt"]["error"]


def test_reason_with_lines_is_told_on_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = "raise ImportError('first\\nsecond')\n"
    install(tmp_path, "walker_collector.destinations", "wordy", broken)
    monkeypatch.syspath_prepend(str(tmp_path))
    told = walker("schema", "wordy")
    assert told.exit_code == 1
    assert "first second" in told.stderr
    assert len(told.stderr.splitlines()) == 1
    assert "first second" in walker("destinations").stdout
    flow = tmp_path / "flow.json"
    flow.write_text('{"destinations": {"x": {"package": "wordy"}}}')
    assert len(walker("validate", flow).stdout.splitlines()) == 1


@pytest.mark.usefixtures("plugins")
def test_table_of_plugins_is_followed_by_what_cannot_be_used() -> None:
    lines = walker("destinations").stdout.splitlines()
    assert lines[0].split() == ["name", "kind", "version", "distribution"]
    works, origin, alias = [line.split() for line in lines if line.startswith("works ")]
    assert works[1:3] == ["destination", "1.2"]
    assert origin[1] == "is"
    assert alias[1:] == ["is", "also", "known", "as", "@other/works"]
    assert any(line.startswith("broken cannot be used: ") for line in lines)


@pytest.mark.parametrize("name", ["http", "file"])
def test_schema_of_a_package_has_settings_and_rule_settings(name: str) -> None:
    result = walker("schema", name)
    assert result.exit_code == 0
    found = json.loads(result.stdout)
    assert list(found) == ["settings", "ruleSettings"]
    assert found["settings"]["required"]


def test_schema_of_a_flow_file_knows_every_package() -> None:
    result = walker("schema", "--flow")
    assert result.exit_code == 0
    assert {"http.Config", "file.Config"} <= json.loads(result.stdout)["$defs"].keys()


def test_schema_of_a_package_that_is_not_there_says_what_is() -> None:
    result = walker("schema", "htpp")
    assert result.exit_code == 1
    assert "did you mean http?" in result.stderr


def test_schema_of_a_source_has_its_settings() -> None:
    found = json.loads(walker("schema", "--source", "http").stdout)
    assert "healthPath" in found["settings"]["properties"]
    assert walker("schema", "--source", "htpp").exit_code == 1


@pytest.mark.parametrize("arguments", [[], ["http", "--flow"]])
def test_schema_is_of_one_thing(arguments: list[str]) -> None:
    assert walker("schema", *arguments).exit_code == 2
