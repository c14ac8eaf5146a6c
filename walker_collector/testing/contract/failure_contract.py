"""Failures: of one event for good, of all for now, of all until a person acts."""

from walker_collector.errors import DestinationDown, Rejected, RetryLater
from walker_collector.testing.backend import Backend
from walker_collector.testing.contract.contract_base import (
    DELIVERY_TIMEOUT,
    ContractBase,
    failure_of,
    fault,
    flush_or_fail,
    push_failure,
    require,
)
from walker_collector.testing.harness import Harness
from walker_collector.testing.sample_events import Events

_REFUSED = "parts of an event that the destination refuses for good"


class FailureContract(ContractBase):
    """Each kind of failure raises its own error: Rejected, RetryLater, DestinationDown."""

    def test_refused_event_is_named_by_its_index(
        self, backend: Backend, harness: Harness, event: Events
    ) -> None:
        parts = require(backend.reject, "reject", _REFUSED)
        sent = [event(), event(**parts), event()]
        if harness.batches:
            failures = dict(harness.push_batch(sent))
        else:
            answers = enumerate(push_failure(harness, one) for one in sent)
            failures = {index: failure for index, failure in answers if failure}
        assert list(failures) == [1], (
            "of three events the second cannot be delivered: push_batch must return its index"
            f" alone, and deliver the others; it returned {failures!r}"
        )
        assert isinstance(failures[1], Rejected), (
            f"an event that can never be delivered is Rejected, not {failures[1]!r}"
        )
        assert list(backend.received()) == [sent[0]["id"], sent[2]["id"]]

    def test_refused_event_becomes_a_dead_letter(self, backend: Backend, event: Events) -> None:
        refused = event(**require(backend.reject, "reject", _REFUSED))
        with self.collecting(backend) as collector:
            collector.push(event())
            collector.push(refused)
            flush_or_fail(collector)
            letters = collector.dead()
        assert [letter.attempts for letter in letters] == [1]
        assert letters[0].reason, "Rejected needs a reason: it is all that the dead letter shows"

    def test_transient_failure_is_retry_later(
        self, backend: Backend, harness: Harness, event: Events
    ) -> None:
        fault(backend, "retry")()
        failure = failure_of(harness, harness.item(event()))
        assert isinstance(failure, RetryLater), (
            f"a failure that passes by itself is RetryLater, to be retried, not {failure!r}"
        )

    def test_events_arrive_after_a_transient_failure(self, backend: Backend, event: Events) -> None:
        sent = event.several(3)
        fail, recover = fault(backend, "retry"), backend.recover
        assert recover is not None
        with self.collecting(backend) as collector:
            collector.push(event(), wait=True, timeout=DELIVERY_TIMEOUT)
            fail()
            result = collector.push(sent[0], wait=True, timeout=DELIVERY_TIMEOUT)
            assert result.destinations == {"destination": "accepted"}, result.reasons
            for one in sent[1:]:
                collector.push(one)
            recover()
            flush_or_fail(collector)
            assert collector.dead() == []
        assert list(dict.fromkeys(backend.received()))[-3:] == [one["id"] for one in sent]

    def test_unreachable_backend_is_retry_later(
        self, backend: Backend, harness: Harness, event: Events
    ) -> None:
        fail, recover = fault(backend, "unreachable"), backend.recover
        assert recover is not None
        sent = event()
        fail()
        failure = failure_of(harness, harness.item(sent))
        assert failure is not None, (
            "the backend was unreachable, and the event counts as delivered: it is lost. Do not"
            " swallow errors of the connection; raise RetryLater"
        )
        assert isinstance(failure, RetryLater), (
            f"an unreachable backend is RetryLater, to be tried again, not {failure!r}"
        )
        recover()
        assert failure_of(harness, harness.item(sent)) is None, (
            "the same instance must deliver again after the backend has come back"
        )
        assert list(backend.received())[-1:] == [sent["id"]]

    def test_events_arrive_once_an_unreachable_backend_is_back(
        self, backend: Backend, event: Events
    ) -> None:
        fail, recover = fault(backend, "unreachable"), backend.recover
        assert recover is not None
        sent = event.several(3)
        fail()
        with self.collecting(backend) as collector:
            collector.push(sent[0], wait=True, timeout=DELIVERY_TIMEOUT)
            for one in sent[1:]:
                collector.push(one)
            assert collector.status().destinations["destination"].delivered == 0
            recover()
            flush_or_fail(collector)
            assert collector.dead() == []
        assert list(dict.fromkeys(backend.received())) == [one["id"] for one in sent]

    def test_destination_that_is_down_keeps_its_events(
        self, backend: Backend, event: Events
    ) -> None:
        fault(backend, "down")()
        with self.collecting(backend) as collector:
            collector.push(event(), wait=True, timeout=DELIVERY_TIMEOUT)
            collector.push(event())
            status = collector.status().destinations["destination"]
            assert status.state == "down", (
                "a failure that a person must mend is DestinationDown, raised by init or push, so"
                f" that events are kept. The destination is {status.state}: {status.reason}"
            )
            assert (status.dead, status.delivered) == (0, 0)
            assert status.reason

    def test_destination_delivers_again_after_it_was_down(
        self, backend: Backend, event: Events
    ) -> None:
        fail, recover = fault(backend, "down"), backend.recover
        assert recover is not None
        sent = event()
        with self.harness_of(backend) as harness:
            fail()
            failure = failure_of(harness, harness.item(sent))
            assert isinstance(failure, DestinationDown), (
                f"a failure that a person must mend is DestinationDown, not {failure!r}"
            )
            recover()
            assert failure_of(harness, harness.item(sent)) is None, (
                "the same instance must deliver again after the backend has recovered"
            )
        assert list(backend.received()) == [sent["id"]]
