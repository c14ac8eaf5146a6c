import json
from collections.abc import Callable, Iterator
from typing import Any, Literal

import orjson
import pytest

from tests.customerio.support import Memory, closed_port, settings_of
from walker_collector import DestinationDown, NotAttempted, Rejected, RetryLater
from walker_dest_customerio.clients import open_clients
from walker_dest_customerio.delivery import Delivery
from walker_dest_customerio.event_delivery import EventDelivery
from walker_dest_customerio.operations import (
    Delete,
    DeleteDevice,
    Identify,
    Merge,
    Operation,
    SendEmail,
    Suppress,
    Track,
    TrackAnonymous,
    Unsuppress,
)
from walker_dest_customerio.plan import Plan
from walker_dest_customerio.responses import NoResponse, NotProcessed
from walker_dest_customerio.sandbox import Sandbox

Open = Callable[..., Delivery]

BATCH = "/api/v2/batch"
SEND = "/v1/send"


@pytest.fixture
def connect(customerio: Sandbox) -> Iterator[Open]:
    """Open a delivery that leads to the sandbox, with other settings on top; closed at the end."""
    opened: list[Delivery] = []

    def connect(**raw: Any) -> Delivery:
        given = {**customerio.settings(), "rateLimit": 100_000, "appRateLimit": 100_000, **raw}
        settings = settings_of(**given)
        opened.append(Delivery(open_clients(settings), settings.delivery))
        return opened[-1]

    yield connect
    for delivery in opened:
        delivery.close()


@pytest.fixture(params=["batch", "single"])
def either(connect: Open, request: pytest.FixtureRequest) -> Delivery:
    """A delivery in each of the two modes."""
    return connect(delivery=request.param)


def job_of(person: str, *operations: Operation, progress: Memory | None = None) -> EventDelivery:
    return EventDelivery(Plan(operations, person=person), progress)


def track(person: str, name: str = "seen", **data: Any) -> Track:
    return Track(person, name, data)


def identify(person: str, **attributes: Any) -> Identify:
    return Identify(person=person, attributes=attributes)


def email(person: str) -> SendEmail:
    named = {"transactional_message_id": 1, "identifiers": {"id": person}}
    return SendEmail(request={**named, "to": f"{person}@b.com"})


def paths(customerio: Sandbox) -> list[str]:
    return [request.path for request in customerio.requests]


def names(customerio: Sandbox) -> list[str]:
    return [event["name"] for event in customerio.events]


def reason(job: EventDelivery) -> str:
    assert isinstance(job.error, Rejected | RetryLater | DestinationDown | NotAttempted)
    return job.error.reason


def errors_at(*found: dict[str, Any]) -> str:
    return orjson.dumps({"errors": list(found)}).decode()


# Either mode.


def test_operations_are_done_and_noted(either: Delivery, customerio: Sandbox) -> None:
    jobs = [job_of("u1", identify("u1", plan="pro"), track("u1")), job_of("u2", track("u2"))]
    either.deliver(jobs)
    assert [job.error for job in jobs] == [None, None]
    assert [job.done for job in jobs] == [list(job.plan.operations) for job in jobs]
    assert customerio.people["u1"]["attributes"] == {"plan": "pro"}
    assert sorted(customerio.people) == ["u1", "u2"]


def test_nothing_to_deliver_is_delivered(either: Delivery, customerio: Sandbox) -> None:
    either.deliver([])
    either.deliver([job_of("u1")])
    assert customerio.requests == []


def test_refused_operation_stops_no_other_one(either: Delivery, customerio: Sandbox) -> None:
    progress = Memory()
    operations = (identify("u1", note="x" * 1001), email("u1"), track("u1", "itself"))
    bad, good = job_of("u1", *operations, progress=progress), job_of("u1", track("u1", "after"))
    either.deliver([bad, good])
    assert isinstance(bad.error, Rejected)
    assert reason(bad).startswith("identify: ")
    assert "longer than 1000 bytes" in reason(bad)
    assert progress.parts == {"identify": "rejected", "send_email": "done", "track": "done"}
    assert good.error is None
    assert len(customerio.messages) == 1
    assert names(customerio) == ["itself", "after"]


