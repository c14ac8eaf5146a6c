"""Killed at any moment, and resumed; and how much memory a long backlog takes."""

import random
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.core.support import PATIENCE, Clock, event, one, plugin, running, until
from tests.forms import form
from tests.support import LIFETIME, python, run_until
from walker_collector import PushContext, RetryLater
from walker_collector.config import RetryConfig

KILLS = form(5, 100)
EVENTS = form(3_000, 100_000)
PEOPLE = form(200, 1_000)
MEMORY_EVENTS = form(50_000, 1_000_000)
RUN = max(LIFETIME, EVENTS / 100)
"""Seconds a pusher may live."""


def push_until(folder: Path, start: int, kill_at: int | None) -> tuple[int, str]:
    """Push from an event on, killed once `kill_at` is accepted; return how many were, last line."""
    command = [sys.executable, "-m", "tests.core.pusher", folder, EVENTS, PEOPLE, start, start]
    return run_until(command, start, kill_at, RUN)


@pytest.mark.long
def test_process_that_is_killed_loses_nothing_it_accepted(tmp_path: Path) -> None:
    chance = random.Random(5)
    accepted = 0
    for moment in sorted(chance.sample(range(50, EVENTS), KILLS)):
        accepted, _ = push_until(tmp_path, accepted, moment)
        # What was accepted is not pushed again. What was not is, by whoever was told so.
    accepted, last = push_until(tmp_path, accepted, None)
    assert (accepted, last) == (EVENTS, "drained")
    arrived: dict[str, list[int]] = defaultdict(list)
    seen: set[str] = set()
    for line in (tmp_path / "out").read_text().splitlines():
        id_, person, n = line.split()
        if id_ not in seen:
            seen.add(id_)
            arrived[person].append(int(n))
    assert len(seen) == EVENTS
    for person, numbers in arrived.items():
        assert numbers == sorted(numbers), person


KILL_INSIDE = """
    import os, signal, sys
    from tests.core.support import event, flow, plugin
    from walker_collector import Collector

    def push(event, context):
        for part in ("identify", "mail", "track"):
            state = context.progress.state(part)
            print(context.attempt, part, state, flush=True)
            if state == "done":
                continue
            context.progress.begin(part)
            if part == "mail" and state is None:
                os.kill(os.getpid(), signal.SIGKILL)
            context.progress.finish(part)
        print("delivered", flush=True)

    with Collector(flow(plugin(push), sys.argv[1])) as collector:
        if len(sys.argv) > 2:
            collector.push(event(1))
        collector.flush(20)
"""


def run_inside(*arguments: str) -> list[str]:
    return python(KILL_INSIDE, *arguments, check=False).stdout.splitlines()


def test_what_is_begun_and_done_of_an_event_survives_a_kill(tmp_path: Path) -> None:
    spool = str(tmp_path / "spool.db")
    assert run_inside(spool, "push") == ["1 identify None", "1 mail None"]
    assert run_inside(spool) == ["1 identify done", "1 mail begun", "1 track None", "delivered"]
    assert run_inside(spool) == []


WRITTEN_LATE = """
    import os, signal, sys
    from tests.core.support import event, flow, plugin
    from walker_collector import Collector, RetryLater

    def disk_is_full(full):
        spool = collector._life.runtime.spool
        spool.core.commits.alone(lambda db: db.execute(f"PRAGMA query_only = {full:d}"))

    def push(event, context):
        if event["data"]["n"] == 2:
            return
        progress = context.progress
        print(context.attempt, progress.state("mail"), flush=True)
        if progress.state("mail") is not None:
            return
        if context.attempt == 1:
            disk_is_full(True)
            raise RetryLater("busy")
        disk_is_full(False)
        progress.begin("mail")
        if sys.argv[2] == "done":
            progress.finish("mail")
        collector.push({"name": "order complete", "data": {"n": 2}})  # as it writes what is kept
        os.kill(os.getpid(), signal.SIGKILL)

    with Collector(flow(plugin(push), sys.argv[1])) as collector:
        if len(sys.argv) > 3:
            collector.push(event(1))
        collector.flush(20)
"""


@pytest.mark.parametrize("state", ["begun", "done"])
def test_state_of_a_part_is_not_replaced_by_an_older_update_that_is_written_late(
    tmp_path: Path, state: str
) -> None:
    spool = tmp_path / "spool.db"
    first = python(WRITTEN_LATE, spool, state, "push", check=False)
    assert first.stdout.splitlines() == ["1 None", "2 None"], first.stderr
    assert python(WRITTEN_LATE, spool, state).stdout.splitlines() == [f"2 {state}"]


def test_attempts_are_counted_over_restarts(tmp_path: Path) -> None:
    attempts: list[int] = []

    def push(event: dict[str, Any], context: PushContext) -> None:
        attempts.append(context.attempt)
        raise RetryLater("busy", after=60)

    clock, spool = Clock(), tmp_path / "spool.db"
    the_flow = one(plugin(push), spool, retry=RetryConfig(attempts=2))
    with running(the_flow, now=clock) as collector:
        collector.push(event(1))
        until(lambda: collector.status_of("there").due == 1)
    clock.advance(60_000)
    with running(the_flow, now=clock) as collector:
        assert collector.flush(PATIENCE)
        assert [letter.reason for letter in collector.dead()] == ["given up after 2 attempts: busy"]
    assert attempts == [1, 2]


MEMORY = """
    import resource, sys
    from tests.core.support import flow, plugin
    from walker_collector import Collector

    count, spool = int(sys.argv[1]), sys.argv[2] or None

    def peak():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    seen = [0]
    def push_batch(batch):
        seen[0] += len(batch)

    def groups(first, last):
        for start in range(first, last, 500):
            yield [{"name": "page view", "data": {"n": n, "path": "/a/b"},
                    "user": {"id": f"u{n % 500}", "session": f"s{n % 2500}"}}
                   for n in range(start, min(start + 500, last))]

    with Collector(flow(plugin(None, push_batch), spool, queue_max=5000, people_max=2000)) as c:
        for group in groups(0, count // 5):
            c.push_many(group)
        before = peak()
        for group in groups(count // 5, count):
            c.push_many(group)
        assert c.flush(60)
        assert c.status().destinations["there"].delivered == count
    assert seen[0] == count
    print(peak() - before)
"""


@pytest.mark.long
@pytest.mark.parametrize("durable", [False, True], ids=["memory", "durable"])
def test_memory_stays_flat_however_many_events_pass(durable: bool, tmp_path: Path) -> None:
    spool = tmp_path / "spool.db" if durable else ""
    done = python(MEMORY, MEMORY_EVENTS, spool, timeout=form(300, 3_000))
    assert float(done.stdout) < 20, "MB more than after the first fifth"
