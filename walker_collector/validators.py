"""Checks for attrs fields, each with a message that stands alone after the field's place."""

from collections.abc import Callable
from typing import Any

Validator = Callable[[Any, Any, Any], None]


def filled(_: Any, __: Any, value: str) -> None:
    """Refuse the empty string."""
    if not value:
        raise ValueError("must not be empty")


def at_least(least: int) -> Validator:
    """Refuse numbers below `least`; None passes."""

    def check(_: Any, __: Any, value: float | None) -> None:
        if value is not None and value < least:
            raise ValueError(f"must be at least {least}, got {value}")

    return check


def positive(_: Any, __: Any, value: float | None) -> None:
    """Refuse zero and below; None passes."""
    if value is not None and value <= 0:
        raise ValueError(f"must be more than 0, got {value}")
