"""The reference tables of the docs name every key there is, with its default."""

import json
import re
from pathlib import Path
from typing import Any

import attrs
import click
import pytest

from tests.core.cli_support import below
from tests.docs.pages import ROOT, Row, parts
from walker_collector import clients, config, errors, hookspecs, public
from walker_collector.cli import main
from walker_collector.config import (
    MISSING,
    BatchConfig,
    BreakerConfig,
    CollectorConfig,
    DestinationConfig,
    RetryConfig,
    RuleConfig,
    SpoolConfig,
)
from walker_collector.destinations.console import ConsoleSettings
from walker_collector.destinations.file import FileSettings
from walker_collector.destinations.http import HttpSettings
from walker_collector.destinations.kafka.producer_settings import KafkaSettings
from walker_collector.flow.types import disk_key
from walker_collector.hookspecs import HOOKS
from walker_collector.kafka.connection import Security
from walker_collector.mapping import Value
from walker_dest_customerio import limits
from walker_dest_customerio.sandbox import (
    CustomerioSandbox,
    Device,
    Event,
    Message,
    Object,
    Person,
    Relationship,
    RequestRecord,
    Sandbox,
)
from walker_dest_customerio.settings import RuleSettings, Settings

DOCS = ROOT / "docs"
TABLES: list[tuple[str, str, type[Any]]] = [
    ("flow-file.md", "Collector", CollectorConfig),
    ("flow-file.md", "Spool", SpoolConfig),
    ("flow-file.md", "Destination", DestinationConfig),
    ("flow-file.md", "Batch", BatchConfig),
    ("flow-file.md", "Retry", RetryConfig),
    ("flow-file.md", "Breaker", BreakerConfig),
    ("mapping.md", "Keys of a rule", RuleConfig),
    ("customerio.md", "Settings", Settings),
    ("customerio.md", "Rule settings", RuleSettings),
    ("destinations.md", "console", ConsoleSettings),
    ("destinations.md", "file", FileSettings),
    ("destinations.md", "http", HttpSettings),
    ("destinations.md", "kafka", KafkaSettings),
    ("destinations.md", "Security of the connection", Security),
]
VALUES = (Person, Event, Message, Device, Object, Relationship, RequestRecord)
UNTOLD = {"sandbox", "view", "wait_for"}
"""Names of the sandbox that are for itself."""


def table(path: Path, section: str) -> dict[str, str]:
    """Return key and default of each row of a section; one row may be for several keys."""
    rows = [part for part in parts(path) if isinstance(part, Row) and part.section == section]
    return {
        key: row.cells.get("default", "").strip("`")
        for row in rows
        for key in re.findall(r"`(\w+)`", row.cells.get("key", ""))
    }


def shown(field: "attrs.Attribute[Any]") -> str:
    """Return how a default is written in a table."""
    default = field.default
    if default is attrs.NOTHING:
        return "required"
    if default is None or default is MISSING or isinstance(default, attrs.Factory):  # type: ignore[arg-type]  # a class at run time
        return ""
    if isinstance(default, Value):
        paths = getattr(default.spec, "items", (default.spec,))
        return ", ".join(f"`{path.path}`" for path in paths).strip("`")
    if attrs.has(type(default)):
        return "below"
    return default if isinstance(default, str) else json.dumps(default)


@pytest.mark.parametrize(("page", "section", "cls"), TABLES, ids=lambda item: str(item))
def test_table_names_every_key_with_its_default(page: str, section: str, cls: type[Any]) -> None:
    keys = {disk_key(field): shown(field) for field in attrs.fields(cls)}
    assert table(DOCS / page, section) == keys


@pytest.mark.parametrize("cls", [*VALUES, CustomerioSandbox, Sandbox], ids=lambda cls: cls.__name__)
def test_page_of_the_sandbox_names_every_property_and_method(cls: type[Any]) -> None:
    text = (DOCS / "sandbox.md").read_text("utf-8").partition("## In tests")[2]
    named = set(re.findall(r"`(\w+)(?:`|\()", text))
    shown_names = {name for name in dir(cls) if not name.startswith("_")}
    assert shown_names - UNTOLD - named == set()


def test_limits_of_customerio_are_those_of_the_code() -> None:
    path = DOCS / "customerio.md"
    rows = [part for part in parts(path) if isinstance(part, Row) and part.section == "Limits"]
    assert [[*row.cells.values()] for row in rows] == [
        [limit.of, f"{limit.figure:,} {limit.unit}", limit.source] for limit in limits.TABLE
    ]


def test_every_public_name_is_on_the_page_of_the_api() -> None:
    text = (DOCS / "reference" / "api.md").read_text("utf-8")
    named = set(re.findall(r"^\.\. (?:auto\w+|data):: (?:[\w.]+\.)?(\w+)$", text, re.MULTILINE))
    whole = {name for name in vars(config) if not name.startswith("_")}
    hooks = set(HOOKS) | {"hookimpl"}
    assert {*public.__all__, *clients.__all__} - named - whole - hooks - {"Validator"} == set()


def test_every_command_and_option_is_told() -> None:
    text = (DOCS / "cli.md").read_text("utf-8")
    for name, command in below(main).items():
        assert f"walker {name}" in text
        inner = command.commands.values() if isinstance(command, click.Group) else [command]
        for each in inner:
            for option in each.params:
                told = option.opts[-1] if isinstance(option, click.Option) else ""
                assert told in text, f"walker {name}: {told}"


RAISED = {
    name
    for name, error in vars(errors).items()
    if (getattr(error, "__doc__", None) or "").startswith("Raised by a destination")
}


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ("push", hookspecs.push.__doc__),
        ("push_batch", hookspecs.push_batch.__doc__),
        ("destinations.md", (DOCS / "destinations.md").read_text("utf-8")),
        ("delivery.md", (DOCS / "delivery.md").read_text("utf-8")),
    ],
    ids=lambda value: value if len(value) < 20 else "",
)
def test_every_error_that_a_destination_may_raise_is_named(place: str, text: str) -> None:
    assert len(RAISED) == 6
    assert {name for name in RAISED if f"`{name}" not in text} == set()
