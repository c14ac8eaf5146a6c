"""The right to be forgotten: of a person nothing stays, on disk neither."""

from pathlib import Path
from typing import Any

import pytest

from tests.integration.flows import event, flow
from walker_collector import Collector
from walker_collector.config import SpoolConfig
from walker_collector.spool.sqlite import SqliteSpool
from walker_dest_customerio.sandbox import Sandbox

PEOPLE = 20
MAPPING = {
    "cart": {"add": {"data": {"map": {"n": "data.n"}}}},
    "user": {
        "delete": {"skip": True, "settings": {"destroy": True}},
        "suppress": {"skip": True, "settings": {"suppress": True}},
    },
}


def with_second(base: dict[str, Any]) -> dict[str, Any]:
    """Add a destination that holds everything for consent."""
    base["destinations"]["held"] = {
        "package": "console",
        "config": {"consent": {"analytics": True}},
    }
    return base


def traces(folder: Path, *needles: str) -> dict[str, int]:
    """Return how often any of the needles stands in each file."""
    return {
        file.name: sum(file.read_bytes().count(needle.encode()) for needle in needles)
        for file in folder.rglob("*")
        if file.is_file()
    }


@pytest.mark.parametrize("action", ["delete", "suppress"])
def test_what_customerio_erases_the_collector_erases_too(tmp_path: Path, action: str) -> None:
    spool = tmp_path / "spool.db"
    with Sandbox() as sandbox:
        config = flow(
            sandbox, spool, mapping=MAPPING, settings={"forgetOn": ["destroy", "suppress"]}
        )
        with Collector.from_config(with_second(config)) as collector:
            collector.push_many(event(number, PEOPLE) for number in range(200))
            collector.consent({"marketing": True}, user={"id": "u7"})
            collector.push(f"user {action}", user={"id": "u7", "email": "u7@example.com"})
            assert collector.flush(timeout=30)
        # 10 events and one deletion of the person, of 201, were held for the second destination.
        with Collector.from_config(with_second(config)) as collector:
            assert collector.status().destinations["held"].held == 201 - 11
        assert "u7" not in sandbox.people
    assert set(traces(tmp_path, "u7@example.com", '"u7"', "id:u7").values()) == {0}
    assert any(traces(tmp_path, "u8@example.com").values())


def test_without_the_setting_nothing_else_is_erased(tmp_path: Path) -> None:
    with Sandbox() as sandbox:
        config = with_second(flow(sandbox, tmp_path / "spool.db", mapping=MAPPING))
        with Collector.from_config(config) as collector:
            collector.push_many(event(number, PEOPLE) for number in range(100))
            collector.push("user delete", user={"id": "u7"})
            assert collector.flush(timeout=30)
            assert collector.status().destinations["held"].held == 101


def test_an_erasure_begun_before_a_crash_is_finished_by_the_next_process(tmp_path: Path) -> None:
    spool = tmp_path / "spool.db"
    with Sandbox() as sandbox:
        config = with_second(flow(sandbox, spool, mapping=MAPPING))
        with Collector.from_config(config) as collector:
            collector.push_many(event(number, PEOPLE) for number in range(100))
            assert collector.flush(timeout=30)
        opened = SqliteSpool(SpoolConfig(path=str(spool)))
        opened.schedule_erasure({"id:u7"})
        opened.close()
        with Collector.from_config(config) as collector:
            assert collector.status().destinations["held"].held == 100 - 5
    assert set(traces(tmp_path, "u7@example.com", '"u7"', "id:u7").values()) == {0}