def test_every_refused_operation_is_named_with_its_reason(
    either: Delivery, customerio: Sandbox
) -> None:
    unknown = SendEmail(request={"to": "a@b.com"})
    job = job_of("u1", identify("u1", note="x" * 1001), unknown, track("u1"))
    either.deliver([job])
    assert isinstance(job.error, Rejected)
    told = reason(job)
    missing = "; send_email: transactional_message_id is missing; body, subject and from would do"
    assert told.index("identify: ") < told.index(missing)
    assert names(customerio) == ["seen"]


def test_later_events_wait_behind_one_of_the_same_person_that_must_be_retried(
    either: Delivery, customerio: Sandbox
) -> None:
    first, waits = job_of("u1", Delete(person="u1")), job_of("u1", track("u1"))
    other = job_of("u2", track("u2", "other"))
    customerio.fault("status", status=500, path="/api")
    either.deliver([first, waits])
    either.deliver([other])
    assert isinstance(first.error, RetryLater)
    assert isinstance(waits.error, NotAttempted)
    assert "earlier event of the same person" in reason(waits)
    assert other.error is None
    assert names(customerio) == ["other"]


def test_later_events_wait_whichever_identifier_the_earlier_one_named(
    either: Delivery, customerio: Sandbox
) -> None:
    """A session's events may wait for a retry when its visitor signs in."""
    visit = Plan([TrackAnonymous("s1", "visit", {})], anonymous_id="s1")
    sign_in = Plan([track("u1")], person="u1")
    first, waits = EventDelivery(visit, person="id:u1"), EventDelivery(sign_in, person="id:u1")
    customerio.fault("status", status=500, path="/api", times=2)
    either.deliver([first, waits])
    assert isinstance(first.error, RetryLater)
    assert isinstance(waits.error, RetryLater | NotAttempted)
    assert names(customerio) == []


def test_message_that_must_wait_holds_back_the_next_message_and_no_event(
    either: Delivery, customerio: Sandbox
) -> None:
    progress = Memory()
    first = job_of("u1", email("u1"), track("u1", "first"), progress=progress)
    second = job_of("u1", email("u1"), track("u1", "second"))
    customerio.fault("status", status=429, path=SEND, retry_after=3)
    either.deliver([first, second])
    assert isinstance(first.error, RetryLater)
    assert first.error.after == 3
    assert progress.parts == {"track": "done"}
    assert isinstance(second.error, NotAttempted)
    assert names(customerio) == ["first", "second"]
    assert customerio.messages == []


def test_track_api_that_fails_holds_back_a_message_only_where_its_person_is_to_change(
    either: Delivery, customerio: Sandbox
) -> None:
    customerio.fault("status", status=503, path="/api", times=None)
    known = job_of("u1", email("u1"), track("u1"), progress=Memory())
    new = job_of("u2", identify("u2", plan="pro"), email("u2"), track("u2"), progress=Memory())
    later = job_of("u2", email("u2"), progress=Memory())
    either.deliver([known, new, later])
    assert isinstance(known.error, RetryLater)
    assert isinstance(new.error, RetryLater)
    assert isinstance(later.error, NotAttempted)
    assert [message["person"] for message in customerio.messages] == ["u1"]


def test_api_that_cannot_be_reached_is_not_tried_for_every_event(connect: Open) -> None:
    nowhere = f"https://127.0.0.1:{closed_port()}"
    jobs = [job_of(f"u{at}", track(f"u{at}"), Delete(person=f"u{at}")) for at in range(3)]
    connect(trackUrl=nowhere).deliver(jobs)
    assert all(job.error is jobs[0].error for job in jobs)
    assert isinstance(jobs[0].error, NotProcessed)


