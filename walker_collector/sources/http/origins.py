"""Origins of pages, as browsers send them: scheme, host, and port unless it is the usual one."""

import re
from typing import Any, Final

_ORIGIN: Final = re.compile(
    r"([a-z][a-z0-9+.-]*)://([^/\s?#@*:]+|\[[0-9a-f:.]+\])(:[0-9]+)?/?", re.I
)
_USUAL_PORTS: Final = {"http": ":80", "https": ":443"}


def check_origin(text: str, anybody: str) -> None:
    """Raise ValueError for text that no browser sends as the origin of a page."""
    if text == "*":
        raise ValueError(f"* is no origin; for pages of any origin {anybody}")
    if text == "null":  # of pages in files, and in sandboxed frames
        return
    if "*" in text:
        raise ValueError(f"{text[:80]}: each origin is written by itself, without *")
    found = _ORIGIN.fullmatch(text)
    if found and found[3] and found[3] == _USUAL_PORTS.get(found[1].lower()):
        raise ValueError(
            f"{text[:80]}: browsers leave out the usual port; write {found[1]}://{found[2]}"
        )
    if found:
        return
    scheme, separator, rest = text.rpartition("://")
    host = re.split(r"[/?#]", rest)[0]
    if not host or _ORIGIN.fullmatch(f"https://{host}") is None:
        raise ValueError(f"{text[:80]!r} is no origin, such as https://shop.example")
    reason = "an origin has no path" if separator else "an origin begins with its scheme"
    raise ValueError(f"{text[:80]}: {reason}; write {scheme or 'https'}://{host[:80]}")


def of_key(instance: Any, attribute: Any, value: list[str]) -> None:
    """Refuse origins of a key that no page has."""
    for item in value:
        check_origin(item, "leave this out")


def of_cors(instance: Any, attribute: Any, value: Any) -> None:
    """Refuse a list of origins that no page has; true and false pass."""
    for item in value if isinstance(value, list) else ():
        check_origin(item, "write true")


def of_walkeros(instance: Any, attribute: Any, value: "str | list[str]") -> None:
    """Refuse origins that no page has; "*" passes."""
    for item in value if isinstance(value, list) else [value]:
        if item != "*":
            check_origin(item, "write *")
