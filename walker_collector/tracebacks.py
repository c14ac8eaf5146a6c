"""Tracebacks of foreign code for the log: whole where they are asked for, safe to show.

At level DEBUG they have files, lines and types. The texts of exceptions may quote events, so they
are added only where the environment variable `WALKER_DEBUG` says that somebody develops here.
"""

import logging
import os
import traceback
from collections.abc import Iterator
from typing import Final

from walker_collector.error_details import PYTHONS_OWN
from walker_collector.text import get_logger, storable, type_name, visible

VARIABLE: Final = "WALKER_DEBUG"
HINT: Final = f"; -vv or {VARIABLE}=1 shows the traceback"
"""Follows a line about an exception without its traceback."""

_CHAIN_MAX: Final = 5
_FRAMES_MAX: Final = 50

_logger = get_logger("walker_collector")


def texts_wanted() -> bool:
    """Return whether the environment asks for tracebacks, with the texts of exceptions."""
    return os.environ.get(VARIABLE, "") not in ("", "0")


def is_wanted(logger: logging.Logger) -> bool:
    """Return whether this logger's lines about exceptions come with a traceback."""
    return texts_wanted() or logger.isEnabledFor(logging.DEBUG)


def attachment(logger: logging.Logger, error: BaseException | None) -> dict[str, str] | None:
    """Return the `extra` of a log record that shows the traceback, if one is wanted."""
    if error is None or not is_wanted(logger):
        return None
    return {"traceback": format_traceback(error, texts=texts_wanted())}


def log_traceback(where: str, error: BaseException) -> None:
    """Log the traceback of an exception that is told otherwise as a line, if one is wanted."""
    if is_wanted(_logger):
        level = logging.WARNING if texts_wanted() else logging.DEBUG
        _logger.log(level, "traceback: %s", where, extra=attachment(_logger, error))


def format_traceback(error: BaseException, *, texts: bool) -> str:
    """Return the traceback of an exception and its causes; never raises.

    Without `texts`, of exceptions that may quote an event only the type is shown.
    """
    try:
        return "\n".join(visible(line) for line in _lines(error, texts))
    except BaseException:  # an attribute of a plugin's class may raise anything, even SystemExit
        return type_name(error)


def _lines(error: BaseException, texts: bool) -> Iterator[str]:
    for each in reversed(_causes(error)):
        yield "Traceback (most recent call last):"
        for block in traceback.format_tb(each.__traceback__, limit=-_FRAMES_MAX):
            yield from block.rstrip("\n").split("\n")
        text = storable(each) if texts or issubclass(type(each), PYTHONS_OWN) else ""
        yield f"{type_name(each)}: {text}" if text else type_name(each)


def _causes(error: BaseException) -> list[BaseException]:
    """Return an exception, its cause, the cause of that, and so on."""
    found = [error]
    while len(found) < _CHAIN_MAX:
        last = found[-1]
        cause = last.__cause__ or (None if last.__suppress_context__ else last.__context__)
        if cause is None or any(cause is other for other in found):
            break
        found.append(cause)
    return found
