"""What stands in the way of later operations of a delivery, after something has failed."""

import pytest

from tests.customerio.scripted import Scripted
from tests.customerio.support import settings_of
from walker_collector import NotAttempted, PartDown, RetryLater, SpoolError
from walker_dest_customerio.at_most_once import InDoubt
from walker_dest_customerio.clients import open_clients
from walker_dest_customerio.delivery import Delivery, Mode
from walker_dest_customerio.event_delivery import EventDelivery, Task, conclude
from walker_dest_customerio.obstacles import Obstacles
from walker_dest_customerio.operations import Identify, Operation, SendEmail, Track
from walker_dest_customerio.plan import Plan
from walker_dest_customerio.responses import NotProcessed

BUSY = RetryLater("Track API answered 500")
MAIL = SendEmail({"transactional_message_id": 1, "to": "a@b.com", "identifiers": {"id": "u1"}})
EVENT = Track("u1", "seen", {})
CHANGE = Identify(person="u1", attributes={"plan": "pro"})


def task(operation: Operation) -> Task:
    return Task(EventDelivery(Plan([operation], person="u1")), operation)


def test_message_waits_for_a_change_of_its_person_and_for_no_event() -> None:
    after_event, after_change = Obstacles(), Obstacles()
    after_event.failed([task(EVENT)], BUSY)
    after_change.failed([task(CHANGE)], BUSY)
    assert after_event.before(task(MAIL)) is None
    assert after_change.before(task(MAIL)) is not None


def test_only_server_errors_in_a_row_halt_an_api() -> None:
    apart, in_a_row = Obstacles(), Obstacles()
    for obstacles in (apart, in_a_row):
        obstacles.failed([task(MAIL)], BUSY)
    apart.succeeded("app")
    for obstacles in (apart, in_a_row):
        obstacles.failed([task(MAIL)], BUSY)
    assert "app" not in apart.halted
    assert in_a_row.halted["app"] is BUSY


def test_longest_wait_that_was_asked_for_is_the_events() -> None:
    delivery = EventDelivery(Plan([EVENT, CHANGE], person="u1"))
    for operation, after in ((EVENT, 1.0), (CHANGE, 60.0), (MAIL, None)):
        failed = Task(delivery, operation)
        failed.error = RetryLater("busy", after=after)
        delivery.failed.append(failed)
    conclude(delivery)
    assert isinstance(delivery.error, RetryLater)
    assert delivery.error.after == 60


@pytest.mark.parametrize("mode", ["batch", "single"])
def test_nothing_is_sent_where_consent_cannot_be_read(mode: Mode) -> None:
    def unknown() -> bool:
        raise SpoolError("cannot be read")

    server = Scripted()
    clients = server.into(open_clients(settings_of()))
    delivery = EventDelivery(Plan([EVENT], person="u1"), may_proceed=unknown)
    Delivery(clients, mode).deliver([delivery])
    clients.close()
    assert isinstance(delivery.error, NotAttempted)
    assert server.requests == []


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            NotProcessed("it answered 429", 7.0),
            "it answered 429; send_email may have been sent, and will not be sent again",
        ),
        (PartDown("wrong key"), "wrong key"),
    ],
)
def test_retry_of_the_rest_tells_of_a_message_in_doubt(error: RetryLater, reason: str) -> None:
    """Except where a part is down, which costs the event no attempt."""
    delivery = EventDelivery(Plan([MAIL, EVENT], person="u1"))
    for operation, failure in zip((MAIL, EVENT), (InDoubt("no answer"), error), strict=True):
        delivery.failed.append(Task(delivery, operation, error=failure))
    conclude(delivery)
    assert isinstance(delivery.error, RetryLater)
    assert isinstance(delivery.error, PartDown) == isinstance(error, PartDown)
    assert (delivery.error.reason, delivery.error.after) == (reason, error.after)
