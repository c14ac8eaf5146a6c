"""The page of one process of a spool: it shows what all of them do."""

from pathlib import Path
from typing import Any

import pytest

from tests.core.inspector.test_web import in_a_loop, inspected, messages, streamed, until
from tests.core.support import MARKETING, Record, config, flow, plugin, running
from walker_collector.delivery import sharing
from walker_collector.inspector import publisher


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have processes look at each other without the wait between."""
    monkeypatch.setattr(sharing, "_INTERVAL", 0.05)
    monkeypatch.setattr(publisher, "INTERVAL", 0.05)
    monkeypatch.setattr(publisher, "_SAMPLES", 0.05)


@in_a_loop
async def test_events_that_another_process_delivers_are_on_the_page(
    tmp_path: Path, quick: None
) -> None:
    flow_ = flow(
        {
            "there": (plugin(Record().push), config()),
            "elsewhere": (plugin(Record().push), config(consent=MARKETING)),
        },
        tmp_path / "spool.db",
    )
    with running(flow_) as deliverer, inspected(flow_, show_values=True) as (collector, page):
        async with streamed(page, "?values=1") as answer:
            await until(lambda: any(map(_all_publish, messages(answer, "figures"))))
            user = {"id": "ines"}
            collector.push("order complete", data={"total": 55}, user=user)
            deliverer.push("order complete", data={"total": 66}, user=user)

            def outcomes() -> list[str]:
                samples = [item for some in messages(answer, "samples") for item in some]
                return sorted(item["outcome"] for item in samples)

            await until(lambda: outcomes() == ["delivered"] * 2 + ["held"] * 2)
            assert '"total":55' not in answer.body.decode()  # nobody may write values down
            await until(lambda: _delivers(messages(answer, "figures")[-1]))
            last = messages(answer, "figures")[-1]
            assert len(last["processes"]) == 2
            held = {item["id"]: item["held"] for item in last["destinations"]}
            assert held == {"there": 0, "elsewhere": 2}


@in_a_loop
async def test_event_of_another_process_appears_before_the_next_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "_INTERVAL", 0.05)
    flow_ = flow({"there": (plugin(Record().push), config())}, tmp_path / "spool.db")
    with running(flow_) as deliverer, inspected(flow_) as (_, page):
        async with streamed(page) as answer:
            await until(lambda: any(map(_all_publish, messages(answer, "figures"))))
            monkeypatch.setattr(publisher, "INTERVAL", 60.0)  # of figures alone
            deliverer.push("order complete")
            await until(lambda: bool(messages(answer, "samples")))


def _all_publish(figures: dict[str, Any]) -> bool:
    processes = figures.get("processes", [])
    return len(processes) == 2 and all(item["publishes"] for item in processes)


def _delivers(figures: dict[str, Any]) -> bool:
    return any(item["rates"]["delivered"] > 0 for item in figures["destinations"])
