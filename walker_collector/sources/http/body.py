"""The body of a request: unpacked, decoded, parsed, and bounded at every step."""

import json
import zlib
from functools import lru_cache
from typing import Any, Final

import orjson

from walker_collector.events.long_integers import may_have_long_integer, no_number
from walker_collector.sources.http.messages import Request, RequestRejected

_GZIP: Final = 31
"""The window of zlib that reads a gzip header."""
_MEMBERS_MAX: Final = 100
"""Members of a gzip file: each costs a copy of the rest, and an empty one has 20 bytes."""
_MEDIA_TYPES: Final = frozenset(
    {"", "application/json", "text/plain", "application/x-www-form-urlencoded"}
)
"""Beacons come as text/plain: a browser sends no other type to another origin unasked. An SDK of
RudderStack names its JSON a form."""
_CHARSETS: Final = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})


def read_body(request: Request, max_body: int) -> bytes:
    """Return a body, unpacked.

    Raises RequestRejected if it cannot be JSON, or has more than `max_body` bytes.
    """
    if refusal := _refusal_of(request.headers.get("content-type", "")):
        raise RequestRejected(415, refusal)
    return _unpacked(request, max_body)


@lru_cache(maxsize=256)
def _refusal_of(content_type: str) -> str:
    """Return the reason why a body of this Content-Type cannot be read; "" if it can."""
    kind, *parameters = content_type.split(";")
    media_type = kind.strip().lower()
    if media_type not in _MEDIA_TYPES:
        return f"the body must be application/json, not {media_type}"[:200]
    charset = "utf-8"
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            charset = value.strip().strip('"').lower()
            break
    return "" if charset in _CHARSETS else f"the body must be UTF-8, not {charset}"[:200]


def parse_body(body: bytes) -> Any:
    """Return the JSON of a body; raises RequestRejected if it is none."""
    if not may_have_long_integer(body):
        # The standard library's parser takes three times as long. It has the last word on a body
        # that orjson refuses: a byte order mark, half a surrogate, a reason with its place.
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            pass
    try:
        return json.loads(body.decode("utf-8-sig"), parse_constant=no_number)
    except UnicodeDecodeError:
        raise RequestRejected(400, "the body is not valid UTF-8") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise RequestRejected(400, f"the body is not JSON: {error.msg} ({where})") from None
    except RecursionError:
        raise RequestRejected(400, "the body is nested too deeply") from None
    except ValueError as error:  # NaN, or an integer of thousands of digits
        raise RequestRejected(400, f"the body is not JSON: {error}"[:200]) from None


def _unpacked(request: Request, max_body: int) -> bytes:
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if len(request.body) > max_body:
        raise _too_large(max_body)
    if coding in ("identity", ""):
        return request.body
    if coding not in ("gzip", "x-gzip"):
        raise RequestRejected(415, f"the encoding {coding} is not supported; use gzip"[:200])
    return _gunzip(request.body, max_body)


def _gunzip(packed: bytes, most: int) -> bytes:
    """Unpack gzip, of several members maybe; no more than `most` bytes are ever unpacked."""
    body = b""
    for _ in range(_MEMBERS_MAX):
        unpacking = zlib.decompressobj(_GZIP)
        try:
            body += unpacking.decompress(packed, most + 1 - len(body))
        except zlib.error:
            raise RequestRejected(400, "the body is not valid gzip") from None
        if len(body) > most:
            raise _too_large(most)
        if not unpacking.eof:
            raise RequestRejected(400, "the body is not valid gzip: it ends too early")
        packed = unpacking.unused_data
        if not packed:
            return body
    raise RequestRejected(400, f"the gzip file has more than {_MEMBERS_MAX} members")


def _too_large(max_body: int) -> RequestRejected:
    return RequestRejected(413, f"the body is larger than {max_body:,} bytes (maxBody)")
