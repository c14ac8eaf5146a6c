"""Three days at the shop, end to end: its events, posted to `walker serve`, to a local Customer.io.

    python examples/shop/demo.py

Starts the sandbox over TLS, serves the flow beside this file as from a shell, posts the events of
the visitors, and prints what became of them. Leaves nothing behind. Exit status 0 if every event is
accounted for.
"""

import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import urllib3
from rich.console import Console
from rich.table import Table

from walker_dest_customerio.sandbox import Sandbox

HERE = Path(__file__).parent
WALKER = Path(sys.executable).with_name("walker")
KEY = "key-of-the-shop"
PATIENCE = 60.0
"""How long (s) the demonstration waits until every event is delivered or held."""
FEW = 5
NEXT = """
To look at next:
  make play                         the shop with its doors open, and a page to watch it live
  {walker} simulate examples/shop/flow.json examples/shop/events.ndjson
                                    the calls of each event
  examples/shop/README.md           the shop, and a real workspace
  README.md                         install it, and a first flow
  docs/tutorial/first-flow.md       a flow of your own, in a quarter of an hour
  docs/how-it-works.md              the path of an event
"""


def environment(sandbox: Sandbox, output: str) -> dict[str, str]:
    """Return the environment variables that the flow file requires."""
    return {
        **os.environ,
        "CIO_SITE_ID": sandbox.site_id,
        "CIO_API_KEY": sandbox.api_key,
        "CIO_APP_API_KEY": sandbox.app_api_key,
        "CIO_TRACK_URL": sandbox.track_url,
        "CIO_API_URL": sandbox.api_url,
        "CIO_CA_FILE": sandbox.ca_file,
        "SHOP_KEY": KEY,
        "SHOP_OUTPUT": output,
    }


@contextmanager
def serve(variables: dict[str, str], *options: str, **how: Any) -> Iterator[dict[str, str]]:
    """Serve the flow until the end of the block; yield the addresses that it prints, by name.

    `web` takes events; with the option --inspect, `inspector` is the page to look at. Raises
    SystemExit if it does not start.
    """
    command: list[str | Path] = [WALKER, "serve", HERE / "flow.json", "--port", "0", *options]
    printed = ("web", "inspector") if options else ("web",)
    with subprocess.Popen(
        command, env=variables, stderr=subprocess.PIPE, text=True, **how
    ) as process:
        assert process.stderr is not None
        try:
            addresses = {}
            for name in printed:
                line = process.stderr.readline()
                if not line.startswith(f"{name}: "):
                    raise SystemExit(line + process.stderr.read())
                addresses[name] = line.split()[1]
            yield addresses
        finally:
            process.terminate()  # it delivers what it has accepted, and ends


def post(url: str) -> Counter[int]:
    """Post the visitors' events, each by a request; return how often each status was answered."""
    headers = {"Content-Type": "application/json", "X-Write-Key": KEY}
    with urllib3.PoolManager(headers=headers) as client:
        lines = (HERE / "events.ndjson").read_bytes().splitlines()
        return Counter(client.request("POST", url, body=line).status for line in lines)


def figures(url: str) -> dict[str, dict[str, int]]:
    """Return the figures of each destination, from the page for Prometheus."""
    page = urllib3.request(
        "GET", url.replace("/collect", "/metrics"), headers={"X-Write-Key": KEY}
    ).data.decode()
    found: dict[str, dict[str, int]] = {}
    for name, destination, value in re.findall(
        r'^walker_destination_(\w+?)(?:_total)?{destination="(\w+)"} (\d+)', page, re.MULTILINE
    ):
        found.setdefault(destination, {})[name] = int(value)
    return found


def settled(url: str) -> dict[str, dict[str, int]]:
    """Return the figures once no event waits; raises TimeoutError if that takes too long."""
    deadline = time.monotonic() + PATIENCE
    while found := figures(url):
        if not any(counts["waiting"] for counts in found.values()):
            break
        if time.monotonic() > deadline:
            raise TimeoutError(f"events still wait after {PATIENCE:g} s: {found}")
        time.sleep(0.05)
    return found


def destinations(found: dict[str, dict[str, int]]) -> Table:
    """Return the figures of the destinations."""
    shown = ("delivered", "held", "dead", "dropped", "waiting")
    table = Table("destination", *shown)
    for id_, counts in found.items():
        table.add_row(id_, *(str(counts.get(name, 0)) for name in shown))
    return table


def people(sandbox: Sandbox) -> Table:
    """Return the people in Customer.io, with attributes, devices and events."""
    columns = ("person", "email", "unsubscribed", "devices", "events")
    table = Table(*columns, title="People")
    for name, person in sorted(sandbox.people.items()):
        attributes = person["attributes"]
        table.add_row(
            name,
            person["email"] or "-",
            str(attributes.get("unsubscribed", "-")).lower(),
            ", ".join(person["devices"]) or "-",
            str(len(person["events"])),
        )
    return table


def events(sandbox: Sandbox) -> Table:
    """Return the number of events by name, of page views in all."""
    counts = Counter(
        "page views" if event["type"] == "page" else event["name"] for event in sandbox.events
    )
    table = Table("event", "number", title="Events")
    for name, count in counts.most_common():
        table.add_row(name, str(count))
    return table


def messages(sandbox: Sandbox) -> Table:
    """Return the first few messages."""
    sent = sandbox.messages
    title = f"Transactional messages: {len(sent)}, the first {FEW} of them"
    table = Table("to", "message", "data", title=title)
    for message in sent[:FEW]:
        request: dict[str, Any] = message["request"]
        data = ", ".join(f"{key} {value}" for key, value in request["message_data"].items())
        table.add_row(request["to"], request["transactional_message_id"], data)
    return table


def report(
    answers: Counter[int], found: dict[str, dict[str, int]], sandbox: Sandbox, archive: Path
) -> None:
    """Print what the requests were answered and what became of the events."""
    console = Console(highlight=False, width=80)
    each = ", ".join(f"{count} with {status}" for status, count in answers.items())
    console.print(f"\n{answers.total()} requests answered: {each}", style="bold")
    console.print(destinations(found))
    console.print("\nWhat the local Customer.io holds", style="bold")
    for table in (people(sandbox), events(sandbox), messages(sandbox)):
        table.title_justify = "left"
        console.print(table)
    counters = sandbox.counters
    console.print(f"suppressed: {', '.join(sandbox.suppressed) or 'nobody'}")
    console.print(f"requests: {counters['requests']} for {counters['operations']} operations")
    lines = len(archive.read_bytes().splitlines())
    console.print(f"archive: {lines} events in {archive.name}")


def main() -> int:
    """Run the demonstration; return its exit status."""
    with tempfile.TemporaryDirectory(prefix="shop-") as output, Sandbox() as sandbox:
        with serve(environment(sandbox, output)) as addresses:
            url = addresses["web"]
            print(f"Posting three days of a made-up shop to {url}; its orders:", flush=True)
            answers = post(url)
            found = settled(url)
        report(answers, found, sandbox, Path(output) / "events.ndjson")
    print(NEXT.format(walker=os.path.relpath(WALKER)))
    lost = any(counts["dead"] or counts["dropped"] for counts in found.values())
    return 1 if lost or set(answers) != {200} else 0


if __name__ == "__main__":
    sys.exit(main())
