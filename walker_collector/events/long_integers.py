"""Find integers beyond 64 bits in JSON: orjson rounds them, and a rounded id is somebody else's."""

from typing import Final, NoReturn

_DIGITS: Final = bytes(ord("0") if chr(byte) in "0123456789" else 32 for byte in range(256))
"""Translates every digit to 0 and everything else to a space."""
_LONG: Final = b"0" * 19
"""The shortest integer beyond 64 bits has 19 digits."""


def may_have_long_integer(text: bytes) -> bool:
    """Return whether a text has as many digits in a row; quick, and seldom true."""
    return _LONG in text.translate(_DIGITS)


def no_number(name: str) -> NoReturn:
    """Raise ValueError for NaN and infinity, which the standard library would take."""
    raise ValueError(f"{name} is not a number")
