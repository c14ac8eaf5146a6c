"""Validators for attrs fields, with messages that follow the field's place."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from walker_collector.moments import EARLIEST, LATEST, parse_ms

Validator = Callable[[Any, Any, Any], None]
"""Takes instance, attribute and value. The value is Any, else mypy would take its type for the
field's."""


def filled(_: Any, __: Any, value: Any) -> None:
    """Refuse the empty string; None passes."""
    if value is not None and not value:
        raise ValueError("must not be empty")


_ID_MAX: Final = 200


def names_destination(_: Any, __: Any, value: str | None) -> None:
    """Refuse an id that is empty, or cannot be shown on a line; None passes."""
    if value is not None and not (0 < len(value) <= _ID_MAX and value.isprintable()):
        raise ValueError(
            f"an id is 1 to {_ID_MAX} characters, none of them a line end or control character"
        )


def names_file(_: Any, __: Any, value: str) -> None:
    """Refuse paths that can only be a folder, and text that is no path."""
    if Path(value).name in ("", "..") or value.endswith("/") or "\0" in value:
        raise ValueError("must name a file, such as spool.db")


def at_least(least: int) -> Validator:
    """Refuse numbers below `least`; None passes."""

    def check(_: Any, __: Any, value: float | None) -> None:
        if value is not None and value < least:
            raise ValueError(f"must be at least {least}, got {value:g}")

    return check


MOST_MS: Final = 100 * 365 * 86_400_000
"""A hundred years. A longer time is a mistake, and more than a lock accepts."""


def between(least: int, most: int) -> Validator:
    """Refuse numbers outside this range; None passes."""

    def check(_: Any, __: Any, value: float | None) -> None:
        if value is not None and not least <= value <= most:
            limit = f"at least {least}" if value < least else f"at most {most:,}"
            raise ValueError(f"must be {limit}, got {value:.4g}")

    return check


def ms(least: int) -> Validator:
    """Refuse times (ms) below `least`, and beyond a hundred years; None passes."""
    return between(least, MOST_MS)


def positive(_: Any, __: Any, value: Any) -> None:
    """Refuse zero and below; None passes."""
    if value is not None and value <= 0:
        raise ValueError(f"must be more than 0, got {value}")


def moment(_: Any, __: Any, value: int | str | None) -> None:
    """Refuse values that are neither ISO 8601 text nor ms since 1970; None passes."""
    if isinstance(value, str):
        try:
            parse_ms(value)
        except (ValueError, OverflowError):
            raise ValueError(
                "must be an ISO 8601 date, such as 1990-01-01, or ms since 1970 as a number"
            ) from None
    elif value is not None and not EARLIEST <= value <= LATEST:
        raise ValueError("must be ms since 1970, of a year from 1 to 9999")


LOG_LEVELS: Final = ("error", "warn", "info", "debug")
"""walkerOS's log levels, by their numbers."""


def log_level(_: Any, __: Any, value: str | int | None) -> None:
    """Refuse values that are not log levels; None passes."""
    known = range(len(LOG_LEVELS)) if isinstance(value, int) else (*LOG_LEVELS, "warning")
    if value is not None and (value.lower() if isinstance(value, str) else value) not in known:
        names = ", ".join(LOG_LEVELS)
        raise ValueError(f"must be {names} or 0 to {len(LOG_LEVELS) - 1}, not {value!r}")


def web_address(_: Any, __: Any, value: Any) -> None:
    """Refuse text that is not a URL with http or https and a host; None passes."""
    if value is None:
        return
    parts = urlsplit(value)  # raises ValueError for a bad IPv6 address
    visible = not any(char.isspace() or not char.isprintable() for char in value)
    if parts.scheme not in ("http", "https") or not parts.hostname or not visible:
        raise ValueError("must be http://host/... or https://host/...")
    _check_port(parts)


def https_origin(_: Any, __: Any, value: Any) -> None:
    """Refuse text other than `https://host` or `https://host:port`; None passes."""
    if value is None:
        return
    parts = urlsplit(value)
    more = parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc
    if parts.scheme != "https" or not parts.hostname or more or _foreign(value):
        raise ValueError("must be https://host or https://host:port, without a path")
    _check_port(parts)


def _check_port(parts: SplitResult) -> None:
    if parts.port == 0:  # reading it raises ValueError for more than 65535, and for no number
        raise ValueError("port must be 1 to 65535")


def credential(_: Any, __: Any, value: Any) -> None:
    """Refuse a credential with characters that a header cannot carry; None passes.

    Every delivery would fail with it. The message never shows the credential.
    """
    wrong = _foreign(str.__str__(value)) if value is not None else ""
    if wrong:
        raise ValueError(
            f"holds {_named(wrong)}, which no credential has; was something copied along with it?"
        )


def _foreign(text: str) -> str:
    """Return the first character that is not visible ASCII; "" if all are."""
    return next((char for char in text if not "!" <= char <= "~"), "")


def _named(char: str) -> str:
    if char in "\r\n":
        return "a line break"
    return "a space" if char == " " else f"the character U+{ord(char):04X}"


HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
HEADER_VALUE: Final = re.compile(r"[\t\x20-\x7e\xa0-\xff]*")


def sendable_headers(_: Any, __: Any, value: Any) -> None:
    """Refuse HTTP headers that cannot be sent; the message never shows a header's value."""
    for name, text in value.items():
        if not HEADER_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is not the name of a header")
        if not HEADER_VALUE.fullmatch(str.__str__(text)):
            raise ValueError(f"the value of {name} has characters that a header cannot carry")
