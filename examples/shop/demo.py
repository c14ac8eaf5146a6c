"""Three days at the shop, end to end: its events, through `walker run`, to a local Customer.io.

    python examples/shop/demo.py

Starts the sandbox over TLS, runs the flow beside this file as from a shell, and prints the contents
of Customer.io and of the archive. Leaves nothing behind. Exit status 0 if every event is accounted
for.
"""

import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from walker_dest_customerio.sandbox import Sandbox

HERE = Path(__file__).parent
WALKER = Path(sys.executable).with_name("walker")
FEW = 5
NEXT = """
To look at next:
  {walker} simulate examples/shop/flow.json examples/shop/events.ndjson
                                    the calls of each event
  examples/shop/README.md           the shop, and a real workspace
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
        "SHOP_OUTPUT": output,
    }


def people(sandbox: Sandbox) -> Table:
    """Return the people in Customer.io, with attributes, devices and events."""
    columns = ("person", "email", "first name", "unsubscribed", "devices", "events")
    table = Table(*columns, title="People")
    for name, person in sandbox.people.items():
        attributes = person["attributes"]
        table.add_row(
            name,
            person["email"] or "-",
            attributes.get("first_name", "-"),
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
    table = Table("channel", "to", "message", "data", title=title)
    for message in sent[:FEW]:
        request: dict[str, Any] = message["request"]
        data = ", ".join(f"{key} {value}" for key, value in request["message_data"].items())
        table.add_row(message["channel"], request["to"], request["transactional_message_id"], data)
    return table


def report(sandbox: Sandbox, archive: Path) -> None:
    """Print the contents of Customer.io and of the archive."""
    console = Console(highlight=False, width=100)
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
    """Run the demonstration; return the exit status of `walker run`."""
    with tempfile.TemporaryDirectory(prefix="shop-") as output, Sandbox() as sandbox:
        done = subprocess.run(
            [WALKER, "run", HERE / "flow.json", HERE / "events.ndjson"],
            env=environment(sandbox, output),
            check=False,
        )
        report(sandbox, Path(output) / "events.ndjson")
    print(NEXT.format(walker=os.path.relpath(WALKER)))
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
