"""What is said when it does not work: for this event, for now, or until somebody acts."""

from walker_collector.errors import DestinationDown, Rejected, RetryLater
from walker_collector.testing.backend import Backend
from walker_collector.testing.contract.base import (
    PATIENCE,
    ContractBase,
    answer,
    breaking,
    hurry,
    needed,
    push_refusal,
)
from walker_collector.testing.events import Events
from walker_collector.testing.harness import Harness

_REFUSABLE = "parts of an event that is refused for ever"


class FailureContract(ContractBase):
    """Failures are told apart: Rejected, RetryLater, DestinationDown."""

    def test_refused_event_is_named_by_its_index(
        self, backend: Backend, harness: Harness, event: Events
    ) -> None:
        parts = needed(backend.reject, "reject", _REFUSABLE)
        sent = [event(), event(**parts), event()]
        if harness.batches:
            failures = dict(harness.push_batch(sent))
        else:
            answers = enumerate(push_refusal(harness, one) for one in sent)
            failures = {index: failure for index, failure in answers if failure}
        assert list(failures) == [1], (
            "of three events the second cannot be delivered: push_batch must return its index"
            f" alone, and deliver the others; it returned {failures!r}"
        )
        assert isinstance(failures[1], Rejected), (
            f"what can never be delivered is Rejected, not {failures[1]!r}"
        )
        assert list(backend.received()) == [sent[0]["id"], sent[2]["id"]]

    def test_refused_event_becomes_a_dead_letter(self, backend: Backend, event: Events) -> None:
        refused = event(**needed(backend.reject, "reject", _REFUSABLE))
        with self.collecting(backend) as collector:
            collector.push(event())
            collector.push(refused)
            hurry(collector)
            letters = collector.dead()
        assert [letter.attempts for letter in letters] == [1]
        assert letters[0].reason, "Rejected needs a reason: it is all a person has to go by"

    def test_passing_failure_is_said_to_pass(
        self, backend: Backend, harness: Harness, event: Events
    ) -> None:
        breaking(backend, "retry")()
        failure = answer(harness, harness.item(event()))
        assert isinstance(failure, RetryLater), (
            f"what passes by itself is RetryLater, so that it is tried again; not {failure!r}"
        )

    def test_passing_failure_is_overcome(self, backend: Backend, event: Events) -> None:
        sent = event.several(3)
        fail, recover = breaking(backend, "retry"), backend.recover
        assert recover is not None
        with self.collecting(backend) as collector:
            collector.push(event(), wait=True, timeout=PATIENCE)
            fail()
            result = collector.push(sent[0], wait=True, timeout=PATIENCE)
            assert result.destinations == {"destination": "accepted"}, result.reasons
            for one in sent[1:]:
                collector.push(one)
            recover()
            hurry(collector)
            assert collector.dead() == []
        assert list(dict.fromkeys(backend.received()))[-3:] == [one["id"] for one in sent]

    def test_what_needs_a_person_stops_the_destination_and_keeps_its_events(
        self, backend: Backend, event: Events
    ) -> None:
        breaking(backend, "down")()
        with self.collecting(backend) as collector:
            collector.push(event(), wait=True, timeout=PATIENCE)
            collector.push(event())
            status = collector.status().destinations["destination"]
            assert status.state == "down", (
                "what a person must mend is DestinationDown, raised by init or push: then its"
                f" events are kept. The destination is {status.state}: {status.reason}"
            )
            assert (status.dead, status.delivered) == (0, 0)
            assert status.reason

    def test_destination_delivers_again_after_it_was_down(
        self, backend: Backend, event: Events
    ) -> None:
        fail, recover = breaking(backend, "down"), backend.recover
        assert recover is not None
        sent = event()
        with self.harness_of(backend) as harness:
            fail()
            failure = answer(harness, harness.item(sent))
            assert isinstance(failure, DestinationDown), (
                f"what a person must mend is DestinationDown, not {failure!r}"
            )
            recover()
            assert answer(harness, harness.item(sent)) is None, (
                "the same instance is used again once the trouble is over"
            )
        assert list(backend.received()) == [sent["id"]]
