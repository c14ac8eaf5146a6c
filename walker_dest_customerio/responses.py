"""What Customer.io's answers say: which of the collector's errors each one is.

The table follows the vendor's own clients; the shapes of errors are those of the references of
Track v1, Track v2 and App API. No reason ever quotes a request, which holds people's data.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson
from attrs import frozen

from walker_collector import DestinationDown, Rejected, RetryLater, WalkerError
from walker_collector.clients import error_for_status, retry_after

LONGEST_WAIT: Final = 3600.0
_LONGEST_MESSAGE: Final = 300
_UNTAKEN: Final = frozenset({408, 425, 429, 503})
_ACCOUNT: Final = re.compile(r"\baccount\b|approved|confirmed|do not send", re.IGNORECASE)


class NotProcessed(RetryLater):
    """A transient failure of which it is certain that the request had no effect."""


class NoResponse(RetryLater):
    """A request that got no answer, or none that is Customer.io's; it may have had its effect."""


class Invalid(Rejected):
    """What Customer.io surely refuses, found without asking it."""

    status = "invalid"


class RequestRejected(Rejected):
    """A request refused for what it holds, or where it went; `status` is the HTTP status."""

    def __init__(self, reason: str, status: int) -> None:
        self.status = status
        super().__init__(reason)


@frozen
class Api:
    """One of the two APIs, in the words of whoever must set it right."""

    name: str
    credentials: str
    host: str


TRACK: Final = Api("Track API", "settings.siteId and settings.apiKey", "settings.trackUrl")
APP: Final = Api("App API", "settings.appApiKey", "settings.apiUrl")


def error_for_response(
    api: Api, status: int, headers: Mapping[str, str], body: bytes, region: str, now: float
) -> WalkerError:
    """Return the error for an answer that is no success; `now` (unix s) is for Retry-After."""
    said = "; ".join(error_messages(body))
    what = f"{api.name} answered {status}" + (f": {said}" if said else "")
    if 300 <= status < 400:
        other = "eu" if region == "us" else "us"
        return DestinationDown(
            f"{what}: the account is not in region {region!r}; set settings.region to {other!r}, "
            f"or look at {api.host}"
        )
    if status == 403 and api is APP and not _ACCOUNT.search(said):
        # It forbids single messages too; only a refusal of the account concerns all of them.
        return RequestRejected(what, status)
    after = retry_after(headers.get("Retry-After"), now, LONGEST_WAIT)
    if status in _UNTAKEN:
        return NotProcessed(what, after)
    check = f"check {api.credentials}"
    if status == 403:
        check += " and the state of the account"
    error = error_for_status(status, what, after, credentials=check)
    return RequestRejected(what, status) if error is None or isinstance(error, Rejected) else error


def is_api_response(body: bytes) -> bool:
    """Tell whether a success can be Customer.io's, which always is a JSON object."""
    try:
        return isinstance(orjson.loads(body), dict)
    except orjson.JSONDecodeError:
        return False


def error_messages(body: bytes) -> list[str]:
    """Return the error messages of an answer in any of the shapes the APIs use."""
    content = _parsed(body)
    meta = content.get("meta")
    found: list[Any] = []
    if isinstance(meta, dict):
        found += [meta.get("error"), *_as_list(meta.get("errors"))]
    found += _as_list(content.get("errors"))
    return [text for item in found if (text := _message(item))]


def batch_errors(body: bytes) -> list[tuple[int | None, str]]:
    """Return index in the batch and message of each refused item; None where no index is told."""
    return [
        (_index(item), _message(item) or "no reason given")
        for item in _as_list(_parsed(body).get("errors"))
    ]


def _index(item: Any) -> int | None:
    index = item.get("batch_index") if isinstance(item, dict) else None
    return index if isinstance(index, int) and not isinstance(index, bool) else None


def _message(item: Any) -> str:
    """Return `field: message (reason)` of an error, as far as it has them."""
    if isinstance(item, str):
        return item[:_LONGEST_MESSAGE]
    if not isinstance(item, dict):
        return ""
    field, reason = item.get("field"), item.get("reason")
    text = str(item.get("message") or item.get("detail") or "")
    if reason:
        text = f"{text} ({reason})" if text else str(reason)
    if field:
        text = f"{field}: {text}" if text else str(field)
    return text[:_LONGEST_MESSAGE]


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return content if isinstance(content, dict) else {}
