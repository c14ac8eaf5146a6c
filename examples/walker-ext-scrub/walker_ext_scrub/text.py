"""Replaces email addresses in JSON values; pure."""

import re
from typing import Any, Final

REPLACEMENT: Final = "[email]"
_EMAIL: Final = re.compile(r"[^\s<>()\[\]\",;:@]+@[^\s<>()\[\]\",;:@]+\.[^\s<>()\[\]\",;:@.]+")


def scrubbed(value: Any) -> Any:
    """Return a JSON value without email addresses, in keys too; the same object if it has none."""
    if isinstance(value, str):
        return _EMAIL.sub(REPLACEMENT, value) if "@" in value else value
    if isinstance(value, dict):
        clean = {scrubbed(key): scrubbed(item) for key, item in value.items()}
        return value if clean == value else clean
    if isinstance(value, list):
        made = [scrubbed(item) for item in value]
        return value if made == value else made
    return value
