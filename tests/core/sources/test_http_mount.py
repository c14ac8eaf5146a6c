"""The application of a source that a flow describes, mounted in another application."""

import asyncio
import logging
from typing import Any

import httpx
import pytest

from walker_collector import Collector, ConfigError
from walker_collector.sources.http import app


def posted(application: Any, event: Any, **headers: str) -> int:
    async def post() -> httpx.Response:
        transport = httpx.ASGITransport(app=application)
        async with httpx.AsyncClient(transport=transport, base_url="http://walker") as client:
            return await client.post("/in", json=event, headers=headers)

    return asyncio.run(asyncio.wait_for(post(), 20)).status_code


def flow(**settings: Any) -> dict[str, Any]:
    policy = {"data.door": {"value": "web"}}
    config = {"settings": {"path": "/in", **settings}, "policy": policy}
    return {"sources": {"web": {"package": "http", "config": config}}}


KEYS = {"server": {"key": "$secret.SERVER_KEY", "trusted": True}}


def test_mounted_source_has_its_settings_and_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVER_KEY", "s-key")
    out = {"destinations": {"out": {"package": "console", "config": {"mock": True}}}}
    with Collector.from_config({**flow(keys=KEYS), **out}) as collector:
        application = app(collector, source="web")
        assert posted(application, {"name": "a b"}) == 401
        assert posted(application, {"name": "a b"}, authorization="Bearer s-key") == 200
        assert collector.status().accepted == 1


def test_application_that_mounts_a_source_is_not_warned_that_none_is_started(
    caplog: pytest.LogCaptureFixture,
) -> None:
    out = {"destinations": {"out": {"package": "console", "config": {"mock": True}}}}
    with (
        caplog.at_level(logging.INFO),
        Collector.from_config({**flow(keys={"a": {"key": "k"}}), **out}) as collector,
    ):
        web = app(collector, source="web")
        assert posted(web, {"name": "a b"}, authorization="Bearer k") == 200
    (level,) = [record.levelno for record in caplog.records if "not run here" in record.message]
    assert level == logging.INFO


def test_optional_setting_that_is_unset_does_not_keep_a_source_from_being_mounted() -> None:
    out = {"destinations": {"out": {"package": "console", "config": {"mock": True}}}}
    with Collector.from_config({**flow(port="$env.NOT_SET_ANYWHERE"), **out}) as collector:
        assert posted(app(collector, source="web"), {"name": "a b"}) == 200


@pytest.mark.parametrize("source", ["web", "wbe"])
def test_source_that_lacks_a_secret_cannot_be_mounted(source: str) -> None:
    with (
        Collector.from_config({**flow(keys=KEYS), "destinations": {}}) as collector,
        pytest.raises(ConfigError, match=f"there is no {source} that can be served"),
    ):
        app(collector, source=source)
