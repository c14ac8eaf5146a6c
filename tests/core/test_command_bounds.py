"""Commands are bounded: none takes consent, or what every event gets, beyond a limit."""

import threading
from pathlib import Path
from typing import Any

import pytest

from tests.core.support import Record, event, flow, guarded, plugin, running
from walker_collector import Collector, EventError
from walker_collector.events import CONSENT_KEYS
from walker_collector.people.records import AVERAGE_BYTES, ConsentRecords

USER = {"id": "ines"}


def keys(first: int, count: int, granted: bool = True) -> dict[str, bool]:
    return {f"purpose{n}": granted for n in range(first, first + count)}


def statements(collector: Collector) -> dict[str, bool]:
    return collector._life.runtime.consents.state("id:ines")


# --- consent ---------------------------------------------------------------------------------


@pytest.mark.parametrize("whose", [{"user": USER}, {}], ids=["person", "default"])
def test_statement_with_too_many_keys_is_refused(whose: dict[str, Any]) -> None:
    with running(guarded(Record())) as collector:
        with pytest.raises(EventError, match="has 201 keys; the limit is 200"):
            collector.consent(keys(0, CONSENT_KEYS + 1), **whose)
        collector.consent(keys(0, CONSENT_KEYS), **whose)


def test_event_with_too_many_keys_of_consent_is_refused() -> None:
    with running(guarded(Record())) as collector:
        with pytest.raises(EventError, match="the limit is 200"):
            collector.push(event(1, consent=keys(0, CONSENT_KEYS + 1)))
        collector.push(event(1, consent=keys(0, CONSENT_KEYS)))


@pytest.mark.parametrize("whose", [{"user": USER}, {}], ids=["person", "default"])
def test_statements_take_nobody_beyond_the_bound_of_keys(
    whose: dict[str, Any], spool: Path | None
) -> None:
    with running(guarded(Record(), spool)) as collector:
        consents = collector._life.runtime.consents
        collector.consent(keys(0, CONSENT_KEYS), **whose)
        before, version = (statements(collector), consents.default), consents.version
        with pytest.raises(EventError, match="would have 201 keys with this; the limit is 200"):
            collector.consent({"one more": True, "purpose0": False}, **whose)
        assert (statements(collector), consents.default) == before
        assert consents.version == version


def test_person_at_the_bound_can_withdraw_every_key() -> None:
    with running(guarded(Record())) as collector:
        collector.consent(keys(0, CONSENT_KEYS), user=USER)
        collector.consent(keys(0, CONSENT_KEYS, granted=False), user=USER)
        assert not any(statements(collector).values())


def test_people_who_become_one_keep_denials_within_the_bound_of_keys(spool: Path | None) -> None:
    with running(guarded(Record(), spool)) as collector:
        collector.consent(keys(0, CONSENT_KEYS, granted=False), user={"session": "s"})
        collector.consent(keys(CONSENT_KEYS, CONSENT_KEYS), user=USER)
        collector.push(event(1, None, user={**USER, "session": "s"}))
        assert statements(collector) == keys(0, CONSENT_KEYS, granted=False)


def test_memory_for_statements_is_bounded_for_people_with_many() -> None:
    records = ConsentRecords(None, 100, lambda: 0, threading.RLock())
    small = {"marketing": (False, 1)}
    large = {f"{n:0>450}": (True, 1) for n in range(CONSENT_KEYS)}
    records.put("id:small", small)
    for n in range(50):
        records.put(f"id:{n}", large)
    in_memory = [person for person, record in records._people.items() if record is large]
    size = sum(len(key) for person in in_memory for key in records._people[person])
    assert 0 < size <= 100 * AVERAGE_BYTES
    assert in_memory[-1] == "id:49"
    assert records.get("id:small") == small  # those who have few are not dropped for it


# --- the user and globals of every event -----------------------------------------------------


def tell(collector: Collector, what: str, update: dict[str, Any]) -> None:
    collector.push({"name": f"walker {what}", "data": update})


@pytest.mark.parametrize("what", ["globals", "user"])
@pytest.mark.parametrize("shape", ["keys", "list", "text"])
def test_commands_cannot_make_later_events_too_large(what: str, shape: str) -> None:
    def update(n: int) -> dict[str, Any]:
        if shape == "text":
            return {f"key{n}": "x" * 9_000}
        if shape == "list":
            return {"seen": [*range(n * 100, n * 100 + 100)]}
        return {f"key{key}": 1 for key in range(n * 100, n * 100 + 100)}

    record = Record()
    with running(guarded(record)) as collector:
        refused = []
        for n in range(120):
            try:
                tell(collector, what, update(n))
            except EventError as error:
                refused.append(str(error))
        assert len(refused) >= 100
        assert f"{what}: those of every event would have" in refused[0]
        assert "the limit is 1" in refused[0]
        collector.push(event(1))


def test_refused_command_leaves_the_globals_as_they_were() -> None:
    with running(guarded(Record())) as collector:
        tell(collector, "globals", {"shop": "kettle", "tags": ["a"]})
        with pytest.raises(EventError, match=r"bytes of JSON with this; the limit is 100,000"):
            tell(collector, "globals", {"shop": "leaf", "tags": ["b"], "text": "x" * 100_000})
        defaults = collector._life.runtime.intake._defaults
        assert defaults.globals == {"shop": "kettle", "tags": ["a"]}
        tell(collector, "globals", {"shop": "leaf"})
        assert defaults.globals == {"shop": "leaf", "tags": ["a"]}


def test_globals_of_a_flow_beyond_the_bound_can_still_be_changed() -> None:
    shared = {"text": "x" * 200_000, "shop": "leaf"}
    with running(flow(plugin(Record().push), globals=shared)) as collector:
        tell(collector, "globals", {"shop": "tea!"})
        with pytest.raises(EventError, match="the limit is 100,000"):
            tell(collector, "globals", {"more": 1})
