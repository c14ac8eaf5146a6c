"""Bounds of identifiers and names: the texts of an event that are kept, logged and compared."""

import unicodedata
from typing import Final

from walker_collector.errors import EventError
from walker_collector.text import storable

IDENTIFIER_MAX: Final = 500
"""Bytes (UTF-8) of an id, a name, or a key of consent."""
_SURELY_SHORT: Final = IDENTIFIER_MAX // 4
"""Characters of a text that is within the bound, whatever they are."""
_CONTROLS: Final = frozenset({"Cc", "Zl", "Zp"})
"""Unicode categories of characters that steer a terminal or end a line."""


def check_identifier(part: str, text: str) -> None:
    """Raise EventError, naming the part, for a text that is blank, too long, or has controls."""
    if not text.strip():
        raise EventError(f"{part}: is blank; leave it out, or write text")
    size = len(text) if len(text) > IDENTIFIER_MAX else len(text.encode("utf-8", "replace"))
    if size > IDENTIFIER_MAX:
        raise EventError(f"{part}: has {size:,} bytes; the limit is {IDENTIFIER_MAX}")
    if not text.isprintable():
        for char in text:
            if unicodedata.category(char) in _CONTROLS:
                raise EventError(
                    f"{part}: has the control character U+{ord(char):04X} ({storable(text, 80)!r})"
                )
            if "\ud800" <= char <= "\udfff":
                raise EventError(f"{part}: text has a lone surrogate, which is not Unicode")


def may_need_check(text: str) -> bool:
    """Return whether `check_identifier` could refuse a text; False for almost every one."""
    return len(text) > _SURELY_SHORT or not text.isprintable() or text[:1] in ("", " ")
