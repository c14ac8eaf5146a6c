"""The fixture `customerio_sandbox`, in the tests of an application."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE
from threading import Timer
from typing import Any

import pytest
from customerio import CustomerIO

from tests.support import PATIENCE, join, program
from walker_collector import Collector
from walker_dest_customerio.sandbox import (
    CustomerioSandbox,
    Device,
    Object,
    Relationship,
    Sandbox,
)

pytest_plugins = ["pytester"]

FLOW = {
    "destinations": {
        "customerio": {
            "package": "customerio",
            "config": {
                "settings": {
                    "site_id": "$env.SHOP_SITE_ID",
                    "apiKey": "$secret.SHOP_API_KEY",
                    "identify": {"map": {"email": "user.email"}},
                },
                "retry": {"base": 1},
                "mapping": {
                    "order": {
                        "complete": {
                            "data": "data",
                            "settings": {
                                "sendEmail": {
                                    "map": {
                                        "transactional_message_id": {"value": 1},
                                        "to": "user.email",
                                        "identifiers": {"map": {"id": "user.id"}},
                                    }
                                }
                            },
                        }
                    }
                },
            },
        },
        "screen": {"package": "console", "config": {"disabled": True}},
    }
}
TEST = """
from walker_collector import Collector


def test_order(customerio_sandbox):
    with Collector.from_config(customerio_sandbox.flow("flow.json")) as collector:
        user = {"id": "ines", "email": "ines@post.example"}
        collector.push("order complete", data={"total": 54}, user=user)
        customerio_sandbox.event("order complete", person="ines", data={"total": 54})
    customerio_sandbox.event("order complete", data={"total": 55}, timeout=0)


def test_starts_empty(customerio_sandbox):
    assert customerio_sandbox.people == []
"""
IMPORTED = """
import sys

def test_start():
    ours = {"aiohttp", "customerio", "requests", "trustme", "walker_dest_customerio"}
    names = [name for name in sys.modules if name.partition(".")[0] in ours]
    assert sorted(names) == [
        "walker_dest_customerio",
        "walker_dest_customerio.sandbox",
        "walker_dest_customerio.sandbox.pytest_plugin",
    ]
