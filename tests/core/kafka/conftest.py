"""A mock cluster for the tests of a module, each of which has a topic of its own."""

from collections.abc import Iterator
from itertools import count

import pytest

from tests.kafka_mock import KafkaMock, kafka_mock

_numbers = count(1)


@pytest.fixture
def mock() -> Iterator[KafkaMock]:
    with kafka_mock() as running:
        yield running


@pytest.fixture
def topic(mock: KafkaMock) -> str:
    return mock.make_topic(f"events-{next(_numbers)}")