def test_requests_of_single_events_that_fail_leave_the_others_to_another_round(
    connect: Open,
) -> None:
    """Two in a row may be their events' trouble; whether it is everybody's, the core finds out."""
    nowhere = f"https://127.0.0.1:{closed_port()}"
    jobs = [job_of(f"u{at}", track(f"u{at}")) for at in range(5)]
    connect(delivery="single", trackUrl=nowhere).deliver(jobs)
    assert [type(job.error) for job in jobs] == [*[NotProcessed] * 2, *[NotAttempted] * 3]


def test_event_whose_own_request_fails_stops_nobody_elses(
    connect: Open, customerio: Sandbox
) -> None:
    customerio.fault("status", status=503, path="/api/v1/customers/u0/", times=None)
    jobs = [job_of(f"u{at}", track(f"u{at}")) for at in range(4)]
    connect(delivery="single").deliver(jobs)
    assert [type(job.error) for job in jobs] == [NotProcessed, *[type(None)] * 3]


def test_asked_to_wait_nothing_more_is_sent(either: Delivery, customerio: Sandbox) -> None:
    customerio.fault("status", status=429, retry_after=9)
    jobs = [job_of("u1", track("u1"), Delete(person="u1")), job_of("u2", Delete(person="u2"))]
    either.deliver(jobs)
    assert len(customerio.requests) == 1
    for job in jobs:
        assert isinstance(job.error, RetryLater)
        assert job.error.after == 9


def test_track_api_in_trouble_does_not_stop_the_messages_of_others(
    either: Delivery, customerio: Sandbox
) -> None:
    customerio.fault("status", status=503, path="/api")
    jobs = [job_of("u1", track("u1")), job_of("u2", email("u2"))]
    either.deliver(jobs)
    assert isinstance(jobs[0].error, RetryLater)
    assert jobs[1].error is None
    assert len(customerio.messages) == 1


def test_bad_credentials_stop_everything(connect: Open, customerio: Sandbox) -> None:
    for mode in ("batch", "single"):
        customerio.reset()
        jobs = [job_of("u1", track("u1")), job_of("u2", track("u2"), Delete(person="u2"))]
        connect(apiKey="wrong", delivery=mode).deliver(jobs)
        assert all(isinstance(job.error, DestinationDown) for job in jobs)
        assert len(customerio.requests) == 1


def test_what_an_earlier_attempt_has_done_is_not_repeated(
    either: Delivery, customerio: Sandbox
) -> None:
    progress = Memory()
    operations = (identify("u1", plan="pro"), Suppress(person="u1"), Unsuppress(person="u1"))
    customerio.fault("status", status=500, every=2)
    first = job_of("u1", *operations, progress=progress)
    either.deliver([first])
    assert isinstance(first.error, RetryLater)
    assert progress.parts == {"identify": "done"}
    second = job_of("u1", *operations, progress=progress)
    either.deliver([second])
    assert second.error is None
    assert second.done == list(operations[1:])


def test_progress_is_not_kept_where_all_went_well(either: Delivery) -> None:
    progress = Memory()
    either.deliver([job_of("u1", track("u1"), Delete(person="u1"), progress=progress)])
    assert progress.parts == {}


def test_only_requests_wait_for_their_turn(customerio: Sandbox) -> None:
    slept: list[float] = []
    settings = settings_of(**customerio.settings(), rateLimit=10, appRateLimit=10)
    clients = open_clients(settings, clock=lambda: 0.0, sleep=slept.append)
    customerio.fault("status", status=503)
    jobs = [job_of(f"u{at}", track(f"u{at}"), Delete(person=f"u{at}")) for at in range(20)]
    Delivery(clients).deliver(jobs)
    clients.close()
    assert len(customerio.requests) == 1
    assert slept == []


