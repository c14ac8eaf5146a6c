"""Validators for attrs fields, with messages that follow the field's place."""

import os
import re
import stat
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv6Address
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
    """Refuse an id that is blank, or cannot be shown on a line; None passes."""
    if value is not None and not (value.strip() and len(value) <= _ID_MAX and value.isprintable()):
        raise ValueError(
            f"an id is 1 to {_ID_MAX} characters, none of them a line end or control character"
        )


def names_file(_: Any, __: Any, value: str) -> None:
    """Refuse paths that can only be a folder, and text that is no path."""
    if Path(value).name in ("", "..") or value.endswith("/") or "\0" in value:
        raise ValueError("must name a file")


def delivers_or_spools(collector: Any, __: Any, value: bool) -> None:
    """Refuse false without a spool: nobody could deliver the events in this process's memory."""
    if value is False and getattr(collector, "spool", None) is None:
        raise ValueError(
            "false needs a spool, from which other processes deliver; add one (collector.spool), "
            "or leave this out"
        )


def check_file(path: str) -> None:
    """Raise ValueError for a folder, and for a path that no file can have; it need not exist."""
    try:
        found = os.stat(path)
    except (FileNotFoundError, PermissionError):
        return
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ValueError(f"no file can have this path: {reason}") from None
    if stat.S_ISDIR(found.st_mode):
        raise ValueError("is a folder; name a file in it")


SEGMENTS_MAX: Final = 60
"""Segments of a path. Events are nested less deeply."""


def reads_path(_: Any, __: Any, value: Any) -> None:
    """Refuse a path with more segments than any event has; None passes."""
    if value is not None and value.count(".") >= SEGMENTS_MAX:
        raise ValueError(f"a path of more than {SEGMENTS_MAX} segments")


def read_paths(_: Any, __: Any, values: Iterable[str] | None) -> None:
    """Refuse paths, or an object by paths, as `reads_path` does; None passes."""
    for value in values or ():
        reads_path(_, __, value)


_NAME_MAX: Final = 500
_CONTROLS: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Unicode categories of characters that steer a terminal, end a line, or are half of one."""


def names_event(_: Any, __: Any, value: str | None) -> None:
    """Refuse a name that is too long, or cannot be shown on a line; None passes."""
    if value is not None and (
        len(value) > _NAME_MAX or any(unicodedata.category(char) in _CONTROLS for char in value)
    ):
        raise ValueError(
            f"a name has up to {_NAME_MAX} characters, no line end or control character"
        )


_KEYS_OF_A_PERSON: Final = ("id", "device", "session")


def identifies(_: Any, __: Any, user: Mapping[str, Any]) -> None:
    """Refuse identifiers of a user that are neither text nor numbers: they would be nobody's."""
    for key in _KEYS_OF_A_PERSON:
        value = user.get(key)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, str | int | float) or value == "":
            raise ValueError(f"{key} must be text or a number, as it identifies a person")


_MOST: Final = 10**15
"""More of anything is a mistake."""


def at_least(least: int) -> Validator:
    """Refuse numbers below `least`, and beyond any use; None passes."""
    return between(least, _MOST)


MOST_MS: Final = 100 * 365 * 86_400_000
"""A hundred years. A longer time is a mistake, and more than a lock accepts."""


def between(least: int, most: int) -> Validator:
    """Refuse numbers outside this range; None passes."""

    def check(_: Any, __: Any, value: float | None) -> None:
        if value is not None and not least <= value <= most:
            limit = f"at least {least:,}" if value < least else f"at most {most:,}"
            given = f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
            raise ValueError(f"must be {limit}, got {given}")

    return check


def ms(least: int) -> Validator:
    """Refuse times (ms) below `least`, and beyond a hundred years; None passes."""
    return between(least, MOST_MS)


def positive(_: Any, __: Any, value: Any) -> None:
    """Refuse zero and below, and numbers beyond any use; None passes."""
    if value is not None and value <= 0:
        raise ValueError(f"must be more than 0, got {value}")
    if value is not None and value > _MOST:
        raise ValueError(f"must be at most {_MOST:,}, got {value:.4g}")


