"""Forked workers: each delivers its own, once, and what one leaves behind is taken over."""

import logging
import multiprocessing
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.core.support import (
    MARKETING,
    PATIENCE,
    Record,
    config,
    event,
    flow,
    in_threads,
    one,
    plugin,
    running,
    until,
)
from tests.forms import form
from tests.support import exit_status, in_fork, python
from walker_collector import Collector, DestinationDown

FORKS = form(8, 100)
SPOOLS = {"spool.db", "spool.db-shm", "spool.db-wal", "spool.db.locks"}


@pytest.fixture(params=[False, True], ids=["memory", "durable"])
def spool(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path / "spools" / "spool.db" if request.param else None


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path) -> None:
    (tmp_path / "spools").mkdir()


def writing(path: Path) -> type:
    """Return a destination that writes who delivered what, a line each, to a file."""

    def push(event: dict[str, Any], context: Any) -> None:
        line = f"{os.getpid()} {event['data']['n']}\n".encode()
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(file, line)
        os.close(file)

    return plugin(push)


def delivered(path: Path) -> list[tuple[int, int]]:
    """Return process id and number of every delivery, in the order they came."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [(int(pid), int(n)) for pid, n in map(str.split, lines)]


def down(event: Any, context: Any) -> None:
    raise DestinationDown("no key")


def test_child_delivers_its_own_and_the_parent_its_own(spool: Path | None, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with running(flow(writing(out), spool)) as collector:
        collector.push(event(1))

        def child() -> None:
            for n in (10, 11):
                collector.push(event(n))
            assert collector.close(PATIENCE)

        pids = [in_fork(child) for _ in range(2)]
        collector.push(event(2))
        assert [exit_status(pid) for pid in pids] == [0, 0]
        assert collector.flush(PATIENCE)
    if spool is None:
        expected = [(os.getpid(), 1), (os.getpid(), 2)]
        expected += [(pid, n) for pid in pids for n in (10, 11)]
        assert sorted(delivered(out)) == sorted(expected)
    else:  # any of them may deliver what the others accept
        assert sorted(n for _, n in delivered(out)) == [1, 2, 10, 10, 11, 11]


def test_what_the_parent_had_accepted_is_not_delivered_by_the_child(
    spool: Path | None, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with running(flow(writing(out), spool)) as collector:
        for n in range(200):
            collector.push(event(n))

        def child() -> None:
            collector.push(event(1_000))
            assert collector.close(PATIENCE)

        assert exit_status(in_fork(child)) == 0
        assert collector.flush(PATIENCE)
    counts = Counter(n for _, n in delivered(out))
    assert counts == Counter([*range(200), 1_000])


def test_child_that_pushes_nothing_has_nothing_to_wait_for(
    spool: Path | None, tmp_path: Path
) -> None:
    with running(flow(plugin(down), spool)) as collector:
        collector.push(event(1))
        until(lambda: collector.status().destinations["there"].state == "down")

        def child() -> None:
            assert collector.flush()
            assert collector.close()

        assert exit_status(in_fork(child)) == 0
        assert collector.status().destinations["there"].waiting == 1
    assert spool is None or {file.name for file in spool.parent.iterdir()} <= SPOOLS


def test_child_sees_its_own_figures(spool: Path | None) -> None:
    with running(flow(plugin(down), spool)) as collector:
        for n in range(3):
            collector.push(event(n))

        def child() -> None:
            assert collector.status().accepted == 0
            # A spool is that of all processes, a queue in memory is each one's own.
            assert collector.status_of("there").waiting == (0 if spool is None else 3)
            assert collector.dead() == []
            assert collector.bury([]) == 0

        assert exit_status(in_fork(child)) == 0
        assert collector.status().accepted == 3


def test_closed_collector_stays_closed_in_the_child(spool: Path | None) -> None:
    collector = Collector(flow(plugin(Record().push), spool))
    collector.close()

    def child() -> None:
        with pytest.raises(Exception, match="closed"):
            collector.push(event(1))
        assert collector.close()

    assert exit_status(in_fork(child)) == 0


def test_fork_while_threads_push_leaves_the_child_usable(
    spool: Path | None, tmp_path: Path
) -> None:
    out, stop = tmp_path / "out", threading.Event()
    with running(flow(writing(out), spool)) as collector:
        pushed = [0] * 3

        def push(thread: int) -> None:
            while not stop.is_set():  # bounded: by the children's ends
                collector.push(event(thread * 10_000 + pushed[thread]))
                pushed[thread] += 1

        threads = [threading.Thread(target=push, args=(thread,)) for thread in range(3)]
        for thread in threads:
            thread.start()

        def child() -> None:
            collector.push(event(1_000_000))
            collector.consent(MARKETING, user={"id": "u1"})
            assert collector.close(PATIENCE)

        try:
            assert [exit_status(in_fork(child)) for _ in range(5)] == [0] * 5
        finally:
            stop.set()
            for thread in threads:
                thread.join(PATIENCE)
        assert collector.flush(PATIENCE)
    counts = Counter(n for _, n in delivered(out))
    expected = [t * 10_000 + n for t in range(3) for n in range(pushed[t])]
    assert counts == Counter([*expected, *[1_000_000] * 5])


@pytest.mark.long
def test_fork_while_calls_with_a_time_limit_are_under_way_leaves_the_child_usable(
    spool: Path | None, tmp_path: Path
) -> None:
    out, stop = tmp_path / "out", threading.Event()
    limited = config(timeout=10_000, concurrency=8)
    with running(flow({"there": (writing(out), limited)}, spool)) as collector:
        pushed: list[int] = []

        def push() -> None:
            while not stop.is_set():  # bounded: set below in any case
                collector.push_many([event(n, f"u{n}") for n in range(20)])
                pushed.append(20)
                # Some calls are always under way, but no more wait than a slow machine can deliver.
                until(lambda: collector.status().destinations["there"].waiting < 100)

        thread = threading.Thread(target=push)
        thread.start()

        def child() -> None:
            signal.alarm(int(PATIENCE))
            collector.push(event(1_000_000))
            assert collector.close(PATIENCE)

        try:
            assert [exit_status(in_fork(child)) for _ in range(FORKS)] == [0] * FORKS
        finally:
            stop.set()
            thread.join(PATIENCE)
        assert collector.flush(PATIENCE)
    counts = Counter(n for _, n in delivered(out))
    assert counts == Counter({1_000_000: FORKS, **dict.fromkeys(range(20), len(pushed))})


def warnings_of(collector: Collector, told: Path) -> Callable[[], None]:
    """Return a child that uses a collector, and writes the warnings of that to a file."""

    def child() -> None:
        handler = logging.FileHandler(told)
        handler.setLevel(logging.WARNING)
        logging.getLogger("walker_collector").addHandler(handler)
        for n in (1, 2):
            collector.push(event(n))
        collector.consent(MARKETING, user={"id": "u1"})
        assert collector.close(PATIENCE)

    return child


@pytest.mark.parametrize("way", ["os.fork", "multiprocessing"])
def test_child_tells_once_that_memory_is_its_own(
    way: str, spool: Path | None, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    with running(flow(plugin(Record().push), spool)) as collector:
        collector.push(event(0))
        child = warnings_of(collector, told)
        if way == "os.fork":
            assert exit_status(in_fork(child)) == 0
        else:
            process = multiprocessing.get_context("fork").Process(target=child)
            process.start()
            process.join(PATIENCE)
            assert process.exitcode == 0
        collector.push(event(3))
    lines = told.read_text().splitlines()
    assert len(lines) == (0 if spool else 1)
    assert all("collector is in memory" in line and "collector.spool" in line for line in lines)


def test_child_that_does_not_use_the_collector_tells_nothing(
    spool: Path | None, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    with running(flow(plugin(Record().push), spool)) as collector:
        handler = logging.FileHandler(told)
        logging.getLogger("walker_collector").addHandler(handler)
        try:
            assert exit_status(in_fork(lambda: collector.close())) == 0
        finally:
            logging.getLogger("walker_collector").removeHandler(handler)
            handler.close()
    assert told.read_text() == ""


def test_grandchild_is_a_child_as_well(spool: Path | None, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with running(flow(writing(out), spool)) as collector:
        collector.push(event(1))

        def child() -> None:
            collector.push(event(2))

            def grandchild() -> None:
                collector.push(event(3))
                assert collector.close(PATIENCE)

            assert exit_status(in_fork(grandchild)) == 0
            assert collector.close(PATIENCE)

        assert exit_status(in_fork(child)) == 0
        assert collector.flush(PATIENCE)
    assert sorted(n for _, n in delivered(out)) == [1, 2, 3]


def test_process_that_forks_twice_before_it_pushes_is_no_worse(
    spool: Path | None, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with running(flow(writing(out), spool)) as collector:

        def child() -> None:

            def grandchild() -> None:
                collector.push(event(1))
                assert collector.close(PATIENCE)

            assert exit_status(in_fork(grandchild)) == 0

        assert exit_status(in_fork(child)) == 0
        collector.push(event(2))
        assert collector.flush(PATIENCE)
    assert [n for _, n in delivered(out)] == [1, 2]


def test_two_threads_may_fork_at_once(spool: Path | None, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with running(flow(writing(out), spool)) as collector:

        def fork() -> None:
            for _ in range(5):
                collector.push(event(1))
                assert exit_status(in_fork(lambda: collector.close())) == 0

        in_threads(fork, fork)
        assert collector.flush(PATIENCE)
    assert len(delivered(out)) == 10


SERVER = """
    import os, sys
    from pathlib import Path
    from tests.core.support import event, flow
    from tests.core.test_collector_fork import writing
    from walker_collector import Collector

    out, spool = Path(sys.argv[1]), sys.argv[2] or None
    collector = Collector(flow(writing(out), spool))
    collector.push(event(0))

    def worker(number):
        if number == 3:
            assert collector.flush() and collector.close()  # it has nothing to do
            sys.exit()
        if number == 2:
            assert collector.status().accepted == 0
        for n in range(10):
            collector.push(event(number * 100 + n))
        sys.exit()  # as a worker ends: what is left open is closed at exit

    workers = []
    for number in (1, 2, 3):
        pid = os.fork()
        if pid == 0:
            worker(number)
        workers.append(pid)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in workers]
    sys.exit(max(codes))
