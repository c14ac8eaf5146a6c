"""Recipes for Customer.io, run against the local one: people have what the pages promise."""

import json
from typing import Any, Final

from tests.docs.pages import ROOT, Block, parts
from tests.support import PATIENCE, wait_until
from walker_collector import Collector
from walker_dest_customerio.sandbox import CustomerioSandbox

PAGE: Final = ROOT / "docs" / "recipes.md"
FILES: Final = {part.word: part.text for part in parts(PAGE) if isinstance(part, Block)}
INES: Final = {"id": "ines", "email": "ines@post.example"}


def running(sandbox: CustomerioSandbox, name: str) -> Collector:
    return Collector.from_config(sandbox.flow(json.loads(FILES[name])))


def events(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in FILES[name].splitlines()]


def test_welcome_email_goes_to_who_has_signed_up(customerio_sandbox: CustomerioSandbox) -> None:
    with running(customerio_sandbox, "welcome.json") as collector:
        collector.push_many(events("signup.ndjson"))
    customerio_sandbox.message("email", person="ines", request={"to": INES["email"]})
    customerio_sandbox.event("Signed Up", person="ines")


def test_cart_arrives_when_consent_is_granted(customerio_sandbox: CustomerioSandbox) -> None:
    cart, consent, order = events("cart.ndjson")
    with running(customerio_sandbox, "cart.json") as collector:
        collector.push(cart)
        assert collector.flush(PATIENCE)
        assert customerio_sandbox.requests == []
        collector.push_many([consent, order])
    assert [event.name for event in customerio_sandbox.events] == [
        "Cart Updated",
        "Order Completed",
    ]


def test_account_has_its_members_until_it_is_closed(customerio_sandbox: CustomerioSandbox) -> None:
    with running(customerio_sandbox, "accounts.json") as collector:
        for event in events("accounts.ndjson"):
            collector.push(event)
            assert collector.flush(PATIENCE)
            if event["name"] == "member join":
                account = customerio_sandbox.object("1", "7", attributes={"plan": "trial"})
                assert "trial_ends" in account.attributes
                (tie,) = customerio_sandbox.person("ines").relationships
                assert tie.attributes == {"role": "admin"}
            if event["name"] == "member leave":
                account = customerio_sandbox.object("1", "7", attributes={"plan": "team"})
                assert "trial_ends" not in account.attributes
                assert not customerio_sandbox.person("ines").relationships
    assert customerio_sandbox.objects == []


def test_person_leaves_a_topic_and_then_all_mail(customerio_sandbox: CustomerioSandbox) -> None:
    with running(customerio_sandbox, "unsubscribe.json") as collector:
        collector.push_many(events("preferences.ndjson"))
    topics = {"topic_1": True, "topic_2": False}
    customerio_sandbox.person(
        "ines",
        attributes={"unsubscribed": True, "cio_subscription_preferences": {"topics": topics}},
    )


def test_person_is_deleted_everywhere_and_stays_so(customerio_sandbox: CustomerioSandbox) -> None:
    view, deletion = events("erase.ndjson")
    agreed = {"marketing": True}
    with running(customerio_sandbox, "erase.json") as collector:
        collector.push({**view, "consent": agreed})
        assert collector.flush(PATIENCE)
        assert customerio_sandbox.person("ines")
        collector.push(view)
        assert collector.status().destinations["marketing"].held == 1
        collector.push(deletion)
        wait_until(
            lambda: collector.status().destinations["marketing"].held == 0,
            "the collector has erased the person",
        )
        collector.push({**view, "consent": agreed})
    assert customerio_sandbox.people == []
    assert customerio_sandbox.suppressed == ["ines"]
    assert [item["operation"] for item in customerio_sandbox.ignored] == ["Event"]
