"""A collector with its inspector, a browser to look at it, and the checks of axe-core."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen
from playwright.sync_api import Browser, Page, sync_playwright

from tests.core.sources.serve_support import delivered, post, serving
from tests.inspector.hook import Hook, hook_server
from tests.services import missing
from tests.wheelhouse import once_for_all, run

HERE = Path(__file__).parent
NPM = ("npm", "install", "--silent", "--no-package-lock", "--no-audit", "--no-fund")
PATIENCE = 10_000
"""ms that the browser waits for an element."""
ORDER = {
    "name": "Order Completed",
    "data": {"map": {"total": "data.total", "email": "user.email"}},
}


@frozen
class Inspected:
    """A collector that is served with its inspector, and the service that it delivers to."""

    folder: Path
    url: str
    address: str
    hook: Hook

    def send(self, *events: dict[str, Any]) -> None:
        status, answer = post(self.url, list(events))
        assert status == 200, answer

    def delivered(self) -> list[str]:
        """Return the ids of the events in the archive."""
        return delivered(self.folder)


def flow_with(hook: str) -> dict[str, Any]:
    """Return a flow with a destination for each fate of an event."""
    return {
        "collector": {"spool": {"path": "spool.db"}, "consent": {"functional": True}},
        "sources": {"web": {"package": "http", "config": {"settings": {"port": 0}}}},
        "destinations": {
            "archive": {"package": "file", "config": {"settings": {"path": "out.ndjson"}}},
            "newsletter": {
                "package": "file",
                "config": {
                    "consent": {"marketing": True},
                    "settings": {"path": "newsletter.ndjson"},
                    "mapping": {
                        "order": {"complete": ORDER},
                        "page": {"view": {"ignore": True}},
                        "product": {"add": {}},
                    },
                },
            },
            "warehouse": {
                "package": "http",
                "config": {
                    "settings": {"url": hook},
                    "mapping": {"order": {"complete": {}}},
                    "unmatched": "ignore",
                },
            },
        },
    }


@pytest.fixture
def inspected(tmp_path: Path, chromium: str) -> Iterator[Inspected]:
    with hook_server() as hook:
        flow = tmp_path / "flow.json"
        flow.write_text(json.dumps(flow_with(hook.url)))
        with serving(flow, "--inspect-values", sources=2) as (_, (url, address)):
            yield Inspected(tmp_path, url, address, hook)


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", "--disable-dev-shm-usage"],  # of root, in containers
        )
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A tab of a fresh profile; what goes wrong in it fails the test."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda line: faults.append(line.text) if _is_fault(line) else None)
    yield page
    context.close()
    assert faults == []


def _is_fault(line: Any) -> bool:
    # Chromium itself writes a line for each answer such as 401.
    return line.type in ("error", "warning") and "Failed to load resource" not in line.text


def _install(folder: Path) -> None:
    shutil.copy(HERE / "package.json", folder)
    run(*NPM, "--ignore-scripts", cwd=folder)


@pytest.fixture(scope="session")
def axe(shared_folder: Path) -> str:
    """The script of axe-core."""
    if shutil.which("npm") is None:
        missing("npm is not installed (Debian: npm)")
    try:
        folder = once_for_all(shared_folder / "axe", _install)
    except AssertionError as error:
        missing(f"npm cannot install axe-core: {error}")
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text("utf-8")
