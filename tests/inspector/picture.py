"""Takes the picture of the inspector for the README, of the shop of `make play`:

python -m tests.inspector.picture
"""

import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.support import program

ROOT = Path(__file__).parent.parent.parent
PICTURE = ROOT / "docs" / "inspector.png"
SIZE = {"width": 1440, "height": 880}
LOOKS = 75_000
"""ms for which the shop is looked at before the picture is taken."""


def main() -> None:
    """Open the shop, look at it for a while, and take the picture."""
    command = [sys.executable, ROOT / "examples" / "shop" / "play.py"]
    with program(command, stdout=subprocess.PIPE) as shop:
        assert shop.stdout is not None
        try:
            address = next(filter(None, (re.search(r"http\S+", line) for line in shop.stdout)))[0]
            take(address)
        finally:
            shop.send_signal(signal.SIGINT)
            shop.wait(60)


def take(address: str) -> None:
    """Take the picture of the page at an address, with an order opened."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = chromium.new_page(viewport=SIZE, reduced_motion="reduce")
        page.goto(address)
        page.wait_for_timeout(LOOKS)
        page.evaluate("document.getElementById('flow').textContent = 'examples/shop/flow.json'")
        page.screenshot(path=PICTURE)
        chromium.close()


if __name__ == "__main__":
    main()