"""


def test_workers_that_end_deliver_what_waits(spool: Path | None, tmp_path: Path) -> None:
    out = tmp_path / "out"
    python(SERVER, out, spool or "")
    numbers = [0, *range(100, 110), *range(200, 210)]
    assert Counter(n for _, n in delivered(out)) == Counter(numbers)


# --- the spool of all workers ----------------------------------------------------------------


def worker(collector: Collector, *numbers: int) -> Callable[[], None]:
    def child() -> None:
        for n in numbers:
            collector.push(event(n))
        collector.close(timeout=0)

    return child


def test_what_a_worker_leaves_is_taken_over_at_the_next_start(tmp_path: Path) -> None:
    spool, out = tmp_path / "spools" / "spool.db", tmp_path / "out"
    with running(flow(plugin(down), spool)) as collector:
        for numbers in ((1, 2), (3,)):
            assert exit_status(in_fork(worker(collector, *numbers))) == 0
        assert {file.name for file in spool.parent.glob("spool*.db")} == {"spool.db"}
    with running(flow(writing(out), spool)) as collector:
        assert collector.flush(PATIENCE)
    assert sorted(n for _, n in delivered(out)) == [1, 2, 3]


def test_killed_workers_leave_everything_to_the_next_start(tmp_path: Path) -> None:
    spool, out = tmp_path / "spools" / "spool.db", tmp_path / "out"
    with running(flow(plugin(down), spool)) as collector:

        def child(first: int) -> Callable[[], None]:
            def run() -> None:
                for n in range(first, first + 50):
                    collector.push(event(n))
                os.kill(os.getpid(), signal.SIGKILL)

            return run

        for first in (0, 100):
            assert exit_status(in_fork(child(first))) == -signal.SIGKILL
    with running(flow(writing(out), spool)) as collector:
        assert collector.flush(PATIENCE)
    assert sorted(n for _, n in delivered(out)) == [*range(50), *range(100, 150)]


def test_consent_that_a_worker_recorded_holds_after_the_next_start(tmp_path: Path) -> None:
    spool, record = tmp_path / "spools" / "spool.db", Record()
    the_flow = one(plugin(record.push), spool, consent=MARKETING)
    with running(the_flow) as collector:

        def child() -> None:
            collector.push(event(1, user={"session": "s"}))
            collector.consent(MARKETING, user={"id": "a", "session": "s"})
            os._exit(0)

        assert exit_status(in_fork(child)) == 0
    with running(the_flow) as collector:
        collector.push(event(2, "a"))
        collector.push(event(3, user={"session": "s"}))
        assert collector.flush(PATIENCE)
        assert record.numbers[-2:] == [2, 3]
        assert collector.status().destinations["there"].held == 0


def test_child_outlives_its_parent_and_inherits_the_spool(tmp_path: Path) -> None:
    spool, out = tmp_path / "spools" / "spool.db", tmp_path / "out"
    gate, pushed = tmp_path / "gate", tmp_path / "pushed"
    broken = plugin(down)

    def parent() -> None:
        collector = Collector(flow(broken, spool))
        collector.push(event(1))

        def daemon() -> None:
            until(gate.exists)
            collector.push(event(2))
            pushed.touch()
            os._exit(0)

        in_fork(daemon)
        os._exit(0)  # as who becomes a daemon does

    assert exit_status(in_fork(parent)) == 0
    gate.touch()
    until(pushed.exists)
    with running(flow(writing(out), spool)):  # the daemon may be about to end, still a deliverer
        until(lambda: [n for _, n in delivered(out)] == [1, 2])
