"""Pages of another origin in a real browser, with the clients that pages have."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from tests.clients.browser import Pages, serve_pages, visited
from tests.clients.support import Served, served
from tests.support import PATIENCE

KEY = "pages-0123456789abcdef"
LOOKING = {"functional": True}
AGREED = {"functional": True, "marketing": True}


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


@pytest.mark.parametrize("transport", ["fetch", "beacon"])
def test_events_of_walkeros_arrive_with_their_consent(
    transport: str, chromium: str, pages: Pages, collector: Served, tmp_path: Path
) -> None:
    url = f"{collector.url}?key={KEY}"
    page = pages.address("walkeros.html", url=url, transport=transport)
    with visited(chromium, tmp_path, page):
        answers = pages.done.get(timeout=PATIENCE)
        assert [answer["ok"] for answer in answers] == [True] * 3
        events = collector.events(3)  # in any order: the requests are on their way together
    assert {event["name"]: (event["data"].get("sku"), event["consent"]) for event in events} == {
        "page view": (None, LOOKING),
        "product view": ("OOL-100", LOOKING),
        "product add": ("OOL-100", AGREED),
    }
    assert {event["source"]["type"] for event in events} == {"browser"}
    assert {event["user"]["session"] for event in events} == {"s-1"}


@pytest.mark.parametrize("strategy", ["standard", "batching"])
def test_calls_of_analytics_js_arrive_with_their_consent(
    strategy: str, chromium: str, pages: Pages, collector: Served, tmp_path: Path
) -> None:
    """In batches the calls are sent when the visitor leaves the page."""
    page = pages.address("segment.html", url=collector.host, key=KEY, strategy=strategy)
    with visited(chromium, tmp_path, page):
        assert pages.done.get(timeout=PATIENCE) == []
        events = collector.events(3)
    assert [(event["name"], event["consent"]) for event in events] == [
        ("page view", LOOKING),
        ("tea viewed", LOOKING),
        ("order completed", AGREED),
    ]
    assert events[0]["data"]["title"] == "Kettle & Leaf"
    assert {event["user"]["device"] for event in events} == {"d-1"}
