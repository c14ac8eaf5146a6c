"""The kit for plugin authors: its contract notices broken destinations, its tools work."""

from pathlib import Path

import pytest

from tests.core.testing_kit.broken import EXPECTED
from tests.core.testing_kit.good import Good, Service
from tests.core.testing_kit.outcomes import Outcomes, outcomes_of
from walker_collector import (
    Collector,
    DestinationDown,
    EventError,
    PluginError,
    Registry,
    Rejected,
    hookimpl,
)
from walker_collector.testing import Events, Harness, Recorder, registry_of
from walker_collector.testing.contract import contract_base

CASES = Path(__file__).parent / "testing_kit" / "broken.py"

SETTINGS = {"name": "kit", "token": "kit-secret"}


@pytest.fixture(scope="module")
def outcomes() -> Outcomes:
    """What the contract says of each broken destination, and all it says of the good one."""
    chosen = [f"{cls}::{test}" for cls, test in EXPECTED.items()]
    return outcomes_of(
        CASES,
        "TestGood",
        "TestPushOnly",
        "TestSilent::test_simulate_leaves_no_trace",
        "TestSendsNoData::test_data_that_the_mapping_makes_is_what_arrives",
        *chosen,
    )


def test_contract_passes_a_destination_that_keeps_it(outcomes: Outcomes) -> None:
    good = {test: said for (cls, test), said in outcomes.items() if cls == "TestGood"}
    assert len(good) > 40
    assert {test for test, said in good.items() if said == "skipped"} == {
        "test_parts_that_it_does_not_declare_make_no_difference",
        "test_plugin_is_found_by_its_entry_point",
        "test_untrusted_sender_causes_nothing_that_is_guarded",
        "test_check_finds_nothing_wrong_and_delivers_nothing",
        "test_check_finds_what_a_person_must_mend",
        "test_statements_of_consent_are_relayed_among_the_events_of_their_person",
    }
    assert set(good.values()) == {"passed", "skipped"}


@pytest.mark.parametrize("broken", EXPECTED)
def test_contract_notices(broken: str, outcomes: Outcomes) -> None:
    assert outcomes[broken, EXPECTED[broken]] not in ("passed", "skipped")


@pytest.mark.parametrize(
    ("broken", "advice"),
    [
        ("TestNoBackend", "TestNoBackend needs a fixture `backend` that returns a Backend"),
        ("TestSkipless", "look at `rule.skip`"),
        ("TestGossip", "a reason may name fields and ids, but no personal data"),
        ("TestGossipOfData", "a reason may name fields and ids, but no personal data"),
        ("TestSameForAll", "data.total is left out by the mapping"),
        ("TestPlainToken", "use Secret for the settings token"),
        ("TestUnchecked", "give the field an attrs validator that raises ValueError"),
        ("TestIgnoresData", "send `data`"),
        ("TestSwallows", "it is lost. Do not swallow errors of the connection"),
        ("TestUnreachableIsABug", "an unreachable backend is RetryLater"),
        ("TestNeverDown", "a failure that a person must mend is DestinationDown"),
    ],
)
def test_failing_contract_says_what_to_mend(broken: str, advice: str, outcomes: Outcomes) -> None:
    assert advice in outcomes[broken, EXPECTED[broken]]


def test_contract_passes_a_destination_without_batches(outcomes: Outcomes) -> None:
    said = {test: said for (cls, test), said in outcomes.items() if cls == "TestPushOnly"}
    assert said["test_push_and_push_batch_agree"] == "skipped"
    assert said["test_refused_event_is_named_by_its_index"] == "passed"
    assert set(said.values()) == {"passed", "skipped"}


def test_contract_says_what_it_could_not_look_at(outcomes: Outcomes) -> None:
    assert outcomes["TestSilent", "test_simulate_leaves_no_trace"] == "skipped"
    unused = "test_data_that_the_mapping_makes_is_what_arrives"
    assert outcomes["TestSendsNoData", unused] == "skipped"


def test_contract_says_why_events_still_wait(
    walker_recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contract_base, "DELIVERY_TIMEOUT", 0.05)
    walker_recorder.fail(DestinationDown("check settings.token"))
    with Collector.from_config(
        {"destinations": {"destination": walker_recorder.entry()}},
        registry=walker_recorder.registry(),
    ) as collector:
        collector.push("order complete", wait=True)
        with pytest.raises(pytest.fail.Exception, match=r"1 event.* is down: check settings.token"):
            contract_base.flush_or_fail(collector)
        collector.close(timeout=0)


