"""Who may have lost what they were identified with is identified again."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.customerio.whole import PATIENCE, Json
from walker_collector import Collector
from walker_dest_customerio.sandbox import Sandbox

IDENTIFY: Json = {"map": {"email": "user.email"}}
ANN: Json = {"id": "ann", "email": "ann@b.com"}
HOUR = 3600 * 1000


def value(made: Any) -> Json:
    return {"value": made}


RULES: Json = {
    "account": {
        "close": {"skip": True, "settings": {"destroy": True}},
        "block": {"skip": True, "settings": {"suppress": True}},
        "unblock": {"skip": True, "settings": {"unsuppress": True}},
        "join": {
            "skip": True,
            "settings": {
                "merge": {
                    "map": {
                        "primaryType": value("id"),
                        "primaryId": value("other"),
                        "secondaryType": "data.type",
                        "secondaryId": "data.who",
                    }
                }
            },
        },
        "*": {"ignore": True},
    },
    "*": {"*": {"ignore": True}},
}

Run = Callable[..., Collector]


@pytest.fixture
def run(customerio: Sandbox) -> Iterator[Run]:
    """Run a collector with one destination that identifies, and one that does what RULES say."""
    with ExitStack() as stack:

        def run(deleting: Json | None = None, **settings: Any) -> Collector:
            given = {**customerio.settings(), "rateLimit": 100_000, "delivery": "single"}
            identifies = {**given, "identify": IDENTIFY, **settings}
            deletes = {**given, **(deleting or {})}
            flow = {
                "destinations": {
                    "crm": {
                        "package": "customerio",
                        "config": {
                            "settings": identifies,
                            "mapping": {"account": {"*": {"ignore": True}}},
                            "retry": {"attempts": 1},
                        },
                    },
                    "gdpr": {
                        "package": "customerio",
                        "config": {"settings": deletes, "mapping": RULES},
                    },
                }
            }
            return stack.enter_context(Collector.from_config(flow))

        yield run


def push(collector: Collector, name: str, user: Json = ANN, **parts: Any) -> None:
    collector.push(name, user=user, **parts)
    assert collector.flush(PATIENCE)


def identified(customerio: Sandbox) -> int:
    """Return how often anybody was identified."""
    return [(request.method, request.status) for request in customerio.requests].count(("PUT", 200))


def email_of(customerio: Sandbox, person: str = "ann") -> object:
    """Return the address by which Customer.io knows a person; it knows no person without one."""
    about = customerio.people.get(person)
    return about and about["attributes"].get("email")


GONE: list[tuple[str, list[tuple[str, Json]]]] = [
    ("deleted", [("account close", {})]),
    ("suppressed and freed", [("account block", {}), ("account unblock", {})]),
    ("merged by id", [("account join", {"type": "id", "who": "ann"})]),
    ("merged by email", [("account join", {"type": "email", "who": "Ann@B.com"})]),
]


@pytest.mark.parametrize("steps", [case[1] for case in GONE], ids=[case[0] for case in GONE])
def test_person_whom_another_destination_took_away_is_identified_again(
    steps: list[tuple[str, Json]], run: Run, customerio: Sandbox
) -> None:
    collector = run()
    push(collector, "page view", {"id": "other"})
    push(collector, "page view")
    push(collector, "page view")
    assert identified(customerio) == 2
    for name, data in steps:
        push(collector, name, data=data)
    assert "ann" not in customerio.people
    push(collector, "page view")
    push(collector, "page view", {"id": "other"})
    assert identified(customerio) == (4 if "join" in steps[0][0] else 3)


def test_another_collector_of_the_process_tells_as_well(run: Run, customerio: Sandbox) -> None:
    first, second = run(), run()
    push(first, "page view")
    push(second, "account close")
    push(first, "page view")
    assert email_of(customerio) == "ann@b.com"


def test_another_workspace_says_nothing(run: Run, customerio: Sandbox) -> None:
    collector = run(deleting={"siteId": "another"})
    push(collector, "page view")
    collector.push("account close", user=ANN)
    collector.push("page view", user=ANN)
    assert not collector.flush(0.5)  # the other workspace's key is another's
    assert identified(customerio) == 1


def test_person_who_was_erased_is_identified_again(run: Run, customerio: Sandbox) -> None:
    collector = run()
    push(collector, "page view")
    push(collector, "page view")
    assert identified(customerio) == 1
    collector.forget({"id": "ann"})
    push(collector, "page view")
    assert identified(customerio) == 2


def test_person_who_was_erased_with_a_deletion_is_identified_again(
    run: Run, customerio: Sandbox
) -> None:
    collector = run(deleting={"forgetOn": ["destroy"]})
    push(collector, "page view")
    push(collector, "account close")
    for thread in threading.enumerate():
        if thread.name == "walker-forget":
            thread.join(PATIENCE)
    push(collector, "page view")
    assert email_of(customerio) == "ann@b.com"


def test_erasure_reaches_people_who_are_known_by_anything_else(
    run: Run, customerio: Sandbox
) -> None:
    collector = run(customerId="user.email")
    push(collector, "page view")
    push(collector, "page view")
    assert identified(customerio) == 1
    collector.forget({"id": "ann"})
    push(collector, "page view")
    assert identified(customerio) == 2


@pytest.mark.parametrize(("settings", "count"), [({}, 2), ({"identifyTimestamp": False}, 1)])
def test_identify_of_an_earlier_time_may_be_ignored_and_is_not_remembered(
    settings: Json, count: int, run: Run, customerio: Sandbox
) -> None:
    collector = run(**settings)
    earlier = int(time.time() * 1000) - HOUR
    push(collector, "page view", timestamp=earlier)
    push(collector, "page view")
    assert identified(customerio) == count
    push(collector, "page view")
    assert identified(customerio) == count


def test_person_who_was_changed_meanwhile_gets_the_attributes_of_what_happens_next(
    run: Run, customerio: Sandbox
) -> None:
    collector, elsewhere = run(), run(identify={"map": {"plan": value("pro")}})
    push(elsewhere, "page view", {"id": "ann"})
    push(collector, "page view", timestamp=int(time.time() * 1000) - HOUR)
    assert email_of(customerio) is None  # Customer.io has ignored it
    push(collector, "page view")
    assert email_of(customerio) == "ann@b.com"


@pytest.mark.parametrize(("minutes", "count"), [(0, 1), (1, 1), (2, 2), (-5, 1)])
def test_identify_of_an_earlier_time_counts_for_what_happened_about_then(
    minutes: int, count: int, run: Run, customerio: Sandbox
) -> None:
    collector = run()
    earlier = int(time.time() * 1000) - HOUR
    push(collector, "page view", timestamp=earlier)
    push(collector, "page view", timestamp=earlier + minutes * 60_000)
    assert identified(customerio) == count


def test_identify_of_an_earlier_time_makes_what_was_remembered_doubtful(
    run: Run, customerio: Sandbox
) -> None:
    collector = run()
    push(collector, "page view")
    push(
        collector,
        "page view",
        {**ANN, "email": "old@b.com"},
        timestamp=int(time.time() * 1000) - HOUR,
    )
    push(collector, "page view")
    assert identified(customerio) == 3


def test_identify_of_which_no_answer_came_makes_what_was_remembered_doubtful(
    run: Run, customerio: Sandbox
) -> None:
    collector = run(**{"identify": {"map": {"plan": "data.plan"}}})
    push(collector, "plan set", data={"plan": "small"})
    customerio.fault("status", status=500)  # which may have been applied
    push(collector, "plan set", data={"plan": "large"})
    assert len(collector.dead()) == 1
    customerio.clear_faults()
    push(collector, "plan set", data={"plan": "small"})
    assert identified(customerio) == 2


def test_identify_is_repeated_when_it_is_old_enough(run: Run, customerio: Sandbox) -> None:
    collector = run(identifyAge=0)
    push(collector, "page view")
    push(collector, "page view")
    assert identified(customerio) == 2


def test_change_of_consent_is_followed_by_an_identify(run: Run, customerio: Sandbox) -> None:
    denied = {"denied": {"email": ""}}
    collector = run(onConsent={"mail": denied})
    push(collector, "page view")
    collector.consent({"mail": False}, user={"id": "ann"})
    assert collector.flush(PATIENCE)
    assert email_of(customerio) is None
    push(collector, "page view")
    assert email_of(customerio) == "ann@b.com"
