"""Pages of another origin in a real browser, with the clients that pages have."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from attrs import frozen

from tests.clients.browser import Pages, serve_pages, visited
from tests.clients.support import Served, served
from tests.support import PATIENCE

KEY = "pages-0123456789abcdef"


@pytest.fixture
def pages(node_packages: Path) -> Iterator[Pages]:
    with serve_pages(node_packages) as pages:
        yield pages


@pytest.fixture
def collector(tmp_path: Path, pages: Pages) -> Iterator[Served]:
    """A collector with TLS, and a key for these pages alone."""
    made = trustme.CA().issue_cert("127.0.0.1")
    pem, keys = tmp_path / "both.pem", {"pages": {"key": KEY, "origins": [pages.url]}}
    made.private_key_and_cert_chain_pem.write_to_path(pem)
    tls = {"tlsCert": str(pem), "tlsKey": str(pem)}
    with served(tmp_path, keys=keys, cors=[pages.url], **tls) as collector:
        yield collector


@frozen
class Browser:
    """The browser, where it can go, and the collector that its pages send to."""

    program: str
    folder: Path
    pages: Pages
    collector: Served

    def events(self, page: str, **query: str) -> dict[str, Any]:
        """Visit a page; return its three events, in any order: name -> event."""
        with visited(self.program, self.folder, self.pages.address(page, **query)):
            assert self.pages.done.get(timeout=PATIENCE) == []
            return {event["name"]: event for event in self.collector.events(3)}

    def walkeros(self, **query: str) -> dict[str, Any]:
        """Visit the page with walkerOS's client."""
        return self.events("walkeros.html", url=f"{self.collector.url}?key={KEY}", **query)

    def analytics_js(self, **query: str) -> dict[str, Any]:
        """Visit the page with Segment's client."""
        return self.events("segment.html", url=self.collector.host, key=KEY, **query)


@pytest.fixture
def browser(chromium: str, pages: Pages, collector: Served, tmp_path: Path) -> Browser:
    return Browser(chromium, tmp_path, pages, collector)


@pytest.mark.parametrize("transport", ["fetch", "beacon"])
def test_events_of_walkeros_arrive_with_the_consent_of_the_page(
    transport: str, browser: Browser
) -> None:
    events = browser.walkeros(transport=transport, marketing="no")
    assert {name: event["data"].get("sku") for name, event in events.items()} == {
        "page view": None,
        "product view": "OOL-100",
        "product add": "OOL-100",
    }
    for event in events.values():
        assert event["consent"] == {"functional": True}
        assert event["source"]["type"] == "browser"
        assert event["user"]["session"] == "s-1"
    browser.collector.stop()
    assert browser.collector.events(0, "marketing") == []


# In batches the calls are sent when the visitor leaves the page.
@pytest.mark.parametrize("strategy", ["standard", "batching"])
def test_calls_of_analytics_js_arrive_with_the_consent_of_the_page(
    strategy: str, browser: Browser
) -> None:
    events = browser.analytics_js(strategy=strategy, marketing="no")
    assert events.keys() == {"page view", "tea viewed", "order completed"}
    assert events["page view"]["data"]["title"] == "Kettle & Leaf"
    for event in events.values():
        assert event["consent"] == {"functional": True}
        assert event["user"]["device"] == "d-1"
    browser.collector.stop()
    assert browser.collector.events(0, "marketing") == []


@pytest.mark.parametrize("transport", ["fetch", "beacon"])
def test_held_events_of_walkeros_are_released_by_the_next_one_with_a_grant(
    transport: str, browser: Browser
) -> None:
    events = browser.walkeros(transport=transport, marketing="yes")
    assert {event["name"] for event in browser.collector.events(3, "marketing")} == events.keys()


@pytest.mark.parametrize("strategy", ["standard", "batching"])
def test_held_calls_of_analytics_js_are_released_by_the_next_one_with_a_grant(
    strategy: str, browser: Browser
) -> None:
    events = browser.analytics_js(strategy=strategy, marketing="yes")
    assert {event["name"] for event in browser.collector.events(3, "marketing")} == events.keys()
