"""Pushes in the transaction of an application, without a database: what they say."""

from typing import Any

import pytest

from walker_collector import Collector, EventError, SpoolError
from walker_collector.testing import Recorder


@pytest.fixture
def collector() -> Any:
    with Recorder().collector() as made:
        yield made


def test_spool_that_is_no_database_has_no_part_in_transactions(collector: Collector) -> None:
    with pytest.raises(SpoolError, match=r"give the flow the url of one in collector\.spool"):
        collector.push("order complete", connection=object())


def test_nobody_waits_for_an_event_before_its_transaction_commits(collector: Collector) -> None:
    with pytest.raises(EventError, match="before its transaction commits"):
        collector.push("order complete", wait=True, connection=object())
