"""Ids for events that have none."""

import os
from typing import Final

_ids: Final[list[str]] = []
"""Ids made in advance: a system call for each would hand the interpreter to a busy worker."""


def new_id() -> str:
    """Return a new id."""
    while True:
        try:
            return _ids.pop()
        except IndexError:
            digits = os.urandom(8 * 256).hex()
            _ids.extend(digits[at : at + 16] for at in range(0, len(digits), 16))


if hasattr(os, "register_at_fork"):  # a child makes ids of its own
    os.register_at_fork(after_in_child=_ids.clear)
