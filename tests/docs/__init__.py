"""What README and docs show is true."""

import pytest

pytest.register_assert_rewrite("tests.docs.runner", "tests.docs.shell")
