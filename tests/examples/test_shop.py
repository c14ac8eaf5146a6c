"""The demonstration of `examples/shop`, run as `make demo` does."""

import signal
import subprocess
import sys
import urllib.request

from tests.examples.support import EXAMPLES, read, simulated
from tests.support import PATIENCE
from tests.support import program as running
from walker_collector.flow import load_flow

FOLDER = EXAMPLES / "shop"


def program(name: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, FOLDER / name], capture_output=True, text=True, check=False, timeout=60
    )


def test_demonstration_ends_well_and_shows_what_customerio_holds() -> None:
    done = program("demo.py")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    for shown in (
        "344 requests answered: 344 with 200",
        "Order Completed │ 18",
        "Transactional messages: 24",
        "suppressed: kofi, kofi@post.example",
        "archive: 333 events",
        "amara@post.example",
        "token-amara-2",
    ):
        assert shown in done.stdout
    assert "lotte" not in done.stdout
    assert "hana@post.example" not in done.stdout.split("Events")[0]


def test_shop_opens_its_doors_and_its_page_until_it_is_interrupted() -> None:
    command = [sys.executable, FOLDER / "play.py"]
    with running(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as shop:
        address = next(line for line in shop.stdout if "#token=" in line).strip()
        with urllib.request.urlopen(address, timeout=PATIENCE) as page:
            assert b"inspector.js" in page.read()
        shop.send_signal(signal.SIGINT)
        assert shop.wait(PATIENCE) == 0, shop.stderr.read()


def test_readme_shows_the_figures_of_the_demonstration() -> None:
    readme = (EXAMPLES.parent / "README.md").read_text("utf-8")
    excerpt = readme.partition("```text\n...\n")[2].partition("\n...\n```")[0]
    assert "344 requests" in excerpt
    told = "\n".join(line.rstrip() for line in program("demo.py").stdout.splitlines())
    assert excerpt in told


def test_events_are_those_that_the_script_makes() -> None:
    made = program("make_events.py").stdout
    assert made == (FOLDER / "events.ndjson").read_text("utf-8")


def test_every_event_goes_somewhere_and_none_names_nobody() -> None:
    results = simulated(FOLDER)
    assert {result["status"] for result in results} == {"deliver", "held", "ignored"}
    events = [line for line in read(FOLDER / "events.ndjson") if line["name"][:6] != "walker"]
    archived = [result for result in results if result["destination"] == "archive"]
    assert len(archived) == len(events)


def test_flow_needs_no_credentials_to_be_read() -> None:
    assert load_flow(FOLDER / "flow.json", credentials=False, serve=True).warnings == ()
