"""The page while its collector does not answer, and once it does again."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from playwright.sync_api import Page, expect

from tests.support import PATIENCE, wait_until
from walker_collector import Collector, inspector

TOKEN = "a-token-that-stays-the-same"
FLOW = {
    "destinations": {
        "archive": {"package": "file", "config": {"settings": {"path": "out.ndjson"}}},
        "newsletter": {
            "package": "file",
            "config": {"consent": {"marketing": True}, "settings": {"path": "newsletter.ndjson"}},
        },
    }
}


@contextmanager
def served(app: Any, port: int = 0) -> Iterator[int]:
    """Serve an application until the end of the block; open connections are cut."""
    config = uvicorn.Config(app, port=port, log_level="critical", timeout_graceful_shutdown=0)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        wait_until(lambda: server.started, "it serves")
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(PATIENCE)


def test_page_says_that_the_collector_is_away_and_recovers_by_itself(
    page: Page, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    with Collector.from_config(FLOW) as collector:
        app = inspector.app(collector, token=TOKEN, show_values=True)
        with served(app) as port:
            page.goto(f"http://127.0.0.1:{port}/#token={TOKEN}")
            expect(page.locator("#link")).to_have_text("Live")
            collector.push("order complete", user={"id": "ines"})
            page.click("nav a[href='#/held']")
            expect(page.locator("#held-list article")).to_contain_text("ines")
            page.click("nav a[href='#/live']")
            expect(page.locator("#destinations article")).to_have_count(2)
        lost = page.get_by_role("alert").filter(has_text="The collector does not answer")
        expect(lost).to_contain_text("trying again. Nothing was heard of it since")
        assert page.evaluate("getComputedStyle(document.getElementById('live')).opacity") < "0.6"
        collector.forget({"id": "ines"})
        page.click("nav a[href='#/held']")
        expect(page.locator("#held-list")).to_have_text("Not known until the collector answers.")
        assert "Failed to fetch" not in page.content()
        with served(app, port):
            expect(page.locator("#link")).to_have_text("Live")
            expect(lost).to_be_hidden()
            expect(page.locator("#held-list")).to_have_text("Nothing is held.")
            page.get_by_role("button", name="Show values").click()
            expect(page.locator("#unmasked")).to_be_visible()
        expect(lost).to_be_visible()
        with served(inspector.app(collector, token="another-token-of-a-restart"), port):
            expect(page.get_by_label("Token")).to_be_visible()
            expect(page.get_by_role("alert").filter(has_text="started again")).to_be_visible()
            expect(page.locator("#unmasked, #values, #lost").locator("visible=true")).to_have_count(
                0
            )
            box = page.locator("#entry").bounding_box()
            assert box is not None
            assert abs(box["x"] + box["width"] / 2 - 720) < 10, "it stands in the middle"
