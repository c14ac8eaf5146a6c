"""The gate: whether a state of consent satisfies a requirement. Pure."""

from collections.abc import Callable, Mapping
from typing import Any

from walker_collector.config import Consent

Gate = Callable[[Mapping[str, Any]], bool]
"""A function that tests whether a state of consent is enough."""


def compile_gate(required: Consent | None, mode: str = "any") -> Gate:
    """Return a function that tests whether a state satisfies `required`.

    Any one of the required keys is enough (walkerOS's rule); `mode="all"` wants every key.
    No requirement, or an empty one, is always satisfied. A key required as false can't be met.
    """
    if not required:
        return lambda state: True
    if mode == "all":
        items = tuple(required.items())
        return lambda state: all(wanted and state.get(key) for key, wanted in items)
    keys = tuple(key for key, wanted in required.items() if wanted)

    def admits(state: Mapping[str, Any]) -> bool:
        for key in keys:  # noqa: SIM110 - any() takes three times as long
            if state.get(key):
                return True
        return False

    return admits


def granted(state: Mapping[str, Any]) -> dict[str, bool]:
    """Return the granted keys: the `consent` of an event from the gate on."""
    return {key: True for key, value in state.items() if value}