@pytest.mark.parametrize("mode", ["batch", "single"])
def test_event_withdrawn_while_its_call_waits_for_its_turn_is_not_sent(
    customerio: Sandbox, mode: Literal["batch", "single"]
) -> None:
    waited: list[float] = []
    settings = settings_of(**customerio.settings(), rateLimit=1)
    clients = open_clients(settings, clock=lambda: 0.0, sleep=waited.append)
    take_turn = clients.limits["track"].wait
    take_turn()  # the next one has to wait
    job = job_of("u1", track("u1"))
    job.may_proceed = lambda: not waited
    Delivery(clients, mode).deliver([job])
    clients.close()
    assert isinstance(job.error, NotAttempted)
    assert customerio.requests == []


def test_what_is_done_at_last_is_known_of_an_event_that_was_refused_before(
    either: Delivery, customerio: Sandbox
) -> None:
    progress = Memory()
    operations = (identify("u1", note="x" * 1001), Delete(person="u1"), track("u1"))
    refused = job_of("u1", operations[0], progress=progress)
    either.deliver([refused])
    assert progress.parts == {"identify": "rejected"}
    again = job_of("u1", *operations, progress=progress)
    either.deliver([again])
    assert isinstance(again.error, Rejected)
    assert "longer than 1000 bytes" in reason(again)
    assert progress.parts == {"identify": "rejected", "delete": "done", "track": "done"}


def test_id_that_is_no_text_is_refused(either: Delivery, customerio: Sandbox) -> None:
    jobs = [job_of("u\ud800", track("u\ud800")), job_of("u1", track("u1"))]
    either.deliver(jobs)
    assert isinstance(jobs[0].error, Rejected)
    assert jobs[1].error is None


# Messages.


def test_message_follows_the_identify_and_comes_before_the_event(
    either: Delivery, customerio: Sandbox
) -> None:
    job = job_of("u1", identify("u1", plan="pro"), email("u1"), track("u1"))
    either.deliver([job])
    assert job.error is None
    assert paths(customerio)[1] == "/v1/send/email"
    assert len(paths(customerio)) == 3
    assert customerio.messages[0]["person"] == "u1"


def test_message_is_sent_once_over_retries_of_its_event(
    either: Delivery, customerio: Sandbox
) -> None:
    progress = Memory()
    customerio.fault("status", status=503, path="/api", times=2)
    for _ in range(3):
        job = job_of("u1", email("u1"), track("u1"), progress=progress)
        either.deliver([job])
    assert job.error is None
    assert len(customerio.messages) == 1
    assert names(customerio) == ["seen"]


@pytest.mark.parametrize("kind", ["reset", "hang", "reset_body", "garbage"])
def test_message_without_an_answer_is_never_sent_again(
    connect: Open, customerio: Sandbox, kind: str
) -> None:
    progress = Memory()
    customerio.fault(kind, path=SEND, apply=True)
    for _ in range(2):
        job = job_of("u1", email("u1"), track("u1"), progress=progress)
        connect(timeout=200).deliver([job])
        assert isinstance(job.error, Rejected)
        assert "may have been sent" in reason(job)
    assert progress.parts == {"send_email": "begun", "track": "done"}
    assert len(customerio.messages) == 1
    assert names(customerio) == ["seen"]


def test_app_api_that_does_not_answer_costs_one_message_and_not_all(
    connect: Open, customerio: Sandbox
) -> None:
    for mode in ("batch", "single"):
        customerio.reset()
        customerio.fault("hang", path=SEND, times=None)
        jobs = [job_of(f"u{at}", email(f"u{at}"), progress=Memory()) for at in range(4)]
        jobs += [job_of("u9", track("u9"))]
        connect(timeout=1_000, delivery=mode).deliver(jobs)
        kinds = [type(job.error) for job in jobs]
        assert kinds == [Rejected, NoResponse, NoResponse, NoResponse, type(None)]
        assert [job.progress and job.progress.parts for job in jobs[1:4]] == [{}] * 3
        customerio.clear_faults()


