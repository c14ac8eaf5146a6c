import logging
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.customerio.support import (
    NOON,
    Memory,
    closed_port,
    context_of,
    event_of,
    item_of,
    rule_of,
    settings_of,
)
from walker_collector import (
    Context,
    DestinationDown,
    Item,
    NotAttempted,
    NothingToSend,
    Person,
    PushContext,
    Rejected,
    RetryLater,
)
from walker_collector.plugins import Registry
from walker_collector.verification import verify_destination
from walker_dest_customerio.destination import CustomerioDestination, Unidentified
from walker_dest_customerio.responses import NotProcessed
from walker_dest_customerio.sandbox import Sandbox

EMAIL = {"identify": {"map": {"email": "user.email"}}}


class Ready:
    """A destination ready for use, and the context it was given."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.destination = CustomerioDestination()
        self.destination.init(context)

    def item(self, *args: Any, **options: Any) -> Item:
        return item_of(self.context, *args, **options)

    def push(self, item: Item) -> None:
        self.destination.push(item.event, item.data, item.rule, item.context)

    def batch(self, *items: Item) -> dict[int, Exception]:
        return dict(self.destination.push_batch(items, self.context))

    def consent(self, person: Person | None, when: int = NOON, **update: bool) -> None:
        context = PushContext(self.context, {"timestamp": when}, update)
        self.destination.consent(update, update, person, context)


Open = Callable[..., Ready]


@pytest.fixture
def connect(customerio: Sandbox) -> Iterator[Open]:
    """Open destinations that lead to the sandbox, with other settings on top."""
    opened: list[Ready] = []

    def connect(**raw: Any) -> Ready:
        given = {**customerio.settings(), "rateLimit": 100_000, **raw}
        opened.append(Ready(context_of(settings_of(**given))))
        return opened[-1]

    yield connect
    for ready in opened:
        ready.destination.shutdown(ready.context)


@pytest.fixture(params=["batch", "single"])
def either(connect: Open, request: pytest.FixtureRequest) -> Ready:
    """A destination in each of the two ways of delivery, identifying people by email."""
    return connect(delivery=request.param, **EMAIL)


def user(who: str, address: str = "a@b.com") -> dict[str, Any]:
    return {"id": who, "email": address}


def test_contract_with_the_collector_is_kept() -> None:
    verify_destination("customerio", CustomerioDestination)
    registry = Registry()
    registry.register("customerio", CustomerioDestination)
    assert registry.find("@walkeros/server-destination-customerio") is CustomerioDestination


def test_push_delivers_an_event(either: Ready, customerio: Sandbox) -> None:
    either.push(either.item(event_of(user=user("u1")), {"a": 1}))
    person = customerio.people["u1"]
    assert person["attributes"] == {"email": "a@b.com"}
    assert [(event["name"], event["data"]) for event in person["events"]] == [
        ("order complete", {"a": 1})
    ]


def test_push_raises_what_went_wrong(either: Ready, customerio: Sandbox) -> None:
    customerio.fault("status", status=503, retry_after=5)
    with pytest.raises(RetryLater) as caught:
        either.push(either.item())
    assert caught.value.after == 5


def test_event_that_names_nobody_is_rejected_with_the_settings_to_look_at(either: Ready) -> None:
    with pytest.raises(Unidentified, match=r"settings\.customerId.*settings\.anonymousId"):
        either.push(either.item(event_of(user={})))


@pytest.mark.parametrize("user", ["redacted", ["u1"], 1, None])
def test_a_user_that_a_policy_has_replaced_names_nobody(either: Ready, user: object) -> None:
    with pytest.raises(Unidentified):
        either.push(either.item(event_of(user=user)))


def test_batch_delivers_all_and_names_the_failures_by_index(
    either: Ready, customerio: Sandbox
) -> None:
    items = [
        either.item(event_of(user=user("u1"), id="1")),
        either.item(event_of(user={}, id="2")),
        either.item(event_of(user=user("u2", "no address"), id="3")),
        either.item(event_of(user=user("u3"), id="4")),
    ]
    failures = either.batch(*items)
    assert {at: type(error) for at, error in failures.items()} == {1: Unidentified, 2: Rejected}
    assert {"u1", "u3"} <= set(customerio.people)


def test_batch_raises_where_it_is_customerio_that_fails(either: Ready, customerio: Sandbox) -> None:
    items = [either.item(event_of(f"u{at}")) for at in range(3)]
    customerio.fault("status", status=429, retry_after=7)
    with pytest.raises(RetryLater) as caught:
        either.batch(*items)
    assert caught.value.after == 7
    customerio.fault("status", status=401)
    with pytest.raises(DestinationDown):
        either.batch(*items)


def test_batch_of_one_that_fails_is_a_failure_of_that_event(
    either: Ready, customerio: Sandbox
) -> None:
    customerio.fault("status", status=500)
    assert isinstance(either.batch(either.item())[0], RetryLater)


def test_person_is_identified_once_within_and_between_batches(
    either: Ready, customerio: Sandbox
) -> None:
    for number in range(2):
        events = [event_of(user=user("u1"), id=f"{number}-{at}") for at in range(3)]
        assert either.batch(*map(either.item, events)) == {}
    assert customerio.counters["operations"] == 1 + 6


def test_identify_that_failed_is_made_again(either: Ready, customerio: Sandbox) -> None:
    customerio.fault("status", status=503)
    item = either.item(event_of(user=user("u1")))
    assert isinstance(either.batch(item)[0], RetryLater)
    assert either.batch(item) == {}
    assert customerio.people["u1"]["attributes"] == {"email": "a@b.com"}


def test_identify_that_was_delivered_is_remembered_though_its_event_failed(
    connect: Open, customerio: Sandbox
) -> None:
    ready = connect(delivery="single", **EMAIL)
    customerio.fault("status", status=500, every=2)
    item = ready.item(event_of(user=user("u1")), progress=Memory())
    assert isinstance(ready.batch(item)[0], RetryLater)
    item.context.progress = None
    assert ready.batch(item) == {}
    assert [request.method for request in customerio.requests] == ["PUT", "POST", "POST"]


def test_deleted_person_is_identified_anew(either: Ready, customerio: Sandbox) -> None:
    leave = rule_of(skip=True, destroy=True)
    either.batch(
        either.item(event_of(user=user("u1"), id="1")),
        either.item(event_of(user=user("u1"), id="2"), rule=leave),
        either.item(event_of(user=user("u1"), id="3")),
    )
    either.batch(either.item(event_of(user=user("u1"), id="4"), rule=leave))
    either.batch(either.item(event_of(user=user("u1"), id="5")))
    person = customerio.people["u1"]
    assert person["attributes"] == {"email": "a@b.com"}
    assert len(person["events"]) == 1


def test_simulation_says_what_push_does(either: Ready, customerio: Sandbox) -> None:
    other = CustomerioDestination()
    rule = rule_of("purchase", page={"map": {"url": {"value": "/x"}}})
    item = either.item(event_of(user=user("u1")), {"a": 1}, rule)
    calls = [other.simulate(item.event, item.data, item.rule, item.context) for _ in range(2)]
    assert [call[0] for call in calls[0]] == ["identify", "pageview", "track"]
    assert [call[0] for call in calls[1]] == ["pageview", "track"]
    assert customerio.requests == []


def test_event_that_asks_for_nothing_is_empty(either: Ready, customerio: Sandbox) -> None:
    nothing = rule_of(skip=True, addDevice={"map": {"platform": {"value": "ios"}}})
    either.push(either.item())  # from now on the person is identified
    item = either.item(rule=nothing)
    with pytest.raises(NothingToSend):
        either.push(item)
    failures = either.batch(item, either.item(event_of(id="e2")))
    assert {at: type(error) for at, error in failures.items()} == {0: NothingToSend}
    with pytest.raises(NothingToSend):
        either.destination.simulate(item.event, item.data, item.rule, item.context)
    assert len(customerio.events) == 2


def test_empty_events_beside_an_outage_are_empty_still(either: Ready, customerio: Sandbox) -> None:
    customerio.fault("status", status=503)
    empty = either.item(event_of(id="e2"), rule=rule_of(skip=True, identify={"value": 1}))
    failures = either.batch(either.item(), empty)
    assert {at: type(error) for at, error in failures.items()} == {
        0: NotProcessed,
        1: NothingToSend,
    }


def test_event_of_which_a_part_was_done_before_is_not_empty(either: Ready) -> None:
    progress = Memory({"identify": "done"})
    item = either.item(rule=rule_of(skip=True, identify={"value": 1}), progress=progress)
    either.push(item)


def test_no_request_is_made_for_an_event_that_may_not_proceed(
    either: Ready, customerio: Sandbox
) -> None:
    items = [either.item(event_of(f"u{at}", id=f"e{at}")) for at in range(4)]
    asked: list[str] = []

    def proceed(at: int) -> bool:
        asked.append(f"u{at}")
        return at != 2

    for at, item in enumerate(items):
        item.context.proceed = partial(proceed, at)
    items.append(either.item(event_of("u2", id="e4")))
    failures = either.batch(*items)
    assert {at: type(error) for at, error in failures.items()} == {2: NotAttempted, 4: NotAttempted}
    assert asked[0] == "u0"
    assert set(asked) == {"u0", "u1", "u2", "u3"}
    assert sorted(customerio.people) == ["u0", "u1", "u3"]


def test_withdrawal_within_a_batch_stops_every_call_after_it(
    connect: Open, customerio: Sandbox
) -> None:
    single = connect(delivery="single")
    items = [single.item(event_of(f"u{at}", id=f"e{at}")) for at in range(6)]
    for item in items:
        item.context.proceed = lambda: len(customerio.requests) < 3
    failures = single.batch(*items)
    assert list(failures) == [3, 4, 5]
    assert all(isinstance(error, NotAttempted) for error in failures.values())
    assert len(customerio.requests) == 3


def test_message_is_not_sent_once_its_person_has_withdrawn(
    either: Ready, customerio: Sandbox
) -> None:
    mail = {"map": {"to": "user.email", "transactional_message_id": {"value": 1}}}
    progress = Memory()
    item = either.item(event_of(user=user("u1")), rule=rule_of(sendEmail=mail), progress=progress)
    item.context.proceed = lambda: not customerio.requests
    assert isinstance(either.batch(item)[0], NotAttempted)
    assert progress.parts == {"identify": "done"}
    assert customerio.messages == []


def test_parts_that_are_messages_are_declared() -> None:
    assert {"send_email", "send_push"} <= set(CustomerioDestination.message_parts)


def test_simulation_of_an_event_that_names_nobody_says_so() -> None:
    item = item_of(context_of(), event_of(user={}))
    with pytest.raises(Unidentified) as caught:
        CustomerioDestination().simulate(item.event, item.data, item.rule, item.context)
    assert caught.value.status == "unidentified"


ON_CONSENT = {
    "onConsent": {
        "marketing": {"granted": {"unsubscribed": False}, "denied": {"unsubscribed": True}},
        "tips": {"granted": {"tips": True}},
    }
}


def test_consent_sets_the_attributes_of_what_was_said(connect: Open, customerio: Sandbox) -> None:
    ready = connect(**ON_CONSENT)
    ready.push(ready.item())
    ready.consent(Person(id="u1"), marketing=True, tips=True)
    assert customerio.people["u1"]["attributes"] == {"unsubscribed": False, "tips": True}
    ready.consent(Person(id="u1"), marketing=False, tips=False, statistics=True)
    assert customerio.people["u1"]["attributes"] == {"unsubscribed": True, "tips": True}


def test_consent_of_nobody_known_or_about_nothing_configured_sends_nothing(
    connect: Open, customerio: Sandbox
) -> None:
    ready = connect(**ON_CONSENT)
    ready.consent(None, marketing=True)
    ready.consent(Person(session="s1"), marketing=True)
    ready.consent(Person(id="u1"), statistics=True)
    ready.consent(Person(id="u1"), tips=False)
    connect().consent(Person(id="u1"), marketing=True)
    assert customerio.requests == []


def test_consent_finds_its_person_where_events_find_theirs(
    connect: Open, customerio: Sandbox
) -> None:
    by_email = connect(customerId="user.email", **ON_CONSENT)
    by_email.consent(Person(id="u1"), marketing=True)
    assert customerio.requests == []
    by_device = connect(customerId="user.device", **ON_CONSENT)
    by_device.consent(Person(id="u1", device="d1"), marketing=True)
    assert [request.path for request in customerio.requests] == ["/api/v2/batch"]
    assert [item["person"] for item in customerio.ignored] == ["id:d1"]


@pytest.mark.parametrize("update", [{"marketing": False}, {"marketing": True}])
def test_consent_of_somebody_whom_customerio_does_not_know_makes_no_profile(
    either: Ready, connect: Open, customerio: Sandbox, update: dict[str, bool]
) -> None:
    ready = connect(delivery=either.context.settings.delivery, **ON_CONSENT)
    ready.consent(Person(id="u1"), **update)
    assert customerio.people == {}
    assert customerio.ignored[0]["reason"].startswith("failed attribute change")


def test_consent_makes_a_profile_where_its_attributes_say_so(
    connect: Open, customerio: Sandbox
) -> None:
    granted = {"_update": False, "tips": True}
    ready = connect(onConsent={"marketing": {"granted": granted}})
    ready.consent(Person(id="u1"), marketing=True)
    assert customerio.people["u1"]["attributes"] == {"tips": True}


def test_identify_after_a_consent_that_arrived_late_is_no_older(
    connect: Open, customerio: Sandbox
) -> None:
    ready = connect(**ON_CONSENT, **EMAIL)
    ready.push(ready.item(event_of(user=user("u1"), timestamp=NOON - 1000, id="e0")))
    ready.consent(Person(id="u1"), when=NOON, tips=True)
    ready.push(ready.item(event_of(user=user("u1"), timestamp=NOON + 1000)))
    assert customerio.people["u1"]["attributes"] == {"tips": True, "email": "a@b.com"}
    assert customerio.ignored == []


def test_consent_that_could_not_be_sent_raises(connect: Open, customerio: Sandbox) -> None:
    ready = connect(**ON_CONSENT)
    customerio.fault("status", status=503)
    with pytest.raises(RetryLater):
        ready.consent(Person(id="u1"), marketing=False)


def test_authority_file_that_is_missing_stops_the_destination() -> None:
    with pytest.raises(DestinationDown, match=r"settings\.caFile.*nowhere\.pem"):
        CustomerioDestination().init(context_of(caFile="nowhere.pem"))


def test_a_ca_file_that_holds_no_certificate_is_refused_when_it_is_opened(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("not a certificate")
    with pytest.raises(DestinationDown, match=r"settings\.caFile.*not a PEM file of certificates"):
        CustomerioDestination().init(context_of(caFile=str(file)))


def test_destination_that_was_not_initialised_delivers_nothing() -> None:
    destination = CustomerioDestination()
    item = item_of(context_of())
    with pytest.raises(DestinationDown):
        destination.push(item.event, item.data, item.rule, item.context)
    destination.shutdown(context_of())


def test_nothing_secret_or_personal_is_in_logs_and_errors(
    connect: Open, customerio: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    faults: list[dict[str, Any]] = [
        {"kind": "status", "status": 400},
        {"kind": "status", "status": 500},
        {"kind": "reset"},
        {"kind": "redirect"},
    ]
    for fault in faults:
        for mode in ("batch", "single"):
            customerio.clear_faults()
            customerio.fault(**fault, times=None)
            ready = connect(delivery=mode, timeout=500, **EMAIL)
            item = ready.item(event_of(user=user("u1", "person@example.com")), {"card": "4242"})
            with pytest.raises((Rejected, RetryLater, DestinationDown)) as caught:
                ready.push(item)
            shown = str(caught.value) + caplog.text
            for private in ("person@example.com", "4242", customerio.api_key):
                assert private not in shown


def test_outage_from_the_start_is_told_for_the_whole_batch(connect: Open) -> None:
    ready = connect(trackUrl=f"https://127.0.0.1:{closed_port()}")
    with pytest.raises(RetryLater, match="no connection to"):
        ready.batch(*[ready.item(event_of(f"u{at}")) for at in range(3)])
