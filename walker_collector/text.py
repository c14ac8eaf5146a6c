"""Make text of others safe to store, to log and to show: valid Unicode, bounded, on one line.

A reason may come from a server, a plugin or an exception. It must neither stop the thread that
handles it, nor be refused by the spool, which stores UTF-8, nor steer a terminal.
"""

import logging
from typing import Final

REASON_MAX: Final = 500
"""Characters of a reason that are stored."""


def visible(text: str) -> str:
    """Return text on one line, without characters that steer a terminal or change its order.

    Line ends and tabs become spaces; other characters that are not printable become escapes, such
    as `\\x1b`.
    """
    return text if text.isprintable() else "".join(map(_visible, text))


def _visible(char: str) -> str:
    if char.isprintable():
        return char
    return " " if char in "\t\n\r\v\f" else ascii(char)[1:-1]


def brief(text: str, limit: int) -> str:
    """Return text cut to `limit` characters, with dots in place of the rest."""
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def storable(text: object, limit: int = REASON_MAX) -> str:
    """Return the text on one line of valid Unicode, cut to `limit` characters; never raises.

    Lone surrogates become question marks. Objects are converted by `str`; if that fails, the
    result names their type.
    """
    try:
        shown = text if type(text) is str else str(text)
        return visible(shown[:limit].encode("utf-8", "replace").decode("utf-8"))[:limit]
    except BaseException:  # `__str__` of a plugin's class may raise anything, even SystemExit
        return f"<{type(text).__name__} without a text>"


def describe(error: BaseException, limit: int = REASON_MAX) -> str:
    """Return an exception as `Type: text`, storable; never raises."""
    text = storable(error, limit)
    name = type(error).__name__
    return storable(f"{name}: {text}" if text else name, limit)


class _OneLine(logging.Filter):
    """Keeps each record of a log on a line, so that text of others forges none."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            message = record.getMessage()
        except Exception:  # arguments that do not fit, or whose `__str__` raises: logging tells it
            return True
        if not message.isprintable():
            record.msg, record.args = visible(message), ()
        return True


_ONE_LINE: Final = _OneLine()


def get_logger(name: str) -> logging.Logger:
    """Return the logger of this name; each of its records is one line."""
    logger = logging.getLogger(name)
    logger.addFilter(_ONE_LINE)
    return logger
