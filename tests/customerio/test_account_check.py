"""`walker check` of Customer.io: a harmless request to each API."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.core.cli_support import walker
from tests.customerio.support import closed_port
from walker_collector import Secret
from walker_collector.testing import Harness
from walker_dest_customerio.account_check import account_problems
from walker_dest_customerio.clients import TrackClient, open_clients
from walker_dest_customerio.destination import CustomerioDestination
from walker_dest_customerio.sandbox import Sandbox
from walker_dest_customerio.settings import Settings


def problems(customerio: Sandbox, **settings: Any) -> list[str]:
    return Harness(CustomerioDestination, {**customerio.settings(), **settings}).check()


def test_right_account_has_no_problem_and_nothing_changes(customerio: Sandbox) -> None:
    before = customerio.state()["people"]
    assert problems(customerio) == []
    assert [(record.method, record.path) for record in customerio.requests] == [
        ("GET", "/api/v1/accounts/region"),
        ("GET", "/v1/transactional"),
    ]
    assert customerio.state()["people"] == before


def test_each_wrong_key_is_told_with_its_setting(customerio: Sandbox) -> None:
    track, app = problems(customerio, apiKey="wrong-key", appApiKey="wrong-app-key")
    assert track.startswith("Track API answered 401: ")
    assert track.endswith("check settings.siteId and settings.apiKey")
    assert app.startswith("App API answered 401: ")
    assert app.endswith("check settings.appApiKey")


def test_app_api_is_asked_only_with_a_key(customerio: Sandbox) -> None:
    settings = {key: item for key, item in customerio.settings().items() if key != "appApiKey"}
    assert Harness(CustomerioDestination, settings).check() == []
    assert [record.path for record in customerio.requests] == ["/api/v1/accounts/region"]


@pytest.mark.parametrize("status", [301, 302])
def test_wrong_region_is_told_by_a_redirect(customerio: Sandbox, status: int) -> None:
    customerio.fault("redirect", status=status, location="https://elsewhere.example")
    (problem,) = problems(customerio)
    assert "the account is not in region 'us'; set settings.region to 'eu'" in problem


def test_wrong_region_is_told_by_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = json.dumps({"url": "track-eu.customer.io", "data_center": "eu"}).encode()
    monkeypatch.setattr(TrackClient, "ask", lambda self, path: answer)
    settings = Settings(site_id="s", api_key=Secret("k"))
    assert list(account_problems(open_clients(settings), settings)) == [
        "Track API: the account is in region 'eu', and settings.region is 'us'; set it to 'eu'"
    ]


def test_host_that_cannot_be_reached_is_named(customerio: Sandbox) -> None:
    port = closed_port()
    url = f"https://127.0.0.1:{port}"
    track, app = problems(customerio, trackUrl=url, apiUrl="https://nowhere.invalid")
    assert f"127.0.0.1:{port} (Connection refused)" in track
    assert app.startswith("App API: cannot resolve nowhere.invalid: ")


def test_command_says_what_is_wrong(customerio: Sandbox, tmp_path: Path) -> None:
    settings = {**customerio.settings(), "apiKey": "wrong-key"}
    entry = {"package": "customerio", "config": {"settings": settings}}
    flow = tmp_path / "flow.json"
    flow.write_text(json.dumps({"destinations": {"crm": entry}}))
    result = walker("check", flow)
    assert result.exit_code == 1
    assert result.stdout.startswith("crm: wrong\n    Track API answered 401: ")
    assert "wrong-key" not in result.output
