"""An event of a source at an impossible time gets that of its receipt."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.core.cli_support import completed
from tests.core.sources.test_serve import flow_in
from tests.core.support import MARKETING, Clock, Record, flow, guarded, held, plugin, running
from tests.support import PATIENCE
from walker_collector import EventError, PushResult
from walker_collector.hookspecs import Received
from walker_collector.sources.http import app

NOW = 1_700_000_000_000


def received(*events: dict[str, Any], **settings: Any) -> tuple[list[Any], list[Any], int]:
    """Return the results of events of a source, those delivered, and how many were corrected."""
    record = Record()
    destination = flow(plugin(record.push), **settings)
    with running(destination, now=Clock(NOW)) as collector:
        named = [{"name": "page view", "id": f"e{at}", **it} for at, it in enumerate(events)]
        results = collector.push_from(None, named)
        assert collector.flush(PATIENCE)
        return results, record.events, collector.status().corrected


@pytest.mark.parametrize("given", [1_000, NOW + 2 * 86_400_000, NOW // 1000, "1970-01-02", 5e14])
def test_impossible_time_becomes_that_of_receipt_and_is_kept(given: Any) -> None:
    (result,), (event,), corrected = received({"timestamp": given, "custom": {"a": 1}})
    assert isinstance(result, PushResult)
    assert event["timestamp"] == NOW
    assert event["custom"] == {"a": 1, "timestamp": given}
    assert corrected == 1


def test_time_that_an_event_keeps_itself_is_not_overwritten() -> None:
    _, (event,), _ = received({"timestamp": 1_000, "custom": {"timestamp": "its own"}})
    assert event["custom"] == {"timestamp": "its own"}


def test_bounds_are_those_of_the_flow() -> None:
    events = [{"timestamp": NOW - 1}, {"timestamp": NOW}, {"timestamp": NOW + 11}, {}]
    _, got, corrected = received(*events, oldest=NOW, max_ahead=10)
    assert [event["timestamp"] for event in got] == [NOW] * 4
    assert [event["custom"] for event in got] == [
        {"timestamp": NOW - 1},
        {},
        {"timestamp": NOW + 11},
        {},
    ]
    assert corrected == 2


@pytest.mark.parametrize("given", ["yesterday", "1700000000000", True, [], float("nan")])
def test_what_is_no_time_is_refused(given: Any) -> None:
    (error,), got, corrected = received({"timestamp": given})
    assert isinstance(error, EventError)
    assert str(error).startswith("timestamp: ")
    assert (got, corrected) == ([], 0)


def test_process_and_files_are_refused_as_before(tmp_path: Path) -> None:
    with running(flow(plugin(Record().push)), now=Clock(NOW)) as collector:
        with pytest.raises(EventError, match="timestamp: 1700000000 seems to be in seconds"):
            collector.push("page view", timestamp=NOW // 1000)
        assert collector.status().corrected == 0
    (tmp_path / "events.ndjson").write_text('{"name": "page view", "timestamp": 1000}\n')
    source = {"f": {"package": "file", "config": {"settings": {"path": "events.ndjson"}}}}
    done = completed("serve", flow_in(tmp_path, source), cwd=tmp_path)
    assert "line 1: timestamp: " in done.stderr
    assert not (tmp_path / "out.ndjson").exists()


def test_segments_call_at_an_impossible_time_is_delivered() -> None:
    record = Record()
    call = {"event": "Order Completed", "userId": "u1", "timestamp": "1971-01-01T00:00:00Z"}
    with running(flow(plugin(record.push))) as collector:
        answer = app(collector).respond("POST", "/v1/track", {}, json.dumps(call).encode())
        assert (answer[0], json.loads(answer[2])) == (200, {"success": True})
        assert collector.flush(PATIENCE)
    (event,) = record.events
    assert event["custom"]["timestamp"] == 31_536_000_000
    assert event["timestamp"] > NOW


def test_consent_at_an_impossible_time_holds_for_its_event_alone() -> None:
    record, ines = Record(), {"session": "s1"}
    with running(guarded(record), now=Clock(NOW)) as collector:
        event = {"name": "page view", "user": ines, "consent": MARKETING, "timestamp": 1_000}
        collector.push_from(None, [Received(event, trusted=False, learn=True)])
        collector.push_from(None, [Received({"name": "page leave", "user": ines}, trusted=False)])
        assert collector.flush(PATIENCE)
        assert held(collector) == 1
    assert [event["name"] for event in record.events] == ["page view"]


def test_what_another_collector_received_counts_as_of_then() -> None:
    record, clock, ines = Record(), Clock(NOW), {"session": "s1"}
    early = {"trusted": False, "stated_at": (NOW - 5_000) * 1_000}
    with running(guarded(record), now=clock) as collector:
        collector.push_from(None, [Received(withdrawal(ines), trusted=False)])
        grant = {"name": "page view", "user": ines, "consent": MARKETING, "timestamp": NOW + 60_000}
        collector.push_from(None, [Received(grant, learn=True, **early)])
        statement = {"name": "walker consent", "data": MARKETING, "user": ines}
        collector.push_from(None, [Received(statement, **early)])
        collector.push_from(None, [Received({"name": "page leave", "user": ines}, trusted=False)])
        assert collector.flush(PATIENCE)
        assert held(collector) == 1
    # The event that grants for itself goes; the earlier grants do not overturn the withdrawal.
    assert [event["name"] for event in record.events] == ["page view"]


@pytest.mark.parametrize("statement", ["event", "command"])
def test_moment_to_come_counts_as_now(statement: str) -> None:
    record, clock, ines = Record(), Clock(NOW), {"session": "s1"}
    ahead = {"trusted": False, "stated_at": (NOW + 3_600_000) * 1_000}
    grant = {"user": ines, "timestamp": NOW + 3_600_000} | (
        {"name": "page view", "consent": MARKETING}
        if statement == "event"
        else {"name": "walker consent", "data": MARKETING}
    )
    with running(guarded(record), now=clock) as collector:
        collector.push_from(None, [Received(grant, learn=True, **ahead)])
        clock.advance(1_000)
        collector.push_from(None, [Received(withdrawal(ines), trusted=False)])
        collector.push_from(None, [Received({"name": "page leave", "user": ines}, trusted=False)])
        assert collector.flush(PATIENCE)
        assert held(collector) == 1


def withdrawal(user: dict[str, str]) -> dict[str, Any]:
    return {"name": "walker consent", "data": {"marketing": False}, "user": user}
