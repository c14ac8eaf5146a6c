"""walkerOS's clients: events in a body or in the query of a pixel, and the answers they expect."""

from base64 import b64decode
from collections.abc import Mapping, Sequence
from typing import Any, Final

from walker_collector.events import UnreadEvent
from walker_collector.sources.http.call import Call, Outcome
from walker_collector.sources.http.messages import RequestRejected, Response, json_response
from walker_collector.sources.http.query import event_of

_GIF: Final = b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
"""A transparent picture of one pixel."""
_NO_STORE: Final = {"Content-Type": "image/gif", "Cache-Control": "no-store"}


def call_of_body(body: Any, max_batch: int, now: int) -> Call:
    """Return the call of a POST: an event, a list of events, or `{"batch": [...]}`."""
    if not isinstance(body, (list, UnreadEvent)):
        if not isinstance(body, Mapping):
            raise RequestRejected(400, "the body must be an event, or a list of events")
        if isinstance(body.get("batch"), list):
            body = body["batch"]
    if not isinstance(body, list):
        return Call([body], lambda outcomes: _single(outcomes[0], now))
    if len(body) > max_batch:
        raise RequestRejected(400, f"the batch has more than {max_batch:,} events (maxBatch)")
    return Call(body, _batch)


def call_of_query(query: str) -> Call:
    """Return the call of a pixel. The answer is a picture in any case, as nobody reads it."""
    event = event_of(query)
    return Call([event] if event else [], lambda outcomes: Response(200, _NO_STORE, _GIF))


def _single(outcome: Outcome, now: int) -> Response:
    if outcome.refused is not None:
        raise outcome.refused
    named = {"id": outcome.id} if outcome.id else {}  # a command has none
    return json_response(200, {"success": True, "timestamp": now, **named})


def _batch(outcomes: Sequence[Outcome]) -> Response:
    """Return the answer to a batch; raises RequestRejected if there was no room for any of it."""
    ids = [outcome.id for outcome in outcomes if outcome.refused is None]
    failed = [(at, item.refused) for at, item in enumerate(outcomes) if item.refused]
    for _, error in failed:
        if not ids and error.status in (429, 503):
            raise error
    body: dict[str, Any] = {"success": not failed, "processed": len(ids)}
    if not failed:
        return json_response(200, {**body, "ids": ids})
    errors = [{"index": at, "error": error.message} for at, error in failed]
    return json_response(207, {**body, "failed": len(failed), "ids": ids, "errors": errors})