_REQUEST_MAX: Final = 86_400_000


def request_timeout(_: Any, __: Any, value: int | None) -> None:
    """Refuse a timeout (ms) of no time, or of more than a day, which no socket takes."""
    between(1, _REQUEST_MAX)(_, __, value)


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
    parts = _split_url(value)
    visible = not any(char.isspace() or not char.isprintable() or char == "\\" for char in value)
    if not parts or parts.scheme not in ("http", "https") or not parts.hostname or not visible:
        raise ValueError("must be http://host/... or https://host/...")
    _check_address(parts)


def https_origin(_: Any, __: Any, value: Any) -> None:
    """Refuse text other than `https://host` or `https://host:port`; None passes."""
    if value is None:
        return
    parts = _split_url(value)
    more = parts and (parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc)
    if not parts or parts.scheme != "https" or not parts.hostname or more or _foreign(value):
        raise ValueError("must be https://host or https://host:port, without a path")
    _check_address(parts)


def _split_url(value: str) -> SplitResult | None:
    """Return the parts of a URL; None for a bad address, which Python's message would quote."""
    try:
        return urlsplit(value)
    except ValueError:
        return None


_LONGEST_PATH: Final = 200
"""Characters of a path that is shown."""
_LABEL: Final = re.compile(r"[\w](?:[\w-]{0,61}[\w])?")
_BRACKETED: Final = re.compile(r"\[([^\[\]]+)\](?::[0-9]*)?")


def _check_address(parts: SplitResult) -> None:
    """Refuse a port or host that no machine has."""
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError("port must be 1 to 65535")
    host = parts.hostname or ""
    labels = host.removesuffix(".").split(".")
    is_name = len(host) <= 253 and all(_LABEL.fullmatch(label) for label in labels)
    address = parts.netloc.rpartition("@")[2]
    if not (_is_ipv6(address) if "[" in address else is_name):
        raise ValueError("has no valid host name")


def _is_ipv6(address: str) -> bool:
    """Whether the host of an address, in brackets, is one of IPv6: urlsplit accepts others."""
    match = _BRACKETED.fullmatch(address)
    try:
        return bool(match and IPv6Address(match[1]))
    except ValueError:
        return False


def may_be_path(text: str) -> bool:
    """Return whether text can be shown as a path: the content of a file, a key say, cannot."""
    return text.isprintable() and len(text) <= _LONGEST_PATH and not text.startswith("-----")


def no_such_file(path: str) -> str:
    """Return that a file is missing, and where it was looked for."""
    if not path:
        return "is empty; name a file"
    if not may_be_path(path):
        return "must be the path of a file, not what it holds"
    folder = "" if os.path.isabs(path) else f" in {os.getcwd()}"
    return f"there is no such file: {path}{folder}"


def check_certificates(path: str) -> None:
    """Raise ValueError unless the file exists and holds certificates."""
    if not os.path.isfile(path):  # false for a path that no system takes, too
        raise ValueError(no_such_file(path))
    import ssl  # here, as hardly a flow names a file of certificates

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except OSError as error:  # SSLError is one
        reason = error.strerror if not isinstance(error, ssl.SSLError) else "it is no PEM file"
        raise ValueError(f"holds no certificates: {reason}") from None


def credential(_: Any, __: Any, value: Any) -> None:
    """Refuse a credential with characters that a header cannot carry; None passes.

    Every delivery would fail with it. The message never shows the credential.
    """
    wrong = _foreign(_plain(value)) if value is not None else ""
    if wrong:
        raise ValueError(
            f"holds {_named(wrong)}, which no credential has; was something copied along with it?"
        )


def _plain(value: Any) -> str:
    """Return the text of a setting, which may be a `Secret`."""
    reveal = getattr(value, "reveal", None)
    return str.__str__(value) if reveal is None else str.__str__(reveal())


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
        if not HEADER_VALUE.fullmatch(_plain(text)):
            raise ValueError(f"the value of {name} has characters that a header cannot carry")