def test_message_that_surely_was_not_sent_is_sent_later(connect: Open, customerio: Sandbox) -> None:
    progress = Memory()
    closed = connect(apiUrl=f"https://127.0.0.1:{closed_port()}")
    for delivery, expected in ((closed, RetryLater), (closed, RetryLater), (connect(), None)):
        job = job_of("u1", email("u1"), progress=progress)
        delivery.deliver([job])
        assert isinstance(job.error, expected) if expected else job.error is None
    assert len(customerio.messages) == 1


def test_message_without_an_app_api_key_is_rejected(connect: Open) -> None:
    job = job_of("u1", email("u1"))
    connect(appApiKey=None).deliver([job])
    assert isinstance(job.error, Rejected)
    assert "settings.appApiKey" in reason(job)


def test_refused_message_says_why(either: Delivery, customerio: Sandbox) -> None:
    customerio.fault("status", status=400, path="/v1/send/email")
    job = job_of("u1", email("u1"))
    either.deliver([job])
    assert isinstance(job.error, Rejected)
    assert "send_email: App API answered 400" in reason(job)


# One call for each.


def test_blank_id_that_the_sdk_refuses_rejects_the_event(connect: Open) -> None:
    job = job_of("u1", DeleteDevice(person="u1", device_id="", platform="ios"))
    connect(delivery="single").deliver([job])
    assert isinstance(job.error, Rejected)
    assert "device_id cannot be blank" in reason(job)


def test_error_of_the_server_for_one_event_does_not_stop_other_people(
    connect: Open, customerio: Sandbox
) -> None:
    customerio.fault("status", status=500)
    jobs = [job_of("u1", track("u1")), job_of("u2", track("u2"))]
    connect(delivery="single").deliver(jobs)
    assert isinstance(jobs[0].error, RetryLater)
    assert jobs[1].error is None


# Many in a request.


def test_events_share_a_request(connect: Open, customerio: Sandbox) -> None:
    jobs = [job_of(f"u{at}", identify(f"u{at}", n=at), track(f"u{at}")) for at in range(200)]
    connect().deliver(jobs)
    assert [request.operations for request in customerio.requests] == [400]
    assert len(customerio.people) == 200


def test_requests_stay_below_their_limit(connect: Open, customerio: Sandbox) -> None:
    jobs = [job_of(f"u{at}", track(f"u{at}", text="ü" * 10_000)) for at in range(60)]
    connect().deliver(jobs)
    assert all(job.error is None for job in jobs)
    assert all(request.bytes <= 500_000 for request in customerio.requests)
    assert [request.operations for request in customerio.requests] == [24, 24, 12]


def test_operation_too_large_for_a_batch_goes_by_itself_in_its_place(
    connect: Open, customerio: Sandbox
) -> None:
    large = track("u1", "large", text="x" * 90_000)
    jobs = [
        job_of("u1", identify("u1", plan="pro"), track("u1", "before")),
        job_of("u1", large),
        job_of("u1", track("u1", "after")),
        job_of("u2", track("u2", "other")),
    ]
    connect().deliver(jobs)
    assert [job.error for job in jobs] == [None] * 4
    assert paths(customerio) == [BATCH, "/api/v1/customers/u1/events", BATCH]
    assert names(customerio) == ["before", "other", "large", "after"]


def test_operation_too_large_for_any_request_is_refused(connect: Open, customerio: Sandbox) -> None:
    large, fits = job_of("u1", track("u1", text="x" * 100_000)), job_of("u2", track("u2"))
    connect().deliver([large, fits])
    assert isinstance(large.error, Rejected)
    assert "at most 100,000" in reason(large)
    assert fits.error is None


def test_what_a_batch_cannot_carry_goes_by_itself_in_its_place(
    connect: Open, customerio: Sandbox
) -> None:
    def tie(action: str) -> Identify:
        company = {"identifiers": {"object_type_id": "1", "object_id": "acme"}}
        return identify("u1", cio_relationships={"action": action, "relationships": [company]})

    jobs = [
        job_of("u1", tie("add_relationships")),
        job_of("u1", tie("delete_relationships")),
        job_of("u1", tie("add_relationships")),
    ]
    connect().deliver(jobs)
    assert [job.error for job in jobs] == [None] * 3
    assert paths(customerio) == [BATCH, "/api/v1/customers/u1", BATCH]
    assert len(customerio.people["u1"]["relationships"]) == 1


