from collections.abc import Iterator

import pytest

from walker_dest_customerio.sandbox import Sandbox


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox
