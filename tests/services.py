"""Services that some tests need: where one is missing, its tests are skipped, but fail in CI."""

import os
from typing import Final, NoReturn

import pytest

SERVICES: Final = {
    "axe": "npm",
    "chromium": "Chromium",
    "kafka_broker": "a Kafka broker",
    "nginx": "nginx",
    "node_packages": "npm",
    "package_index": "a package index",
    "postgres_server": "PostgreSQL",
}
"""Fixture -> the service it asks for. A test that uses one is marked `services`."""


def missing(why: str) -> NoReturn:
    """Skip a test; in CI, where everything must be tested, fail."""
    if os.environ.get("CI"):
        pytest.fail(why)
    pytest.skip(why)


def needed_by(item: pytest.Item) -> list[str]:
    """Name the services that a test needs, by its fixtures and by its marks."""
    fixtures: list[str] = getattr(item, "fixturenames", [])
    marked = [str(name) for mark in item.iter_markers("services") for name in mark.args]
    return sorted({SERVICES[name] for name in fixtures if name in SERVICES} | {*marked})
