"""The shop with its doors open: visitors come and go until Ctrl-C, and a page shows it live.

    python examples/shop/play.py

Starts a local Customer.io and `walker serve --inspect-values`, opens the inspector in the browser,
and posts the visitors' events, in each round those of new people. Customer.io answers slowly, fails
now and then, and refuses some emails. Leaves nothing behind.
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import webbrowser
from collections.abc import Iterator
from itertools import count
from typing import Any

import urllib3
from demo import HERE, KEY, environment, serve

from walker_dest_customerio.sandbox import Sandbox

PACE = 0.3
"""Mean time (s) between two events."""
OUTAGE = 150
"""Events from one outage of Customer.io to the next."""
IDENTIFIERS = ("id", "device", "session")


def visitors() -> Iterator[dict[str, Any]]:
    """Yield the events of the shop, now; in each round with other people."""
    events = [json.loads(line) for line in (HERE / "events.ndjson").read_bytes().splitlines()]
    for number in count(1):
        for event in events:
            user = event.get("user") or {}
            others = {
                key: f"{value}-{number}" if key in IDENTIFIERS and number > 1 else value
                for key, value in user.items()
            }
            yield {
                **{key: value for key, value in event.items() if key not in ("timestamp", "id")},
                **({"user": others} if user else {}),
            }


def be_fallible(sandbox: Sandbox) -> None:
    """Have Customer.io answer slowly, and refuse every fifth email."""
    sandbox.fault("status", path="/v1/send/email", status=400, every=5, times=None)
    sandbox.fault("latency", ms=60, times=None, probability=0.7)


def play(url: str, sandbox: Sandbox) -> None:
    """Post the visitors' events until somebody ends it."""
    headers = {"Content-Type": "application/json", "X-Write-Key": KEY}
    with urllib3.PoolManager(headers=headers) as client:
        for number, event in enumerate(visitors(), 1):
            client.request("POST", url, body=json.dumps(event).encode())
            if number % OUTAGE == 0:
                sandbox.fault("status", path="/api/v2", status=503, times=5)
            time.sleep(random.expovariate(1 / PACE))


def can_open() -> bool:
    """Return whether there is a desktop: a browser in the terminal would take its place."""
    desktop = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return bool(desktop) or sys.platform in ("darwin", "win32")


def main() -> int:
    """Open the shop until Ctrl-C; return the exit status."""
    for number in (signal.SIGTERM, signal.SIGHUP):  # a terminal that is closed ends it as well
        signal.signal(number, signal.default_int_handler)
    apart = {"stdout": subprocess.DEVNULL, "start_new_session": True}  # Ctrl-C is for this one
    with tempfile.TemporaryDirectory(prefix="shop-") as output, Sandbox() as sandbox:
        be_fallible(sandbox)
        variables = environment(sandbox, output)
        try:
            with serve(variables, "--inspect-values", **apart) as addresses:
                page = addresses["inspector"]
                print(f"The shop is open. Look at it here:\n\n  {page}\n", flush=True)
                print("Ctrl-C closes it.", flush=True)
                if can_open():
                    webbrowser.open(page)
                play(addresses["web"], sandbox)
        except KeyboardInterrupt:
            print("\nThe shop is closed.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
