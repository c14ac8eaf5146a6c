"""JSON Schema: it accepts what loads, and refuses what does not."""

import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from enum import Enum
from typing import Any, ClassVar, Literal

import attrs
import pytest
from hypothesis import given
from jsonschema import Draft202012Validator

from tests.core.test_structuring import SPECS
from walker_collector import Secret, hookimpl
from walker_collector.flow.json_schema import flow_schema, rule_settings_schema, settings_schema
from walker_collector.mapping import Value
from walker_collector.plugins import Registry


class Color(Enum):
    RED = "red"


@attrs.frozen(kw_only=True)
class Settings:
    """Settings of a shop.

    And more that no schema repeats.

    site_id: who is asking.
    api_key, old_key: what proves it;
        never shown.
    https://example.com: not a field.
    """

    site_id: str
    api_key: Secret
    old_key: Secret | None = None
    region: Literal["us", "eu"] = "us"
    color: Color | None = None
    rate: float = 1.5
    retries: int | None = None
    fast: bool = False
    names: list[str] = attrs.Factory(list)
    point: tuple[int, int] = (0, 0)
    limits: dict[str, int] = attrs.Factory(dict)
    identify: Value | None = None
    made: Callable[..., Any] | None = None
    other: Any = None


@attrs.frozen(kw_only=True)
class RuleSettings:
    page: Value | None = None


class Shop:
    settings: ClassVar = Settings
    rule_settings: ClassVar = RuleSettings
    aliases: ClassVar = ("@vendor/shop",)

    @hookimpl
    def push(self, event: Any) -> None: ...


class Free:
    @hookimpl
    def push(self, event: Any) -> None: ...


def _registry() -> Registry:
    registry = Registry().discover()
    registry.register("shop", Shop)
    registry.register("free", Free)
    return registry


FLOW = Draft202012Validator(flow_schema(_registry()))
SETTINGS = Draft202012Validator(settings_schema(Shop))
KEYS = {"siteId": "s", "apiKey": "k"}


def shop(**config: Any) -> dict[str, Any]:
    entry = {"package": "shop", "config": {"settings": KEYS, **config}}
    return {"destinations": {"shop": entry}}


def test_schemas_are_schemas() -> None:
    for schema in (flow_schema(_registry()), settings_schema(Shop), rule_settings_schema(Shop)):
        assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        Draft202012Validator.check_schema(schema)


def test_fields_are_described_by_their_docstring() -> None:
    schema = settings_schema(Shop)
    assert schema["description"] == "Settings of a shop."
    assert schema["properties"]["siteId"] == {"type": "string", "description": "Who is asking."}
    assert schema["properties"]["apiKey"] == {
        "type": "string",
        "writeOnly": True,
        "description": "What proves it; never shown.",
    }
    assert schema["properties"]["oldKey"]["description"] == "What proves it; never shown."
    assert "description" not in schema["properties"]["fast"]


def test_defaults_and_choices_are_told() -> None:
    properties = settings_schema(Shop)["properties"]
    assert properties["region"]["anyOf"][0] == {"enum": ["us", "eu"]}
    assert properties["region"]["default"] == "us"
    assert properties["rate"]["default"] == 1.5
    assert {"enum": ["red"]} in properties["color"]["anyOf"]


@pytest.mark.parametrize(
    ("settings", "valid"),
    [
        (KEYS, True),
        ({"siteId": "s"}, False),
        ({**KEYS, "regoin": "eu"}, False),
        ({**KEYS, "region": "eu"}, True),
        ({**KEYS, "region": "asia"}, False),
        ({**KEYS, "region": "$env.REGION"}, True),
        ({**KEYS, "color": "red", "oldKey": None}, True),
        ({**KEYS, "color": "blue"}, False),
        ({**KEYS, "retries": 1.5}, False),
        ({**KEYS, "retries": "5"}, False),
        ({**KEYS, "retries": "$var.retries"}, True),
        ({**KEYS, "names": ["a"], "point": [1, 2], "limits": {"a": 1}}, True),
        ({**KEYS, "names": [1]}, False),
        ({**KEYS, "point": [1]}, False),
        ({**KEYS, "point": [1, "x"]}, False),
        ({**KEYS, "limits": {"a": "x"}}, False),
        ({**KEYS, "made": "module:name"}, True),
        ({**KEYS, "made": "$code:x"}, False),
        ({**KEYS, "identify": {"map": {"a": ["b", {"key": "c"}], "d": None}}}, True),
        ({**KEYS, "identify": {"map": {"a": 5}}}, False),
        ({**KEYS, "identify": {"mpa": {}}}, False),
        ({**KEYS, "identify": {"loop": ["a"]}}, False),
        ({**KEYS, "other": {"any": [None]}}, True),
    ],
)
def test_settings_are_accepted_or_refused(settings: dict[str, Any], valid: bool) -> None:
    assert SETTINGS.is_valid(settings) is valid


