"""A strict Customer.io for tests, made from its API reference and not from the sandbox.

It keeps every operation that it accepts, in the order of arrival; it knows a repeated event by its
ULID; it goes wrong as a script says, by request or by operation. `violations` names what the
reference does not allow.
"""

from tests.emulator.faults import (
    Answer,
    Fault,
    Garbage,
    Poison,
    Raw,
    Refuse,
    Reset,
    Slow,
    TooLarge,
    outage,
)
from tests.emulator.requests import Operation
from tests.emulator.server import Emulator

__all__ = [
    "Answer",
    "Emulator",
    "Fault",
    "Garbage",
    "Operation",
    "Poison",
    "Raw",
    "Refuse",
    "Reset",
    "Slow",
    "TooLarge",
    "outage",
]
