"""Customer.io's published limits: the one place that knows them, here and in the sandbox.

Sources: the references of the Track API (https://docs.customer.io/files/journeys-track.json) and
the App API (https://docs.customer.io/files/journeys-app.json), and the page on invalid requests
(https://docs.customer.io/journeys/invalid-api-requests). They say "kb" without saying whether it
is 1000 or 1024 bytes; the smaller reading is taken for Track, so that what fits here fits there.
"""

from typing import Any, Final

import orjson
from attrs import frozen

# Bytes of UTF-8.
PERSON_ID: Final = 150
OBJECT_ID: Final = 150
ATTRIBUTE_NAME: Final = 150
ATTRIBUTE_VALUE: Final = 1000  # a text as it is, all else as JSON
EVENT_NAME: Final = 100
EVENT_DATA: Final = 100_000  # v1 only: v2 limits the whole operation instead
OPERATION: Final = 32_000
BATCH: Final = 500_000
APP_REQUEST: Final = 2048 * 1024
ATTACHMENTS: Final = 2_000_000  # of base64 text, over all attachments of a message

# Counts.
ATTRIBUTES: Final = 300  # of a person, and of one identify
RECIPIENTS: Final = 15  # over to, cc and bcc

# Seconds.
SEND_AHEAD: Final = 90 * 86_400
ANONYMOUS_KEPT: Final = 30 * 86_400
ANONYMOUS_JOIN: Final = 300  # how long after an identify late anonymous events still find a person

_SCALARS: Final = frozenset({int, float, bool, type(None)})


@frozen
class Limit:
    """One line of the table in the documentation."""

    of: str
    figure: int
    unit: str
    source: str


_TRACK: Final = "Track API reference"
_INVALID: Final = "page on invalid requests"
_APP: Final = "App API reference"

TABLE: Final = (
    Limit("id of a person, also an email address or anonymous id", PERSON_ID, "bytes", _TRACK),
    Limit("id of an object", OBJECT_ID, "bytes", _TRACK),
    Limit("name of an attribute", ATTRIBUTE_NAME, "bytes", _INVALID),
    Limit("value of an attribute", ATTRIBUTE_VALUE, "bytes", _INVALID),
    Limit("attributes of one identify", ATTRIBUTES, "attributes", _INVALID),
    Limit("name of an event, a page view or a screen", EVENT_NAME, "bytes", _INVALID),
    Limit("data of an event in a request of its own (v1)", EVENT_DATA, "bytes", _INVALID),
    Limit("operation in a batch (v2)", OPERATION, "bytes", _TRACK),
    Limit("batch (v2)", BATCH, "bytes", _TRACK),
    Limit("transactional message", APP_REQUEST, "bytes", _APP),
    Limit("attachments of a message, in base64", ATTACHMENTS, "bytes", _APP),
    Limit("recipients of an email, over to, cc and bcc", RECIPIENTS, "addresses", _APP),
    Limit("send_at of a message, ahead of now", SEND_AHEAD, "seconds", _APP),
)


def is_longer(text: str, limit: int) -> bool:
    """Return whether a text takes more than `limit` bytes of UTF-8."""
    # No character takes more than four bytes, so that most texts need not be encoded.
    return len(text) * 4 > limit and len(text.encode("utf-8", "surrogatepass")) > limit


def takes_more(value: Any, limit: int) -> bool:
    """Return whether a value takes more than `limit` bytes: a text as UTF-8, all else as JSON.

    What nests too deeply to be encoded (254 levels) counts as too long.
    """
    if isinstance(value, str):
        return is_longer(value, limit)
    if type(value) in _SCALARS:
        return False
    try:
        return len(orjson.dumps(value)) > limit
    except orjson.JSONEncodeError:
        return True


def cut(text: str, limit: int) -> str:
    """Return the beginning of a text that takes at most `limit` bytes, in whole characters."""
    if not is_longer(text, limit):
        return text
    return text[:limit].encode("utf-8", "replace")[:limit].decode("utf-8", "ignore")


def recipients(request: dict[str, Any]) -> int:
    """Return how many addresses an email goes to, over to, cc and bcc.

    Each has an `@`, and commas stand between them.
    """
    fields = (request.get(name) for name in ("to", "cc", "bcc"))
    texts = (field for field in fields if isinstance(field, str))
    return sum("@" in part for text in texts for part in text.split(","))
