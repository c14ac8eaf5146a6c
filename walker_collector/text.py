"""Text of others that is kept or shown: made storable, and bounded.

A reason may come from a server, a plugin or an exception. It must neither stop the thread that
handles it nor be refused by the spool, which stores UTF-8.
"""

from typing import Final

REASON_MAX: Final = 500
"""Characters of a reason that are kept."""


def storable(text: object, limit: int = REASON_MAX) -> str:
    """Return the text as UTF-8 can hold it, cut to `limit` characters; never raises.

    Lone surrogates become question marks. What is no text, or cannot be turned into one, is named
    by its type.
    """
    try:
        shown = text if type(text) is str else str(text)
        return shown[:limit].encode("utf-8", "replace").decode("utf-8")
    except BaseException:  # `__str__` of a foreign class may raise anything, SystemExit included
        return f"<{type(text).__name__} without a text>"


def describe(error: BaseException, limit: int = REASON_MAX) -> str:
    """Return an exception as `Type: text`, storable; never raises."""
    text = storable(error, limit)
    name = type(error).__name__
    return storable(f"{name}: {text}" if text else name, limit)
