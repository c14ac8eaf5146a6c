"""One event with a long text in it never stops the process."""

import subprocess
import sys

import pytest

PATIENCE = 300.0
"""Seconds for ten thousand texts of 100 kB, which take ten of them."""


@pytest.mark.long
def test_nothing_that_looks_at_texts_of_others_takes_the_square_of_their_length() -> None:
    try:
        subprocess.run(
            [sys.executable, "-m", "tests.linear_time"],
            check=True,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
    except subprocess.TimeoutExpired as error:
        step = (error.stdout or b"").decode().split("\n")[-2:]
        raise AssertionError(f"still at work after {PATIENCE:g} s: {step}") from None
    except subprocess.CalledProcessError as error:
        raise AssertionError(error.stderr) from None
