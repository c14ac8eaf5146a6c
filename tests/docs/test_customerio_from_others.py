"""The flow in place of Segment's destination: calls as its SDKs post them, at the sandbox."""

import json
from typing import Any, Final

from tests.docs.pages import ROOT, Block, parts
from tests.support import PATIENCE
from walker_collector import Collector, Secret
from walker_collector.sources.http import Key, Settings
from walker_collector.sources.http.app import App
from walker_dest_customerio.sandbox import CustomerioSandbox

PAGE: Final = ROOT / "docs" / "customerio-from-others.md"
FLOW: Final = next(
    part.text for part in parts(PAGE) if isinstance(part, Block) and part.word == "flow.json"
)
KEYS: Final = {"server": Key(key=Secret("server-0123456789"), trusted=True)}
PHONE: Final = {"device": {"token": "tok-1", "type": "ios"}}
ACME: Final = {"objectAttributes": {"seats": 5}, "relationshipAttributes": {"role": "admin"}}


def post(collector: Collector, *calls: dict[str, Any]) -> None:
    """Post calls one after the other, each when the one before is delivered."""
    application = App(collector.push_many, Settings(keys=KEYS))
    for call in calls:
        body = json.dumps({"batch": [{"userId": "ines", **call}]}).encode()
        headers = {"x-write-key": "server-0123456789"}
        status, _, answer = application.respond("POST", "/v1/batch", headers, body)
        assert (status, json.loads(answer)) == (200, {"success": True})
        assert collector.flush(PATIENCE)


def track(event: str, **more: Any) -> dict[str, Any]:
    return {"type": "track", "event": event, **more}


def test_calls_do_what_they_did_by_segments_destination(
    customerio_sandbox: CustomerioSandbox,
) -> None:
    traits = {"email": "ines@post.example", "createdAt": "2026-03-01T10:00:00Z"}
    with Collector.from_config(customerio_sandbox.flow(json.loads(FLOW))) as collector:
        post(
            collector,
            {
                "type": "page",
                "userId": None,
                "anonymousId": "a-1",
                "properties": {"url": "https://shop.example/teas"},
            },
            {"type": "identify", "anonymousId": "a-1", "traits": traits},
            {"type": "screen", "name": "Home", "properties": {"teas": 2}},
            {"type": "group", "groupId": "acme", "traits": ACME},
            track("Order Completed", properties={"total": 25.5}),
            track("Application Opened", context=PHONE),
            track("Report Content Event"),
        )
        ines = customerio_sandbox.person("ines", attributes={"created_at": 1772359200})
        assert "createdAt" not in ines.attributes
        assert [(event.type, event.name) for event in customerio_sandbox.events] == [
            ("page", "https://shop.example/teas"),
            ("screen", "Home"),
            ("event", "Order Completed"),
            ("event", "Application Opened"),
        ]
        assert {event.person for event in customerio_sandbox.events} == {"ines"}
        assert [tie.attributes for tie in ines.relationships] == [{"role": "admin"}]
        customerio_sandbox.object(1, "acme", attributes={"seats": 5})
        customerio_sandbox.device("tok-1", person="ines")

        post(
            collector,
            track("Relationship Deleted", context={"groupId": "acme"}),
            track("Application Uninstalled", context=PHONE),
            track("Object Deleted", context={"groupId": "acme"}),
        )
        assert not customerio_sandbox.person("ines").relationships
        assert (customerio_sandbox.objects, customerio_sandbox.devices) == ([], [])

        post(
            collector,
            {"type": "identify", "userId": "old", "traits": {"plan": "free"}},
            {"type": "alias", "previousId": "old"},
        )
        assert [person.key for person in customerio_sandbox.people] == ["ines"]
        post(collector, track("User Suppressed"))
        assert "ines" in customerio_sandbox.suppressed
        post(collector, track("User Unsuppressed"))
        assert customerio_sandbox.suppressed == []


def test_calls_of_rudderstack_have_their_traits_and_page_in_the_context(
    customerio_sandbox: CustomerioSandbox,
) -> None:
    traits = {"email": "hana@post.example", "createdAt": "2026-03-01T10:00:00Z"}
    page = {"url": "https://shop.example/teas", "title": "Teas"}
    with Collector.from_config(customerio_sandbox.flow(json.loads(FLOW))) as collector:
        post(
            collector,
            {"type": "identify", "userId": "", "anonymousId": "a-2", "context": {"traits": traits}},
            track("Tea Tasted", userId="", anonymousId="a-2", context={"traits": traits}),
            {"type": "identify", "context": {"traits": {"plan": "team", "userId": "ines"}}},
            {"type": "page", "name": "Teas", "context": {"page": page}},
        )
        hana = customerio_sandbox.person("hana@post.example")
        assert hana.attributes["created_at"] == 1772359200
        assert customerio_sandbox.event("Tea Tasted", person="hana@post.example").person is not None
        assert customerio_sandbox.person("ines").attributes == {"plan": "team"}
        view = customerio_sandbox.event("https://shop.example/teas", person="ines")
        assert view.data["title"] == "Teas"