"""
BATCH: list[dict[str, Any]] = [
    {
        "type": "person",
        "identifiers": {"id": "ines"},
        "action": "identify",
        "attributes": {"email": "ines@post.example", "plan": "large"},
        "cio_relationships": [
            {
                "identifiers": {"object_type_id": "1", "object_id": "acme"},
                "relationship_attributes": {"role": "admin"},
            }
        ],
    },
    {
        "type": "object",
        "identifiers": {"object_type_id": "1", "object_id": "acme"},
        "action": "identify",
        "attributes": {"seats": 5},
    },
    {
        "type": "person",
        "identifiers": {"id": "ines"},
        "action": "add_device",
        "device": {"token": "tok-1", "platform": "ios", "attributes": {"app_version": "3"}},
    },
    {
        "type": "person",
        "identifiers": {"anonymous_id": "s-1"},
        "action": "page",
        "name": "/teas",
        "attributes": {"url": "/teas"},
    },
]


@pytest.fixture
def sandbox() -> Iterator[CustomerioSandbox]:
    with Sandbox(clock=lambda: 1_800_000_000) as running:
        yield CustomerioSandbox(running)


def client(sandbox: CustomerioSandbox) -> CustomerIO:
    settings = sandbox.settings()
    result = CustomerIO(settings["siteId"], settings["apiKey"], host=settings["trackUrl"])
    result.http.verify = settings["caFile"]
    result.http.trust_env = False
    return result


def test_failing_test_shows_all_that_arrived(pytester: pytest.Pytester) -> None:
    pytester.makefile(".json", flow=json.dumps(FLOW))
    pytester.makepyfile(TEST)
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            ">*customerio_sandbox.event(*total*55*",
            "E*AssertionError: no event 'order complete' with data {'total': 55}; there is this:",
            "E*  event 'order complete' of ines: {'total': 54}",
            "E*requests by status: {'200': 3}",
        ]
    )


def test_plugin_costs_nothing_without_use(tmp_path: Path) -> None:
    (tmp_path / "test_start.py").write_text(IMPORTED)
    arguments = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_start.py"]
    with program(arguments, cwd=tmp_path, stdout=PIPE) as run:
        printed, _ = run.communicate(timeout=PATIENCE)
    assert run.returncode == 0, printed


def test_everything_arrives_as_values(sandbox: CustomerioSandbox) -> None:
    client(sandbox).batch(BATCH)
    ines = sandbox.person("INES@post.example", attributes={"plan": "large"})
    assert (ines.key, ines.id, ines.email) == ("ines", "ines", "ines@post.example")
    assert ines.relationships == (Relationship("1", "acme", {"role": "admin"}),)
    assert ines.devices == (sandbox.device("tok-1", person="ines"),)
    assert sandbox.devices == [
        Device("tok-1", "ines", {"platform": "ios", "attributes": {"app_version": "3"}})
    ]
    assert (sandbox.devices[0].platform, sandbox.devices[0].attributes["app_version"]) == (
        "ios",
        "3",
    )
    assert sandbox.object("1", "acme", attributes={"seats": 5}) == Object("1", "acme", {"seats": 5})
    page = sandbox.event("/teas", person="s-1")
    assert (page.type, page.person, page.timestamp) == ("page", None, 1_800_000_000)
    assert sandbox.events == [page]


def test_flow_sends_here_and_messages_are_values(sandbox: CustomerioSandbox) -> None:
    with Collector.from_config(sandbox.flow({"flows": {"default": FLOW}})) as collector:
        collector.push("order complete", user={"id": "ines", "email": "i@post.example"})
        email = sandbox.message("email", person="ines", request={"transactional_message_id": 1})
    assert (email.to, email.person, email.suppressed) == ("i@post.example", "ines", False)
    assert sandbox.messages == [email]
    assert sandbox.flow(FLOW)["destinations"]["screen"] == FLOW["destinations"]["screen"]


def test_ids_may_be_numbers_as_in_events(sandbox: CustomerioSandbox) -> None:
    settings = {
        "object": {"map": {"typeId": {"value": 1}, "id": "data.account"}},
        "addDevice": {"map": {"deviceId": "data.token", "platform": {"value": "ios"}}},
    }
    cio = {"package": "customerio", "config": {"mapping": {"*": {"*": {"settings": settings}}}}}
    with Collector.from_config(sandbox.flow({"destinations": {"cio": cio}})) as collector:
        collector.push("phone register", user={"id": 42}, data={"account": 7, "token": 99})
    assert sandbox.object(1, 7) == sandbox.object("1", "7")
    assert sandbox.person(42).devices == (sandbox.device(99, person=42),)
    assert sandbox.event("phone register", person=42).person == "42"


@pytest.mark.parametrize("name", ["ines", "INES@post.example", "a3000001"])
def test_person_of_an_arrival_is_found_by_any_identifier(
    sandbox: CustomerioSandbox, name: str
) -> None:
    cio = client(sandbox)
    cio.identify("ines", email="ines@post.example")
    cio.track("ines", "Order Completed")
    cio.track("kofi", "Order Completed")
    cio.add_device("ines", "tok-1", "ios")
    assert sandbox.person(name).id == "ines"
    assert sandbox.event("Order Completed", person=name, timeout=0).person == "ines"
    assert sandbox.device("tok-1", person=name, timeout=0).person == "ines"


def test_message_is_found_by_any_identifier_of_its_person(sandbox: CustomerioSandbox) -> None:
    with Collector.from_config(sandbox.flow(FLOW)) as collector:
        collector.push("order complete", user={"id": "ines", "email": "i@post.example"})
        for person in ("ines", "i@post.example"):
            assert sandbox.message("email", person=person).to == "i@post.example"


def test_flow_without_a_destination_of_customerio_is_a_mistake(
    sandbox: CustomerioSandbox, tmp_path: Path
) -> None:
    archive = {"destinations": {"archive": {"package": "file"}}}
    path = tmp_path / "flow.json"
    path.write_text(json.dumps(archive))
    for flow, problem in (
        (archive, r"the flow has no destination of the package customerio.*: archive$"),
        (path, r"flow\.json has no destination of the package customerio"),
        ({"flows": {"default": archive}}, "its destinations: archive"),
        ({}, "its destinations: none"),
    ):
        with pytest.raises(ValueError, match=problem):
            sandbox.flow(flow)


def test_unknown_channel_is_a_mistake_at_once(sandbox: CustomerioSandbox) -> None:
    with pytest.raises(ValueError, match="unknown channel 'SMS'; known: email, push, sms,"):
        sandbox.message("SMS")


def test_flow_may_be_toml(sandbox: CustomerioSandbox, tmp_path: Path) -> None:
    path = tmp_path / "flow.toml"
    path.write_text('[destinations.cio]\npackage = "@walkeros/server-destination-customerio"\n')
    config = {"settings": sandbox.settings()}
    package = "@walkeros/server-destination-customerio"
    assert sandbox.flow(path) == {"destinations": {"cio": {"package": package, "config": config}}}


def test_lookup_waits_for_what_is_on_its_way(sandbox: CustomerioSandbox) -> None:
    sandbox.fault("latency", ms=1)
    cio = client(sandbox)
    later = Timer(0.05, lambda: cio.identify("ines", plan="large"))
    later.start()
    assert sandbox.person("ines", attributes={"plan": "large"}).attributes["plan"] == "large"
    sandbox.wait_until(lambda: len(sandbox.requests) == 1, "one request", timeout=PATIENCE)
    join(later)


def test_lookup_fails_after_its_bound(sandbox: CustomerioSandbox) -> None:
    cio = client(sandbox)
    cio.identify("ines", plan="large")
    cio.suppress("kofi")
    cio.track("kofi", "Order Completed")
    with pytest.raises(AssertionError) as failure:
        sandbox.person("ines", attributes={"plan": "small"}, timeout=0.01)
    assert str(failure.value).splitlines() == [
        "no person 'ines' with attributes {'plan': 'small'} after 0.01 s; there is this:",
        "  person 'ines': {'plan': 'large'}",
        "requests by status: {'200': 3}",
        "ignored: {'operation': 'Event', 'person': 'id:kofi', 'reason': 'suppressed'}",
    ]
    with pytest.raises(AssertionError, match=r"two people: not so after 0\.01 s; there is this:"):
        sandbox.wait_until(lambda: len(sandbox.people) == 2, "two people", timeout=0.01)


def test_what_arrived_twice_is_told(sandbox: CustomerioSandbox) -> None:
    cio = client(sandbox)
    for total in (1, 2):
        cio.track("ines", "Order Completed", {"total": total})
    with pytest.raises(AssertionError, match="2 times event 'Order Completed'"):
        sandbox.event("Order Completed")
    assert sandbox.event("Order Completed", data={"total": 2}).data == {"total": 2}
    sandbox.reset()
    with pytest.raises(AssertionError, match="there is nothing\nrequests by status: none"):
        sandbox.event("Order Completed", timeout=0)


def test_long_state_is_cut(sandbox: CustomerioSandbox) -> None:
    batch = [{**BATCH[0], "identifiers": {"id": f"p{n}"}, "attributes": {}} for n in range(25)]
    client(sandbox).batch(batch)
    with pytest.raises(AssertionError, match=r"person 'p19': .*\n  and 5 more\n"):
        sandbox.person("ines", timeout=0)
