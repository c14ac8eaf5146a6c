"""The hooks around deliveries: init, shutdown, consent, erased."""

import time

import pytest

from walker_collector.errors import DestinationDown, Rejected, RetryLater
from walker_collector.hooks import implements
from walker_collector.hookspecs import Person
from walker_collector.testing.backend import Backend
from walker_collector.testing.contract.contract_base import ContractBase, fault, flush_or_fail
from walker_collector.testing.sample_events import Events

_SHUTDOWN_SECONDS = 5.0


class LifecycleContract(ContractBase):
    """The destination starts and ends quietly, and takes consent and erasures at any time."""

    def test_init_delivers_nothing(self, backend: Backend) -> None:
        with self.harness_of(backend):
            assert list(backend.received()) == []

    def test_delivered_events_are_there_after_shutdown(
        self, backend: Backend, event: Events
    ) -> None:
        sent = event.several(3)
        with self.harness_of(backend) as harness:
            harness.deliver(*sent)
        assert list(backend.received()) == [one["id"] for one in sent], (
            "push returns when an event is delivered; shutdown must flush anything still buffered"
        )

    def test_shutdown_takes_no_longer_than_seconds(self, backend: Backend, event: Events) -> None:
        with self.harness_of(backend) as harness:
            harness.deliver(event())
            began = time.monotonic()
        assert time.monotonic() - began < _SHUTDOWN_SECONDS

    def test_shutdown_without_a_delivery_is_quiet(self, backend: Backend) -> None:
        with self.harness_of(backend):
            pass

    @pytest.mark.parametrize(
        "person",
        [Person(id="u1"), Person(device="d1"), Person(session="s1"), None],
        ids=["id", "device", "session", "default"],
    )
    def test_changes_of_consent_are_taken(self, backend: Backend, person: Person | None) -> None:
        if not implements(self.plugin, "consent"):
            pytest.skip("the plugin has no hook consent")
        with self.harness_of(backend) as harness:
            harness.consent({"marketing": True}, person)
            harness.consent({"marketing": False, "analytics": True}, person)

    @pytest.mark.parametrize(
        "person",
        [Person(id="u1"), Person(device="d1"), Person(session="s1"), None],
        ids=["id", "device", "session", "everybody"],
    )
    def test_erasures_are_taken_at_any_time_and_deliver_nothing(
        self, backend: Backend, event: Events, person: Person | None
    ) -> None:
        if not implements(self.plugin, "erased"):
            pytest.skip("the plugin has no hook erased")
        sent = event.several(2)
        harness = self.harness_of(backend)
        harness.erased(person)
        with harness:
            harness.deliver(sent[0])
            harness.erased(person)
            harness.deliver(sent[1])
        assert list(backend.received()) == [one["id"] for one in sent], (
            "an erasure drops the memory of a person; their later events are delivered"
        )

    def test_check_finds_nothing_wrong_and_delivers_nothing(self, backend: Backend) -> None:
        if not implements(self.plugin, "check"):
            pytest.skip("the plugin has no hook check")
        assert self.harness_of(backend).check() == [], (
            "check returns problems: none of a service that can be used"
        )
        assert list(backend.received()) == []

    def test_check_finds_what_a_person_must_mend(self, backend: Backend) -> None:
        if not implements(self.plugin, "check"):
            pytest.skip("the plugin has no hook check")
        fault(backend, "down")()
        harness = self.harness_of(backend)
        try:
            problems = harness.check()
        except (DestinationDown, RetryLater, Rejected) as error:
            problems = [error.reason]
        assert problems, (
            "check must find what DestinationDown is for: return a sentence with the remedy"
        )

    def test_event_waits_for_consent_and_arrives_when_it_is_granted(
        self, backend: Backend, event: Events
    ) -> None:
        if getattr(self.plugin, "relays", False):
            pytest.skip("the plugin relays events, and nothing is held for it")
        sent = event()
        with self.collecting(backend, consent={"marketing": True}) as collector:
            collector.push(sent)
            flush_or_fail(collector)
            assert list(backend.received()) == []
            collector.consent({"marketing": True}, user={"id": "u1"})
            flush_or_fail(collector)
        assert list(backend.received()) == [sent["id"]]

    def test_statements_of_consent_are_relayed_among_the_events_of_their_person(
        self, backend: Backend, event: Events
    ) -> None:
        if not getattr(self.plugin, "relays", False):
            pytest.skip("the plugin relays nothing (relays)")
        first, last = event(consent={"marketing": False}), event()
        statement = {"name": "walker consent", "id": "c1", "data": {"marketing": True}}
        with self.collecting(backend) as collector:
            for each in (first, {**statement, "user": {"id": "u1"}}, last):
                collector.push(each)
            flush_or_fail(collector)
        assert list(backend.received()) == [first["id"], "c1", last["id"]]
