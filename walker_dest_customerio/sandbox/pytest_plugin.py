"""The fixture `customerio_sandbox`, which pytest finds through its entry points.

pytest imports this module at every start, in every project that has the package installed. So it
imports nothing more until the fixture is used, which needs the extra `sandbox`.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from walker_dest_customerio.sandbox import CustomerioSandbox


@pytest.fixture
def customerio_sandbox() -> "Iterator[CustomerioSandbox]":
    """A local Customer.io, empty, on a port of its own: `customerio_sandbox.settings()`."""
    from walker_dest_customerio.sandbox import CustomerioSandbox, Sandbox

    with Sandbox() as sandbox:
        yield CustomerioSandbox(sandbox)
