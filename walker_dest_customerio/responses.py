"""Translation of Customer.io's responses into the collector's errors.

Status codes are read as in the vendor's own clients; the shapes of errors are those of the
references of Track v1, Track v2 and App API. Reasons quote neither a request nor a response: both
may contain personal data (see `error_text`).
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson
from attrs import frozen

from walker_collector import DestinationDown, Rejected, RetryLater, WalkerError
from walker_collector.clients import error_for_status, listed, retry_after
from walker_dest_customerio.error_text import field_name, shown_words

LONGEST_WAIT: Final = 3600.0
NO_ITEM: Final = -1
USUAL_SUCCESS: Final = b"{}"
_UNTAKEN: Final = frozenset({408, 425, 429, 503})
_ACCOUNT: Final = re.compile(r"\baccount\b|approved|confirmed|do not send", re.IGNORECASE)


class NotProcessed(RetryLater):
    """A transient failure of a request that certainly had no effect."""


class NoResponse(RetryLater):
    """A request without a response of Customer.io's; it may have had an effect."""


class Invalid(Rejected):
    """A request that Customer.io would certainly refuse; it was not made."""

    status = "invalid"


class RequestRejected(Rejected):
    """A request refused for its content or its URL; `status` is the HTTP status."""

    def __init__(self, reason: str, status: int) -> None:
        self.status = status
        super().__init__(reason)


@frozen
class Api:
    """One of the two APIs, with the settings that error messages name."""

    name: str
    credentials: str
    host: str


TRACK: Final = Api("Track API", "settings.siteId and settings.apiKey", "settings.trackUrl")
APP: Final = Api("App API", "settings.appApiKey", "settings.apiUrl")


def error_for_response(
    api: Api, status: int, headers: Mapping[str, str], body: bytes, region: str, now: float
) -> WalkerError:
    """Return the error for a response that is no success; `now` (unix s) is for Retry-After."""
    messages = listed(error_messages(body))
    what = f"{api.name} answered {status}" + (f": {messages}" if messages else "")
    if 300 <= status < 400:
        other = "eu" if region == "us" else "us"
        return DestinationDown(
            f"{what}: the account is not in region {region!r}; set settings.region to {other!r}, "
            f"or look at {api.host}"
        )
    if status == 403 and api is APP and not _ACCOUNT.search(body.decode(errors="replace")):
        # The App API also answers 403 for a single message; only one about the account stops all.
        return RequestRejected(what, status)
    after = retry_after(headers.get("Retry-After"), now, LONGEST_WAIT)
    if status in _UNTAKEN:
        return NotProcessed(what, after)
    check = f"check {api.credentials}"
    if status == 403:
        check += " and the state of the account"
    error = error_for_status(status, what, after, credentials=check)
    if error is None or isinstance(error, Rejected):
        return RequestRejected(what, status)
    if 400 <= status < 500 and isinstance(error, RetryLater):
        return NotProcessed(what, after)  # an odd status of something between; it refused as well
    return error


def is_api_response(body: bytes) -> bool:
    """Return whether a body is a JSON object, as in every success of Customer.io."""
    try:
        return isinstance(orjson.loads(body), dict)
    except orjson.JSONDecodeError:
        return False


def error_messages(body: bytes) -> list[str]:
    """Return the error messages of a response, in any of the shapes that the APIs use."""
    content = _parsed(body)
    meta = content.get("meta")
    found: list[Any] = [content.get(key) for key in ("error", "message", "detail")]
    if isinstance(meta, dict):
        found += [meta.get("error"), *_as_list(meta.get("errors"))]
    found += _as_list(content.get("errors"))
    return [text for item in found if (text := _message(item))]


def batch_errors(body: bytes) -> list[tuple[int | None, str]]:
    """Return index in the batch and message of each refused item.

    The index is None for an error that has none, and NO_ITEM for one of another shape than the
    reference's, which says nothing about any item.
    """
    errors = _parsed(body).get("errors")
    if errors and not isinstance(errors, list):
        return [(NO_ITEM, _message(errors) or "no reason given")]
    return [(_index(item), _message(item) or "no reason given") for item in _as_list(errors)]


def _index(item: Any) -> int | None:
    if isinstance(item, str):
        return None
    index = item.get("batch_index") if isinstance(item, dict) and item else NO_ITEM
    return index if index is None or type(index) is int else NO_ITEM


def _message(item: Any) -> str:
    """Return `field: message (reason)` of an error, as far as it has them and they may be shown."""
    if isinstance(item, str):
        return shown_words(item)
    if not isinstance(item, dict):
        return ""
    text = item.get("message") or item.get("detail")
    text = shown_words(text) if isinstance(text, str) else ""
    reason = item.get("reason")
    reason = shown_words(reason.replace("_", " ")) if isinstance(reason, str) else ""
    if reason:
        text = f"{text} ({reason})" if text else reason
    field = field_name(item.get("field"))
    return f"{field}: {text}" if field and text else field or text


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return content if isinstance(content, dict) else {}
