from typing import Any

import pytest

from tests.customerio.support import context_of, event_of, item_of, settings_of
from walker_collector import ConfigError
from walker_collector.flow import load_flow
from walker_collector.plugins import Registry
from walker_dest_customerio.destination import CustomerioDestination


def load(settings: dict[str, Any], mapping: dict[str, Any] | None = None, **options: Any) -> Any:
    registry = Registry()
    registry.register("customerio", CustomerioDestination)
    config = {"settings": settings, "mapping": mapping or {}}
    raw = {"destinations": {"customerio": {"package": "customerio", "config": config}}}
    flow = load_flow(raw, registry=registry, environ={}, **options)
    return flow.destinations["customerio"].config


def problems_of(settings: dict[str, Any], mapping: dict[str, Any] | None = None) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(settings, mapping)
    return [str(problem) for problem in caught.value.problems]


KEYS = {"siteId": "site", "apiKey": "key"}
PLACE = "destinations.customerio.config"


def test_two_credentials_are_enough() -> None:
    settings = load(KEYS).settings
    assert (settings.region, settings.delivery, settings.timeout) == ("us", "batch", 10_000)
    assert settings.rate_limit == settings.app_rate_limit == 100
    assert settings.identify_timestamp is True


def test_person_is_found_at_user_id_and_session_by_default() -> None:
    context = context_of()
    event = event_of(user={"id": "u1", "session": "s1"})
    scope = item_of(context, event).context
    assert context.settings.customer_id(event, scope) == "u1"
    assert context.settings.anonymous_id(event, scope) == "s1"


def test_missing_credentials_are_named_with_their_place() -> None:
    found = problems_of({})
    assert any(f"{PLACE}.settings.siteId" in problem for problem in found)
    assert any(f"{PLACE}.settings.apiKey" in problem for problem in found)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("siteId", ""),
        ("apiKey", ""),
        ("region", "asia"),
        ("timeout", 0),
        ("rateLimit", -1),
        ("peopleMax", 0),
        ("trackUrl", "http://proxy"),
        ("trackUrl", "https://proxy/customerio"),
        ("apiUrl", "proxy:8443"),
        ("trackUrl", "https://user:password@proxy"),
        ("trackUrl", "https://proxy:99999"),
        ("trackUrl", "https://proxy:0"),
        ("trackUrl", "https://[bad"),
        ("apiUrl", "https://pro\nxy"),
        ("apiUrl", "https://proxy\u200b"),
        ("siteId", "site:1"),
        ("delivery", "queue"),
        ("identifyTimestamp", "yes"),
        ("onConsent", {"marketing": {"grant": {}}}),
    ],
)
def test_wrong_setting_is_named_with_its_place(key: str, value: object) -> None:
    (problem,) = problems_of({**KEYS, key: value})
    assert problem.startswith(f"{PLACE}.settings.{key}")


@pytest.mark.parametrize("key", ["siteId", "apiKey", "appApiKey"])
@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("abc123\n", "a line break"),
        ("abc\r\n123", "a line break"),
        (" abc123", "a space"),
        ("abc123\u200b", "the character U+200B"),
        ("\ufeffabc123", "the character U+FEFF"),
        ("abc\u00a0123", "the character U+00A0"),
        ("abc\x00", "the character U+0000"),
        ("gr\u00fcn", "the character U+00FC"),
    ],
)
def test_credential_that_no_header_carries_is_refused_when_the_flow_is_loaded(
    key: str, wrong: str, told: str
) -> None:
    (problem,) = problems_of({**KEYS, key: wrong})
    assert problem.startswith(f"{PLACE}.settings.{key}: holds {told}, which no credential has")
    assert "abc" not in problem


def test_unknown_rule_setting_is_answered_with_the_one_that_was_meant() -> None:
    rule: dict[str, Any] = {"settings": {"sendEmial": {"map": {}}}}
    (problem,) = problems_of(KEYS, {"order": {"complete": rule}})
    assert f"{PLACE}.mapping.order.complete.settings.sendEmial" in problem
    assert "sendEmail" in problem


