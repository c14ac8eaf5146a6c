"""Keys: the name of a caller, and whether it is trusted."""

import hmac
from base64 import b64decode
from binascii import Error as NoBase64
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qs

from attrs import frozen

from walker_collector.sources.http.messages import Request, RequestRejected
from walker_collector.sources.http.settings import Key


@frozen
class Caller:
    """The caller of a request: the name of the key, and whether it is trusted.

    limited: it is not, although there are keys.
    """

    name: str = ""
    trusted: bool = False
    limited: bool = False


ANYBODY: Final = Caller()
_NEEDED: Final = "a key is needed: by Authorization, X-Write-Key, ?key= or writeKey in the body"
_NOT_BASIC: Final = "Authorization: Basic needs the base64 of the key with a colon after it"
_CHALLENGE: Final = {"WWW-Authenticate": 'Basic realm="walker"'}


def caller_of(request: Request, body: Any, keys: Mapping[str, Key]) -> Caller:
    """Return the caller.

    Raises RequestRejected for an unknown key, or a page that may not use it.
    """
    if not keys:
        return ANYBODY
    shown = _shown(request, body)
    if not shown:
        raise RequestRejected(401, _NEEDED, _CHALLENGE)
    found = ""
    for name, key in keys.items():  # all of them: the time tells nothing about any
        if hmac.compare_digest(key.key.reveal().encode(), shown.encode("utf-8", "surrogatepass")):
            found = name
    if not found:
        raise RequestRejected(401, "the key is unknown", _CHALLENGE)
    origin = request.headers.get("origin", "").rstrip("/").lower()
    allowed = {item.rstrip("/").lower() for item in keys[found].origins}
    if origin and allowed and origin not in allowed:
        raise RequestRejected(403, "pages of this origin may not send with this key")
    trusted = keys[found].trusted
    return Caller(found, trusted, limited=not trusted)


def _shown(request: Request, body: Any) -> str:
    """Return the key that a request shows; "" if it shows none.

    Raises RequestRejected for one that cannot be read.
    """
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        try:
            return b64decode(value.strip(), validate=True).decode().partition(":")[0]
        except (NoBase64, ValueError):
            raise RequestRejected(401, _NOT_BASIC, _CHALLENGE) from None
    if key := request.headers.get("x-write-key"):
        return key
    if key := parse_qs(request.query).get("key", [""])[0]:
        return key
    key = body.get("writeKey") if isinstance(body, Mapping) else None
    return key if isinstance(key, str) else ""