def test_person_is_deleted_between_what_came_before_and_what_comes_after(
    connect: Open, customerio: Sandbox
) -> None:
    jobs = [
        job_of("u1", identify("u1", plan="old"), track("u1", "before")),
        job_of("u1", Delete(person="u1")),
        job_of("u2", track("u2")),
        job_of("u1", identify("u1", level="new"), track("u1", "after")),
    ]
    connect().deliver(jobs)
    assert [request.operations for request in customerio.requests] == [3, 1, 2]
    assert customerio.people["u1"]["attributes"] == {"level": "new"}
    assert [event["name"] for event in customerio.people["u1"]["events"]] == ["after"]


def test_merge_waits_for_both_people(connect: Open, customerio: Sandbox) -> None:
    merge = Merge(
        primary_type="id", primary_id="u1", secondary_type="email", secondary_id="a@b.com"
    )
    jobs = [
        job_of("u1", identify("u1", plan="pro")),
        job_of("u2", Identify(person="u2", attributes={"email": "A@B.com"})),
        job_of("u1", merge, track("u1", "after")),
    ]
    connect().deliver(jobs)
    assert [request.operations for request in customerio.requests] == [2, 1, 1]
    assert list(customerio.people) == ["u1"]


def test_message_to_someone_waits_for_their_identify(connect: Open, customerio: Sandbox) -> None:
    jobs = [job_of("u2", identify("u2", plan="pro")), job_of("u1", email("u2"))]
    connect().deliver(jobs)
    assert [request.path for request in customerio.requests] == [BATCH, "/v1/send/email"]


def test_cutting_relationships_goes_by_itself(connect: Open, customerio: Sandbox) -> None:
    names = {"object_type_id": "1", "object_id": "acme"}
    for action, tied in (("add_relationships", 1), ("delete_relationships", 0)):
        value = {"action": action, "relationships": [{"identifiers": names}]}
        job = job_of("u1", identify("u1", cio_relationships=value))
        connect().deliver([job])
        assert job.error is None
        assert len(customerio.people["u1"]["relationships"]) == tied


@pytest.mark.parametrize("status", [200, 207])
def test_refused_items_are_rejected_and_the_rest_is_delivered(
    connect: Open, customerio: Sandbox, status: int
) -> None:
    found = [
        {"batch_index": 1, "reason": "invalid", "field": "attributes.plan", "message": "too long"},
        {"batch_index": 1, "reason": "required", "field": "name"},
    ]
    customerio.fault("status", status=status, body=errors_at(*found))
    jobs = [job_of(f"u{at}", track(f"u{at}")) for at in range(3)]
    connect().deliver(jobs)
    assert [type(job.error) for job in jobs] == [type(None), Rejected, type(None)]
    assert reason(jobs[1]) == "track: attributes.plan: too long (invalid); name: required"


def test_item_without_an_index_is_searched_for(connect: Open, customerio: Sandbox) -> None:
    broken = errors_at({"message": "malformed"})
    customerio.fault("status", status=207, body=broken)
    customerio.fault("status", status=200, body="{}", apply=True)
    customerio.fault("status", status=207, body=broken)
    jobs = [job_of(f"u{at}", track(f"u{at}")) for at in range(2)]
    connect().deliver(jobs)
    assert jobs[0].error is None
    assert reason(jobs[1]) == "track: malformed"


