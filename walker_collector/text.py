"""Make untrusted text safe to store, to log and to show: valid Unicode, bounded, on one line.

A reason may come from a server, a plugin or an exception. It must neither stop the thread that
handles it, nor be refused by the spool, which stores UTF-8, nor steer a terminal.
"""

import logging
import re
from typing import Final

from walker_collector.secret import without_secrets

_TYPE_NAME: Final = type.__dict__["__name__"].__get__
REASON_MAX: Final = 500
"""Characters of a reason that are stored."""


def visible(text: str) -> str:
    """Return text on one line, without secrets and characters that steer a terminal.

    Line ends and tabs become spaces; other characters that are not printable become escapes, such
    as `\\x1b`.
    """
    text = without_secrets(text)
    return text if text.isprintable() else "".join(map(_visible, text))


def _visible(char: str) -> str:
    if char.isprintable():
        return char
    return " " if char in "\t\n\r\v\f" else ascii(char)[1:-1]


_COMMAND: Final = re.compile(r"^(\s*):(?=:)|#(?=#(?:\[|vso\[|teamcity\[))", re.IGNORECASE)
"""Commands that GitHub, Azure and TeamCity obey when they stand in a build's log."""


def harmless(line: str) -> str:
    """Return a line that no build server takes for a command."""
    return _COMMAND.sub(r"\g<0> ", line)


def escaped(text: str, encoding: str) -> str:
    """Return JSON in ASCII where its letters could steer a terminal or have no code in `encoding`.

    Outside of strings, JSON has neither.
    """
    text = re.sub(r"##(?=\[|vso\[|teamcity\[)", r"#\\u0023", text, flags=re.IGNORECASE)
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return re.sub(r"[^\x00-\x7e]", _escape, text)
    return text if text.isprintable() else re.sub(r"[^\n\x20-\x7e]", _escape_odd, text)


def _escape_odd(match: re.Match[str]) -> str:
    return match[0] if match[0].isprintable() else _escape(match)


def _escape(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def brief(text: str, limit: int) -> str:
    """Return text cut to `limit` characters, with dots in place of the rest."""
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def counted(count: int, thing: str) -> str:
    """Return `1 event`, `1,482 events`, `2 deliveries` or `2 batches`."""
    return f"{count:,} {thing if count == 1 else _plural(thing)}"


def with_article(noun: str) -> str:
    """Return `an object` or `a list`."""
    return f"{'an' if noun[:1].lower() in 'aeio' else 'a'} {noun}"


def _plural(noun: str) -> str:
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{noun[:-1]}ies"
    return f"{noun}{'es' if noun.endswith(('s', 'x', 'ch', 'sh')) else 's'}"


def type_name(value: object) -> str:
    """Return the name of a value's type, storable; never raises, even if a metaclass would."""
    name: str = _TYPE_NAME(type(value))
    return storable(name)


def storable(text: object, limit: int = REASON_MAX) -> str:
    """Return the text on one line of valid Unicode, cut to `limit` characters; never raises.

    Lone surrogates become question marks. Objects are converted by `str`; if that fails, the
    result names their type.
    """
    try:
        shown = without_secrets(text if type(text) is str else str(text))
        return visible(shown[:limit].encode("utf-8", "replace").decode("utf-8"))[:limit]
    except BaseException:  # `__str__` of a plugin's class may raise anything, even SystemExit
        return f"<{type_name(text)} without a text>"


def describe(error: BaseException, limit: int = REASON_MAX) -> str:
    """Return an exception as `Type: text`, storable; never raises."""
    text = storable(error, limit)
    name = type_name(error)
    return storable(f"{name}: {text}" if text else name, limit)


class LastTrouble:
    """The trouble of work that is tried again and again: to be told once, not each time."""

    def __init__(self) -> None:
        self._told = ""

    def is_new(self, error: BaseException) -> bool:
        """Return whether an error is another one than at the attempt before, and keep it.

        One that the log has already is none.
        """
        if getattr(error, "is_logged", False):
            return False
        before, self._told = self._told, describe(error)
        return self._told != before

    def is_over(self) -> None:
        """Note that an attempt has succeeded."""
        self._told = ""


class _OneLine(logging.Filter):
    """Keeps each record of a log on a line, so that untrusted text forges none."""

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            message = record.getMessage()
        except Exception:  # arguments that do not fit, or whose `__str__` raises: logging tells it
            return True
        if (shown := visible(message)) != message:
            record.msg, record.args = shown, ()
        if found := getattr(record, "traceback", ""):  # from `tracebacks`, which makes it safe
            record.exc_text = found  # formatters append it
        return True


_ONE_LINE: Final = _OneLine()


def get_logger(name: str) -> logging.Logger:
    """Return the logger of this name; each of its records is one line."""
    logger = logging.getLogger(name)
    logger.addFilter(_ONE_LINE)
    return logger