def test_messages_without_the_key_of_their_api_are_a_mistake() -> None:
    email: dict[str, Any] = {"sendEmail": {"map": {"to": "user.email"}}}
    push: dict[str, Any] = {"sendPush": {"map": {}}}
    mapping = {"order": {"complete": {"settings": email}, "*": [{}, {"settings": push}]}}
    found = problems_of(KEYS, mapping)
    assert len(found) == 2
    assert found[0].startswith(f"{PLACE}.mapping.order.complete.settings.sendEmail: ")
    assert found[1].startswith(f"{PLACE}.mapping.order.*[1].settings.sendPush: ")
    assert all("settings.appApiKey" in problem for problem in found)
    load({**KEYS, "appApiKey": "app"}, mapping)


def test_simulation_needs_no_credentials() -> None:
    rule = {"settings": {"sendEmail": {"map": {"to": "user.email"}}}}
    load({"siteId": "$env.SITE"}, {"order": {"complete": rule}}, credentials=False)


def test_credentials_are_never_shown() -> None:
    settings = settings_of(apiKey="track-secret", appApiKey="app-secret")
    assert "secret" not in repr(settings)
    assert "secret" not in str(context_of(settings))


def test_flags_may_hold_anything_and_only_true_counts() -> None:
    rule = {"settings": {"suppress": "true", "destroy": 1, "unsuppress": None}}
    load(KEYS, {"order": {"complete": rule}})


LOST = "makes no object, which is what Customer.io takes: events go out without data"


def test_data_that_plainly_is_no_object_is_warned_of_with_its_place() -> None:
    registry = Registry()
    registry.register("customerio", CustomerioDestination)
    rules = {
        "order": {
            "complete": {"data": {"loop": ["nested", "data"]}},
            "cancel": [{"data": {"value": 5}}, {"data": "data.total"}, {"data": {"map": {}}}],
            "view": {"skip": True, "data": {"value": 5}, "name": "x" * 101},
            "long": {"name": "x" * 101},
            "short": {"name": "x" * 100},
            "log": {"ignore": True, "data": {"value": 5}},
        }
    }
    config = {"settings": KEYS, "mapping": rules, "data": {"set": ["data"]}}
    raw = {"destinations": {"customerio": {"package": "customerio", "config": config}}}
    flow = load_flow(raw, registry=registry, environ={})
    assert list(flow.warnings) == [
        f"{PLACE}.data: {LOST}",
        f"{PLACE}.mapping.order.complete.data: {LOST}",
        f"{PLACE}.mapping.order.cancel[0].data: {LOST}",
        f"{PLACE}.mapping.order.long.name: takes more than Customer.io's 100 bytes: it refuses"
        " these events",
    ]


def test_age_of_an_identify_is_not_negative() -> None:
    assert load({**KEYS, "identifyAge": 0}).settings.identify_age == 0
    assert problems_of({**KEYS, "identifyAge": -1}) == [
        f"{PLACE}.settings.identifyAge: must be at least 0, got -1"
    ]


def test_keys_that_an_operation_does_not_read_are_warned_of() -> None:
    registry = Registry()
    registry.register("customerio", CustomerioDestination)
    device = {"deviceId": "user.device", "platform": {"value": "ios"}, "last_used": "timestamp"}
    gone = {key: device[key] for key in ("deviceId", "platform")}
    rule = {"skip": True, "settings": {"addDevice": {"map": device}, "deleteDevice": {"map": gone}}}
    config = {"settings": KEYS, "mapping": {"app": {"open": rule}}}
    raw = {"destinations": {"customerio": {"package": "customerio", "config": config}}}
    place = f"{PLACE}.mapping.app.open.settings.addDevice.map.last_used"
    warnings = load_flow(raw, registry=registry, environ={}).warnings
    assert warnings == (f"{place}: is not sent; write it into data",)
