"""`walker serve --inspect`: its address, its options, its end; the setting of the source."""

import json
import urllib.request
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

import pytest

from tests.core.cli_support import walker, write_flow
from tests.core.sources.serve_support import OUT, ended, flow_in, serving
from tests.support import PATIENCE
from walker_collector import ConfigError
from walker_collector.cli.inspection import Inspection, with_inspector
from walker_collector.flow import load_flow
from walker_collector.sources.http import App, Settings

HTTP = {"package": "http", "config": {"settings": {"port": 0}}}


def opened(address: str, path: str, token: str = "") -> Any:
    parts = urlsplit(address)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(f"{parts.scheme}://{parts.netloc}{path}", headers=headers)
    return urllib.request.urlopen(request, timeout=PATIENCE)


def test_address_with_a_token_is_printed_and_an_open_page_delays_no_end(tmp_path: Path) -> None:
    flow = flow_in(tmp_path)
    with serving(flow, "--port", 0, "--inspect", sources=2) as (process, (_, address)):
        token = urlsplit(address).fragment.removeprefix("token=")
        assert len(token) >= 32
        with opened(address, "/inspect/") as page:
            assert b"inspector.js" in page.read()
        with opened(address, "/inspect") as page:  # it leads to the one with a slash
            assert urlsplit(page.url).path == "/inspect/"
        with pytest.raises(HTTPError, match="401"):
            opened(address, "/inspect/api/events")
        with opened(address, "/inspect/api/events", token) as stream:
            assert stream.readline() == b"event: hello\n"
            assert json.loads(stream.readline()[6:])["mayShowValues"] is False
            assert ended(process) == 0
            stream.read()  # to its end


def test_inspector_needs_a_source_that_serves_it(tmp_path: Path) -> None:
    lines = {"package": "file", "config": {"settings": {"path": "lines.ndjson"}}}
    result = walker("serve", flow_in(tmp_path, {"lines": lines}), "--inspect")
    assert result.exit_code == 2
    assert "--inspect needs a source http" in result.output


def test_setting_of_a_source_is_as_good_as_the_option(tmp_path: Path) -> None:
    settings = {"port": 0, "inspect": True}
    sources = {"a": HTTP, "b": {"package": "http", "config": {"settings": settings}}}
    flow = load_flow(flow_in(tmp_path, sources), serve=True)
    found = Inspection.of(flow, show_values=False, remote=False)
    assert found is not None
    assert found.source == "b"
    assert found.token not in repr(found)
    plain = load_flow(flow_in(tmp_path, {"a": HTTP}), serve=True)
    assert Inspection.of(plain, show_values=False, remote=False) is None
    assert with_inspector(plain).sources["a"].config.settings.inspect


@pytest.mark.parametrize(
    ("place", "address"),
    [
        ("http://127.0.0.1:8080/collect", "http://127.0.0.1:8080/inspect/#token="),
        ("https://0.0.0.0:443/c", "https://127.0.0.1:443/inspect/#token="),
        ("http://[::1]:8080/collect", "http://[::1]:8080/inspect/#token="),
        ("http://[::]:8080/collect", "http://[::1]:8080/inspect/#token="),
    ],
)
def test_address_is_one_that_a_browser_can_go_to(place: str, address: str) -> None:
    inspection = Inspection("web", "t" * 16, show_values=False, remote=False)
    assert inspection.address(place) == address + "t" * 16


def test_path_of_the_inspector_is_its_own(tmp_path: Path) -> None:
    settings = {"inspect": True, "path": "/inspect/events"}
    sources = {"web": {"package": "http", "config": {"settings": settings}}}
    flow = write_flow(tmp_path, {"out": OUT})
    flow.write_text(json.dumps({**json.loads(flow.read_text()), "sources": sources}))
    with pytest.raises(ConfigError, match="has the inspector's page"):
        load_flow(flow, serve=True)


def test_nothing_is_at_that_path_without_the_inspector() -> None:
    app = App(list, Settings(inspect=True))
    assert app.respond("GET", "/inspect/", {})[0] == 404
