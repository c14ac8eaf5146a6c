"""Ids that the collector gives to events: never twice."""

import os
import random

from tests.core.support import Record, event, flow, plugin, running
from tests.support import exit_status
from walker_collector import PushResult


def ids(count: int) -> list[str]:
    record = Record()
    with running(flow(plugin(record.push))) as collector:
        results = collector.push_many(event(n) for n in range(count))
    return [result.id for result in results if isinstance(result, PushResult)]


def test_seeding_the_application_s_randomness_repeats_no_id() -> None:
    random.seed(1)
    before = ids(100)
    random.seed(1)
    assert len({*before, *ids(100)}) == 200


def test_forked_child_gives_other_ids_than_its_parent() -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, " ".join(ids(3)).encode())
        os._exit(0)
    assert exit_status(child) == 0
    of_child = os.read(reader, 1000).decode().split()
    os.close(reader)
    os.close(writer)
    assert len({*of_child, *ids(3)}) == 6
