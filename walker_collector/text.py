"""Make text of others safe to store and to show: valid UTF-8, and bounded.

A reason may come from a server, a plugin or an exception. It must neither stop the thread that
handles it nor be refused by the spool, which stores UTF-8.
"""

from typing import Final

REASON_MAX: Final = 500
"""Characters of a reason that are stored."""


def storable(text: object, limit: int = REASON_MAX) -> str:
    """Return the text in valid Unicode, cut to `limit` characters; never raises.

    Lone surrogates become question marks. Objects are converted by `str`; if that fails, the
    result names their type.
    """
    try:
        shown = text if type(text) is str else str(text)
        return shown[:limit].encode("utf-8", "replace").decode("utf-8")
    except BaseException:  # `__str__` of a plugin's class may raise anything, even SystemExit
        return f"<{type(text).__name__} without a text>"


def describe(error: BaseException, limit: int = REASON_MAX) -> str:
    """Return an exception as `Type: text`, storable; never raises."""
    text = storable(error, limit)
    name = type(error).__name__
    return storable(f"{name}: {text}" if text else name, limit)
