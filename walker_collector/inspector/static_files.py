"""The files of the page, and the headers that keep it to itself."""

from functools import cache
from importlib.resources import files
from typing import Final

from attrs import frozen

_TYPES: Final = {
    "inspector.html": "text/html; charset=utf-8",
    "inspector.css": "text/css; charset=utf-8",
    "inspector.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS: Final = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
"""Of every answer: it loads nothing from elsewhere, is framed nowhere, and kept nowhere."""


@frozen
class File:
    """A file of the page, with its media type."""

    media_type: str
    body: bytes


@cache
def file_of(name: str) -> File | None:
    """Return a file of the page; "" is the page itself; None: there is none of this name."""
    name = name or "inspector.html"
    if name not in _TYPES:
        return None
    return File(_TYPES[name], (files(__package__) / "page" / name).read_bytes())