@pytest.mark.parametrize("index", [-1, 99, "0", True, 0.0, [0]])
def test_index_that_no_item_has_is_the_services_mistake(
    connect: Open, customerio: Sandbox, index: object
) -> None:
    broken = errors_at({"batch_index": index, "message": "malformed"})
    customerio.fault("status", status=207, body=broken, times=None)
    jobs = [job_of(f"u{at}", track(f"u{at}")) for at in range(2)]
    connect().deliver(jobs)
    assert {type(job.error) for job in jobs} <= {RetryLater, NotAttempted}


def test_errors_beside_a_success_of_one_call_are_no_success(
    connect: Open, customerio: Sandbox
) -> None:
    customerio.fault("status", status=207, body=errors_at({"message": "malformed"}))
    job = job_of("u1", track("u1"))
    connect(delivery="single").deliver([job])
    assert isinstance(job.error, NoResponse)


def test_no_errors_in_a_207_means_all_is_well(connect: Open, customerio: Sandbox) -> None:
    customerio.fault("status", status=207, body=errors_at())
    job = job_of("u1", track("u1"))
    connect().deliver([job])
    assert job.error is None


ODD_ERRORS: list[object] = [
    {"errors": "boom"},
    {"errors": {"batch_index": 0}},
    {"errors": 7},
    {"errors": [7, None, [], "text"]},
    {"errors": [{"batch_index": True}, {"batch_index": 0.0}, {"batch_index": "0"}]},
    {"errors": [{"batch_index": -1}, {"batch_index": 99}, {"batch_index": 10**30}]},
    {"errors": [{"message": ["x"], "field": {"a": 1}, "reason": 5, "batch_index": None}]},
    {"errors": [{}] * 3},
]
"""Errors of a batch that do not say which operation they mean."""


@pytest.mark.parametrize("content", ODD_ERRORS)
def test_batch_with_odd_errors_is_sent_in_parts_and_no_event_dies_of_it(
    connect: Open, customerio: Sandbox, content: object
) -> None:
    body = json.dumps(content)  # orjson has no integers as long
    customerio.fault("status", status=207, body=body)
    jobs = [job_of(f"u{at}", track(f"u{at}", f"event {at}")) for at in range(4)]
    connect().deliver(jobs)
    assert [job.error for job in jobs] == [None] * 4
    assert names(customerio) == [f"event {at}" for at in range(4)]
    assert len(customerio.requests) == 3


@pytest.mark.parametrize("content", [{}, {"errors": None}, {"errors": []}, {"error": "x"}])
def test_batch_without_errors_is_delivered(
    connect: Open, customerio: Sandbox, content: object
) -> None:
    customerio.fault("status", status=207, body=json.dumps(content), apply=True)
    job = job_of("u1", track("u1"))
    connect().deliver([job])
    assert job.error is None


@pytest.mark.parametrize(
    "body", ["", "null", "[]", "7", '"x"', "{", "\x00", '{"errors": "\\ud800"}', "[" * 5000, "<p>"]
)
def test_batch_with_an_unreadable_answer_is_tried_again(
    connect: Open, customerio: Sandbox, body: str
) -> None:
    customerio.fault("status", status=207, body=body)
    jobs = [job_of(f"u{at}", track(f"u{at}")) for at in range(2)]
    connect().deliver(jobs)
    expected = type(None) if body == "" else NoResponse
    assert [type(job.error) for job in jobs] == [expected] * 2


def test_errors_named_twice_or_for_every_event_are_those_of_their_events(
    connect: Open, customerio: Sandbox
) -> None:
    found = [{"batch_index": at, "message": "name is too long"} for at in (0, 1, 1, 0, 1)] * 50
    customerio.fault("status", status=207, body=errors_at(*found))
    jobs = [job_of(f"u{at}", track(f"u{at}")) for at in range(2)]
    connect().deliver(jobs)
    assert [reason(job) for job in jobs] == ["track: name is too long"] * 2
    assert len(customerio.requests) == 1


