"""A local Customer.io for all tests of a process; each finds it empty and well."""

from collections.abc import Iterator

import pytest

from walker_dest_customerio.sandbox import Sandbox

NOW = 1_800_000_000.0
"""The time it always is there (unix s)."""


@pytest.fixture(scope="session")
def _running() -> Iterator[Sandbox]:
    with Sandbox(clock=lambda: NOW) as sandbox:
        yield sandbox


@pytest.fixture
def customerio(_running: Sandbox) -> Sandbox:
    """The local Customer.io, without people, messages, requests or faults."""
    _running.clear_faults()
    _running.reset()
    return _running
