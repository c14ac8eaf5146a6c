"""The two forms of a test: a short one for `make test`, and a long one for `make soak`.

Both assert the same. Property tests, and tests that are marked `long`, have a long form:
more examples, kills, moments or events.
"""

import os
from typing import Any, Final, TypeVar

from hypothesis import HealthCheck, settings

T = TypeVar("T")

LONG: Final = os.environ.get("WALKER_TESTS") == "long"
"""Whether the long forms run; `make soak` says so."""
FACTOR: Final = 20
"""How many times the examples of its short form a property has in its long one."""


def form(short: T, long: T) -> T:
    """Return what the form that runs takes."""
    return long if LONG else short


def examples(short: int, **options: Any) -> settings:
    """Return the settings of a property: that many examples, or `FACTOR` times as many."""
    return settings(
        max_examples=form(short, FACTOR * short),
        deadline=None,  # a busy machine is no failure
        suppress_health_check=list(HealthCheck),
        **options,
    )


def has_long_form(test: Any) -> bool:
    """Return whether a collected test is a property, or marked as having a long form."""
    is_property = getattr(getattr(test, "obj", None), "is_hypothesis_test", False)
    return bool(is_property or test.get_closest_marker("long"))


settings.register_profile("walker", examples(50))
settings.load_profile("walker")
