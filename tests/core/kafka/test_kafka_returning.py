"""The source `kafka` when brokers come and go: the processes of a group read on by themselves."""

import json
import time
from contextlib import ExitStack

import pytest

from tests.core.kafka.test_kafka_reading_faults import reading, send
from tests.forms import LONG, form
from tests.kafka_mock import KafkaMock
from tests.support import wait_until
from walker_collector.testing import SourceHarness

PARTITIONS = 4


def numbers(sources: list[SourceHarness]) -> set[int]:
    return {event["data"]["n"] for source in sources for event in source.accepted}


def pause(seconds: float) -> None:
    """Let an outage last: what it has to be long for is the time itself."""
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= end, timeout=seconds + 1)


@pytest.mark.long
@pytest.mark.parametrize("outage", form([0.1], [0.0, 0.5, 3.0, 8.0, 20.0]))
def test_group_reads_on_after_outages_also_in_the_middle_of_a_rebalance(
    mock: KafkaMock, topic: str, outage: float
) -> None:
    topic = mock.make_topic(f"{topic}-shared", PARTITIONS)
    with ExitStack() as stack:
        sources: list[SourceHarness] = []
        for turn in range(4):
            if not sources or LONG:  # one more, with whom the others have just begun to share
                one = reading(mock, topic, sessionTimeout=6_000)
                sources.append(stack.enter_context(one))
            mock.stop()
            pause(outage)
            mock.start()
            for at in range(PARTITIONS):
                n = turn * PARTITIONS + at
                value = json.dumps({"name": "cart add", "data": {"n": n}}).encode()
                send(mock, topic, value, partition=at)
            wanted = set(range((turn + 1) * PARTITIONS))
            wait_until(
                lambda wanted=wanted: numbers(sources) == wanted,
                lambda: f"{sorted(numbers(sources))} came",
                timeout=60,
            )