def test_errors_without_an_index_cost_a_bounded_number_of_requests(
    connect: Open, customerio: Sandbox
) -> None:
    customerio.fault("status", status=207, body=errors_at({"message": "malformed"}), times=None)
    jobs = [job_of(f"u{at}", track(f"u{at}")) for at in range(500)]
    connect().deliver(jobs)
    assert len(customerio.requests) < 80
    kinds = {type(job.error) for job in jobs}
    assert kinds <= {Rejected, RetryLater, NotAttempted}
    assert Rejected in kinds


@pytest.mark.parametrize("status", [400, 413, 422])
def test_request_refused_as_a_whole_is_halved_until_the_culprit_is_found(
    connect: Open, customerio: Sandbox, status: int
) -> None:
    jobs = [job_of(f"u{at}", track(f"u{at}")) for at in range(4)]
    for refused in (True, False, True, True, False):
        if refused:
            customerio.fault("status", status=status, body=errors_at({"message": "malformed"}))
        else:
            customerio.fault("latency", ms=0)
            customerio.fault("status", status=200, body="{}", apply=True)
    connect().deliver(jobs)
    assert [type(job.error) for job in jobs] == [type(None), type(None), Rejected, type(None)]
    assert reason(jobs[2]) == f"track: Track API answered {status}: malformed"


def test_where_no_batches_go_nothing_is_lost(connect: Open, customerio: Sandbox) -> None:
    customerio.fault("status", status=404, body="{}")
    jobs = [job_of("u1", track("u1")), job_of("u2", track("u2"))]
    connect().deliver(jobs)
    assert all(isinstance(job.error, DestinationDown) for job in jobs)
    assert "settings.trackUrl" in reason(jobs[0])


def test_server_that_fails_over_one_operation_is_asked_for_the_others(
    connect: Open, customerio: Sandbox
) -> None:
    jobs = [job_of(f"u{at}", track(f"u{at}")) for at in range(4)]
    for status in (500, 200, 500, 500, 200):
        customerio.fault("status", status=status, body="{}", apply=status == 200)
    connect().deliver(jobs)
    assert [type(job.error) for job in jobs] == [type(None), type(None), RetryLater, type(None)]


def test_server_that_fails_over_everything_is_left_alone(
    connect: Open, customerio: Sandbox
) -> None:
    customerio.fault("status", status=500, times=None)
    jobs = [job_of(f"u{at}", track(f"u{at}")) for at in range(64)]
    connect().deliver(jobs)
    customerio.clear_faults()
    assert all(isinstance(job.error, RetryLater) for job in jobs)
    # 64, 32, 16, 8, 4, 2, 1, and one more: the second half waits until the first is decided.
    assert len(customerio.requests) == 8


@pytest.mark.parametrize("mode", ["batch", "single"])
def test_server_that_refuses_everything_is_not_asked_for_each_event(
    connect: Open, customerio: Sandbox, mode: str
) -> None:
    customerio.fault("status", status=400, times=None)
    jobs = [job_of(f"u{at}", track(f"u{at}")) for at in range(200)]
    connect(delivery=mode).deliver(jobs)
    assert [type(job.error) for job in jobs[:20]] == [Rejected] * 20
    assert all(isinstance(job.error, RetryLater) for job in jobs[20:])
    assert "refuses every request" in reason(jobs[20])
    assert len(customerio.requests) < 60


def test_half_that_is_left_is_not_sent_once_asked_to_wait(
    connect: Open, customerio: Sandbox
) -> None:
    customerio.fault("status", status=413)
    customerio.fault("status", status=429)
    jobs = [job_of(f"u{at}", track(f"u{at}")) for at in range(4)]
    connect().deliver(jobs)
    assert all(isinstance(job.error, RetryLater) for job in jobs)
    assert len(customerio.requests) == 2


def test_repeated_events_count_once(connect: Open, customerio: Sandbox) -> None:
    again = Track("u1", "seen", {}, id="01HF7YAT00XDMA8RYTZ2FS40FG")
    for mode in ("batch", "single", "batch"):
        connect(delivery=mode).deliver([job_of("u1", again)])
    assert names(customerio) == ["seen"]
