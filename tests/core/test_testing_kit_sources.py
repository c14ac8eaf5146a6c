"""The kit for authors of sources: its contract notices broken ones, its harness works."""

from pathlib import Path
from typing import Any

import pytest
from attrs import frozen

from tests.core.testing_kit.broken_sources import EXPECTED
from tests.core.testing_kit.outcomes import Outcomes, outcomes_of
from walker_collector import ConfigError, EventError, PluginError, SourceContext, hookimpl
from walker_collector.testing import SourceHarness

CASES = Path(__file__).parent / "testing_kit" / "broken_sources.py"


@pytest.fixture(scope="module")
def outcomes() -> Outcomes:
    """What the contract says of each broken source, and all it says of the good ones."""
    chosen = [f"{cls}::{test}" for cls, (test, _) in EXPECTED.items()]
    return outcomes_of(CASES, "TestGood", "TestGoodWithoutAnswers", *chosen)


@pytest.mark.parametrize(
    ("cls", "skipped"),
    [
        ("TestGood", {"test_plugin_is_found_by_its_entry_point"}),
        (
            "TestGoodWithoutAnswers",
            {
                "test_plugin_is_found_by_its_entry_point",
                "test_taken_events_are_acknowledged",
                "test_nothing_is_acknowledged_while_accept_waits",
            },
        ),
    ],
)
def test_contract_passes_a_source_that_keeps_it(
    cls: str, skipped: set[str], outcomes: Outcomes
) -> None:
    said = {test: said for (its, test), said in outcomes.items() if its == cls}
    assert len(said) > 20
    assert {test: it for test, it in said.items() if it not in ("passed", "skipped")} == {}
    assert {test for test, it in said.items() if it == "skipped"} == skipped


@pytest.mark.parametrize("broken", EXPECTED)
def test_contract_notices_and_says_what_to_mend(broken: str, outcomes: Outcomes) -> None:
    test, advice = EXPECTED[broken]
    assert advice in outcomes[broken, test]


@frozen(kw_only=True)
class Settings:
    count: int = 2


class Counting:
    """Hands on numbers, and ends."""

    settings = Settings

    @hookimpl
    def run(self, context: SourceContext) -> None:
        context.ready("one, two")
        for number in range(context.settings.count):
            context.accept([{"name": "clock tick", "data": {"number": number}}])


def test_harness_runs_a_source_and_keeps_what_it_hands_on() -> None:
    with SourceHarness(Counting, {"count": 3}) as source:
        source.wait_for(3)
        source.wait_for_end()
    assert source.place == "one, two"
    assert [event["data"]["number"] for event in source.accepted] == [0, 1, 2]


def test_harness_refuses_what_a_collector_would_and_as_it_is_told() -> None:
    class Bad(Counting):
        @hookimpl
        def run(self, context: SourceContext) -> None:
            context.ready("here")
            self.results = context.accept(
                [{"name": "cart"}, {"name": "walker consent", "data": {}}, {"name": "a b"}]
            )
            Bad.results = self.results

        results: Any = ()

    with SourceHarness(Bad) as source:
        source.wait_for_end()
    assert [isinstance(result, EventError) for result in Bad.results] == [True, False, False]
    assert len(source.offered) == 3
    assert [event["name"] for event in source.accepted] == ["walker consent", "a b"]
    error = EventError("not today")
    with SourceHarness(Bad, answer=lambda event: error) as source:
        source.wait_for_end()
    assert Bad.results == [error] * 3


def test_harness_refuses_settings_as_a_flow_does() -> None:
    with pytest.raises(ConfigError, match=r"sources\.source\.config\.settings\.cuont"):
        SourceHarness(Counting, {"cuont": 3})


def test_harness_of_a_class_that_is_no_source_says_why() -> None:
    with pytest.raises(PluginError, match="has no run"):
        SourceHarness(object)


def test_harness_raises_what_the_source_has_raised() -> None:
    class Failing(Counting):
        @hookimpl
        def run(self, context: SourceContext) -> None:
            context.ready("here")
            context.stop.wait(5)
            raise ValueError("at the end")

    with pytest.raises(ValueError, match="at the end"), SourceHarness(Failing):
        pass


def test_harness_names_what_did_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("walker_collector.testing.source_harness.PATIENCE", 0.05)
    with (
        SourceHarness(Counting) as source,
        pytest.raises(TimeoutError, match=r"events is 3; it has handed on 2 event"),
    ):
        source.wait_for(3)