@given(SPECS)
def test_every_value_of_the_mapping_language_is_valid(spec: Any) -> None:
    assert SETTINGS.is_valid({**KEYS, "identify": spec})


def test_type_that_a_plugin_reads_by_its_own_hook_is_described_as_anything() -> None:
    @attrs.frozen
    class Paid:
        price: Decimal

    class Till:
        settings = Paid

    validator = Draft202012Validator(settings_schema(Till))
    assert validator.is_valid({"price": "1.50"})
    assert validator.is_valid({"price": 1.5})


def test_plugin_without_settings_takes_none() -> None:
    for schema in (settings_schema(Free), rule_settings_schema(Free)):
        validator = Draft202012Validator(schema)
        assert validator.is_valid({})
        assert not validator.is_valid({"a": 1})


RULE = {"mapping": {"order": {"complete": {"settings": {"page": "data.url"}}}}}


@pytest.mark.parametrize(
    ("flow", "valid"),
    [
        (shop(), True),
        (shop(**RULE, batch=5, breaker={"threshold": 2}, consent={"marketing": True}), True),
        (shop(mapping={"order": {"*": [{"silent": True, "extend": {"name": None}}]}}), True),
        (shop(queueMax="$var.max", loadScript=True), True),
        (shop(queueMax="$env.MAX", disabled="$env.OFF:false", rateLimit="$env.RATE"), True),
        (shop(queueMax="$secret.MAX"), False),
        (shop(mapping={"order": {"complete": {"settings": {"pgae": "x"}}}}), False),
        (shop(mapping={"order": {"complete": {"include": ["usr"]}}}), False),
        (shop(settings={"siteId": "s"}), False),
        (shop(batch="5"), False),
        (shop(queueMxa=1), False),
        ({"destinations": {"a": {"package": "shop"}}}, False),
        (
            {"destinations": {"a": {"package": "@vendor/shop@^1", "config": {"settings": {}}}}},
            False,
        ),
        ({"destinations": {"a": {"package": "elsewhere", "config": {"any": 1}}}}, True),
        ({"destinations": {"a": {"package": "free", "examples": {}, "import": "x"}}}, True),
        ({"destinations": {"a": {"package": "free", "config": {"settings": {"a": 1}}}}}, False),
        ({"destinations": {"a": {"package": "free", "before": ["x"]}}}, True),
        ({"destinations": {"a": {"package": "free", "next": "x"}}}, False),
        ({"destinations": {"a": {}}}, False),
        ({"destinations": {"a": {"package": "file", "config": {"settings": {"path": "x"}}}}}, True),
        ({"collector": {"run": True, "spool": {"path": "x"}, "globalsStatic": {}}}, True),
        ({"collector": {"spool": {}}}, False),
        ({"collector": {"spool": {"path": "x"}, "deliver": False}}, True),
        ({"collector": {"deliver": True}}, True),
        ({"collector": {"deliver": False}}, False),
        ({"$schema": "x", "version": 4, "flows": {"a": shop(**RULE)}}, True),
        ({"version": 4, "flows": {"a": shop(batch="5")}}, False),
        ({"version": 4, "flows": {"a": {"config": {"platform": "web"}, "any": 1}}}, True),
        ({"version": 3, "flows": {}}, False),
        ({"flows": {}, "destinations": {}}, False),
        ({"sources": {"http": {}}, "variables": {"a": [1]}}, True),
    ],
)
def test_flow_files_are_accepted_or_refused(flow: dict[str, Any], valid: bool) -> None:
    assert FLOW.is_valid(flow) is valid


def _described(schema: Any, place: str = "") -> Iterator[tuple[str, str | None]]:
    """Yield the place and description of every key and definition of a schema."""
    if isinstance(schema, list):
        for item in schema:
            yield from _described(item, place)
        return
    if not isinstance(schema, dict):
        return
    if "description" in schema:
        yield place, schema["description"]
    for key, item in schema.items():
        if key == "properties":
            for name, part in item.items():
                if "description" not in part and name != "config":  # by package: a reference
                    yield f"{place}.{name}", None
                yield from _described(part, f"{place}.{name}")
        elif key == "$defs":
            for name, part in item.items():
                yield from _described(part, name)
        elif key != "if":
            yield from _described(item, place)


_SENTENCE = re.compile(r"(?!(Of|For|As|In|At(?! most)|By|To|Ms|With)\b)[A-Z`\"*][^\n]*\w[^\n]*[.)]")


def test_every_key_has_a_tooltip_that_makes_sense_by_itself() -> None:
    schemas = [flow_schema(Registry().discover())]
    for plugin in (info.class_of(info.name) for info in Registry().discover().installed()):
        schemas += [settings_schema(plugin), rule_settings_schema(plugin)]
    told = [item for schema in schemas for item in _described(schema)]
    wrong = {
        f"{place}: {text}"
        for place, text in told
        if text is None or not _SENTENCE.fullmatch(text) or len(text.split()) < 3
    }
    assert not wrong
    assert len(told) > 500
