"""Rules whose effects are guarded: who can reach them."""

from typing import Any

import pytest
from attrs import frozen

from walker_collector import PluginError, hookimpl
from walker_collector.flow import load_flow
from walker_collector.plugins import Registry
from walker_collector.sources.http.source import HttpSource
from walker_collector.verification import verify_destination


@frozen(kw_only=True)
class RuleSettings:
    delete_all: bool = False
    send_mail: dict[str, Any] | None = None
    note: str = ""


class Guarding:
    rule_settings = RuleSettings
    guarded: Any = frozenset({"deleteAll", "sendMail"})

    @hookimpl
    def push(self, event: Any) -> None: ...


RULES: dict[str, Any] = {
    "delete": {"settings": {"deleteAll": True, "sendMail": {"to": "x"}}},
    "welcome": [{"settings": {"note": "x"}}, {"settings": {"sendMail": {"to": "x"}}}],
    "leave": {"untrusted": True, "settings": {"deleteAll": True}},
    "skip": {"ignore": True, "settings": {"deleteAll": True}},
    "login": {"settings": {"deleteAll": False}},
}


def warnings(source: Any, rules: Any = RULES, **entry: Any) -> list[str]:
    registry = Registry()
    registry.register("crm", Guarding)
    registry.register_source("http", HttpSource)
    crm = {"package": "crm", "config": {"mapping": {"user": rules}, **entry}}
    raw = {"sources": source, "destinations": {"crm": crm, "other": {"package": "crm"}}}
    return [
        text
        for text in load_flow(raw, environ={}, registry=registry, serve=True).warnings
        if "anybody" in text
    ]


OPEN = {"web": {"package": "http"}, "old": {"package": "@walkeros/server-source-express"}}


def test_rules_that_anybody_can_reach_are_named() -> None:
    (warning,) = warnings(OPEN)
    place = "destinations.crm.config.mapping.user"
    assert warning.startswith("sources.web, sources.old: anybody can send events")
    assert f"{place}.delete (deleteAll, sendMail), {place}.welcome[1] (sendMail); give" in warning
    assert 'write "untrusted": true' in warning


def test_a_long_list_of_rules_is_cut() -> None:
    rules = {f"delete{at}": RULES["delete"] for at in range(50)}
    (warning,) = warnings(OPEN, rules)
    assert warning.count("(deleteAll, sendMail)") == 20
    assert "and 30 more" in warning


def test_rules_that_not_everybody_can_reach_are_not_named() -> None:
    locked = {"settings": {"keys": {"web": {"key": "k"}}}}
    assert warnings({"web": {"package": "http", "config": locked}}) == []
    assert warnings({}) == []
    assert warnings(OPEN, disabled=True) == []


@pytest.mark.parametrize("declared", ["deleteAll", {"deleteAll"}, frozenset({1})])
def test_guarded_settings_are_a_frozenset_of_names(declared: object) -> None:
    plugin = type("Odd", (Guarding,), {"guarded": declared})
    with pytest.raises(PluginError, match="guarded must be a frozenset of names"):
        verify_destination("odd", plugin)
