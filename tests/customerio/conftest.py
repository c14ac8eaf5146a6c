"""A local Customer.io for all tests of a process; each finds it empty and well."""

from collections.abc import Iterator

import pytest

from walker_dest_customerio.sandbox import Sandbox


@pytest.fixture(scope="session")
def _running() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def customerio(_running: Sandbox) -> Sandbox:
    """The local Customer.io, without people, messages, requests or faults."""
    _running.clear_faults()
    _running.reset()
    return _running