def test_events_are_complete_and_the_same_at_every_run() -> None:
    first, second = Events(), Events()
    event = first("order complete", data={"total": 55})
    assert event == second("order complete", data={"total": 55})
    assert (event["id"], event["entity"], event["action"]) == ("e1", "order", "complete")
    assert event["user"] == {"id": "u1"}
    assert first()["timestamp"] - event["timestamp"] == 1000


def test_several_events_are_numbered_on() -> None:
    events = Events("x")
    assert [event["id"] for event in events.several(3, "page view")] == ["x1", "x2", "x3"]
    assert events(id="own")["id"] == "own"


def test_event_with_a_part_that_no_event_has_is_refused() -> None:
    with pytest.raises(EventError, match="did you mean data"):
        Events()(dta={})


def test_harness_maps_events_as_the_flow_says(walker_event: Events) -> None:
    recorder = Recorder()
    mapping = {"order": {"complete": {"name": "purchase", "data": "data.total"}}}
    config = {"mapping": mapping, "env": {"recorder": recorder}}
    with Harness(recorder_class(recorder), config=config) as harness:
        harness.deliver(walker_event(data={"total": 55}))
    (delivery,) = recorder.deliveries
    assert (delivery.event["name"], delivery.data) == ("purchase", 55)
    assert delivery.rule
    assert delivery.rule.key == "order complete"


def test_harness_says_that_nothing_would_be_sent(walker_event: Events) -> None:
    config = {"mapping": {"order": {"*": {"ignore": True}}}}
    harness = Harness(Good, SETTINGS, config=config)
    with pytest.raises(ValueError, match="sends nothing of order complete: ignored"):
        harness.push(walker_event())


def test_harness_without_push_batch_says_so(walker_event: Events) -> None:
    recorder = Recorder()
    harness = Harness(recorder_class(recorder), config={"env": {"recorder": recorder}})
    with pytest.raises(ValueError, match="has no push_batch"):
        harness.push_batch([walker_event()])


def test_harness_delivery_raises_the_failure_of_a_batch(walker_event: Events) -> None:
    config = {"env": {"service": Service()}}
    with Harness(Good, SETTINGS, config=config) as harness, pytest.raises(Rejected):
        harness.deliver(walker_event("order refused"))


def test_harness_keeps_the_progress_of_an_event_over_its_attempts(walker_event: Events) -> None:
    harness = Harness(Good, SETTINGS)
    event = walker_event()
    progress = harness.item(event).context.progress
    assert progress
    progress.begin("mail")
    assert progress.state("mail") == "begun"
    progress.finish("mail")
    again = harness.item(event).context.progress
    assert again
    assert again.state("mail") == "done"


def test_recorder_keeps_what_an_application_pushes(walker_recorder: Recorder) -> None:
    with walker_recorder.collector() as collector:
        collector.push("order complete", data={"total": 55}, user={"id": "u1"})
        collector.push("page view", user={"id": "u1"})
    assert walker_recorder.names == ["order complete", "page view"]
    assert walker_recorder.events[0]["data"] == {"total": 55}


def test_recorder_hears_of_consent(walker_recorder: Recorder) -> None:
    with walker_recorder.collector() as collector:
        collector.consent({"marketing": True}, user={"id": "u1"})
    ((update, person),) = walker_recorder.consents
    assert update == {"marketing": True}
    assert person
    assert person.id == "u1"


def test_recorder_fails_when_told_to(walker_recorder: Recorder) -> None:
    walker_recorder.fail(Rejected("not today"))
    with walker_recorder.collector() as collector:
        refused = collector.push("order complete", wait=True)
        taken = collector.push("order complete", wait=True)
    assert refused.reasons == {"recorder": "not today"}
    assert taken.destinations == {"recorder": "delivered"}


def test_recorder_stands_in_beside_other_destinations(walker_recorder: Recorder) -> None:
    flow = {"destinations": {id: walker_recorder.entry() for id in ("first", "second")}}
    with Collector.from_config(flow, registry=walker_recorder.registry()) as collector:
        collector.push("order complete")
    told = {delivery.destination for delivery in walker_recorder.deliveries}
    assert told == {"first", "second"}


def test_registry_of_a_class_that_is_no_destination_says_why() -> None:
    with pytest.raises(PluginError, match="neither push nor push_batch"):
        registry_of(object)


def test_extension_without_the_right_arguments_is_refused() -> None:
    class Misspelt:
        @hookimpl(wrapper=True)
        def push(self, evnet):  # type: ignore[no-untyped-def]  # that is the mistake
            return (yield)

    with pytest.raises(PluginError, match="hook push has no argument evnet"):
        Registry().register_extension("misspelt", Misspelt)


def recorder_class(recorder: Recorder) -> type:
    return recorder.registry().find("recorder")
