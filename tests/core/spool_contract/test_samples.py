"""The table of live figures and samples, for the viewers of a spool."""

from tests.core.spool_contract.engines import Process
from walker_collector.spool.samples import SAMPLES_MAX


def test_watch_is_seen_by_other_processes_until_its_end(process: Process, other: Process) -> None:
    mine, others = process.spool.sample_table, other.spool.sample_table
    assert others.watched_until() == 0
    mine.watch("one", 5_000)
    mine.watch("two", 7_000)
    mine.watch("two", 9_000)
    assert others.watched_until() == 9_000
    mine.watch("two", 0)
    assert others.watched_until() == 5_000
    others.watch("three", 100_000)
    others.watch("three", 0)
    assert mine.watched_until() == 0, "the row of a viewer that was killed goes with the next one"


def test_figures_and_samples_are_read_elsewhere(process: Process, other: Process) -> None:
    mine, others = process.spool.sample_table, other.spool.sample_table
    mine.publish("p1", 1_000, '{"n":1}', ["a", "b"])
    mine.publish("p1", 2_000, '{"n":2}', [])
    others.publish("p2", 3_000, "{}", ["c"])
    assert others.figures(0) == {"p1": '{"n":2}', "p2": "{}"}
    assert others.figures(2_500) == {"p2": "{}"}
    numbers, bodies = zip(*mine.samples(0), strict=True)
    assert bodies == ("a", "b", "c")
    assert mine.newest() == numbers[-1]
    assert mine.samples(numbers[1]) == [(numbers[2], "c")]
    mine.clear()
    assert (others.figures(0), others.samples(0), others.newest()) == ({}, [], 0)
    mine.publish("p1", 1_000, "{}", ["d"])
    assert others.samples(0)[0][0] > numbers[-1], "a number is never given again"


def test_samples_are_bounded(process: Process) -> None:
    table = process.spool.sample_table
    for n in range(6):
        table.publish("p", n, "{}", [str(n)] * 100)
    assert len(table.samples(0)) == SAMPLES_MAX
    assert table.samples(0)[-1][1] == "5"


def test_erasure_leaves_no_sample(process: Process, other: Process) -> None:
    table = process.spool.sample_table
    table.publish("p", 1, "{}", ['{"person":"id:ines"}'])
    other.spool.erase(["id:ines"])
    assert table.samples(0) == []
