"""CORS: which pages of other origins may read the answers."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from walker_collector.sources.http.messages import Request, Response

_NAMES: Final = re.compile(r"[\w!#$%&'*+.^`|~, -]+", re.ASCII)
"""Names of headers, and nothing else, are sent back."""
_MAX_AGE: Final = "86400"
"""Seconds that a browser remembers the answer to a preflight."""


def cors_headers(request: Request, cors: bool | Sequence[str]) -> Mapping[str, str]:
    """Return the headers for a request: any origin is allowed without credentials, or those of a
    list with them.
    """
    origin = request.headers.get("origin", "")
    if not origin or cors is False:
        return {}
    if cors is True:
        return {"Access-Control-Allow-Origin": "*"}
    if origin.rstrip("/").lower() not in {item.rstrip("/").lower() for item in cors}:
        return {"Vary": "Origin"}
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Credentials": "true",
        "Vary": "Origin",
    }


def preflight(request: Request, methods: Sequence[str]) -> Response:
    """Return the answer to a browser that asks before it sends."""
    headers = {"Allow": ", ".join(methods), "Access-Control-Allow-Methods": ", ".join(methods)}
    asked = request.headers.get("access-control-request-headers", "")
    if _NAMES.fullmatch(asked):
        headers["Access-Control-Allow-Headers"] = asked
    return Response(204, {**headers, "Access-Control-Max-Age": _MAX_AGE})
