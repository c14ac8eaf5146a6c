"""The ASGI application of the inspector: its page, its live events, its questions and actions."""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qs

from walker_collector.asgi import Receive, Scope, Send, answer_lifespan
from walker_collector.collector import Collector
from walker_collector.errors import WalkerError
from walker_collector.inspector.guard import Guard, Refusal
from walker_collector.inspector.live import Live
from walker_collector.inspector.plain_json import json_bytes
from walker_collector.inspector.static_files import HEADERS, file_of
from walker_collector.inspector.stored_views import (
    dead_letters,
    held_events,
    known_person,
    letters_of,
)
from walker_collector.text import storable

_LOOK: Final = 0.2
"""Seconds between two looks for something new to send."""
_BODY: Final = 10_000
"""Bytes of a request's body, at most."""
_VIEWERS: Final = 20
"""Pages that are looked at, at most."""
_FIRST: Final = 100
"""Samples that a page gets as it is opened."""


class Inspector:
    """An ASGI application that shows a collector at work. Every request gets an answer.

    show_values: whether values of events are shown to those who ask for them.
    """

    def __init__(
        self, collector: Collector, guard: Guard, live: Live, *, show_values: bool = False
    ) -> None:
        self._collector = collector
        self._guard = guard
        self._live = live
        self._shows_values = show_values
        self._viewers = 0
        self._draining = False
        self._answers: Mapping[str, Callable[[Mapping[str, Any]], Any]] = {
            "held": lambda asked: held_events(collector),
            "dead": lambda asked: dead_letters(collector, with_values=self._may(asked)),
            "person": self._person,
            "replay": self._replay,
            "delete": self._delete,
            "forget": lambda asked: {"events": collector.forget(_user_of(asked))},
        }

    @property
    def token(self) -> str:
        """The token that the page needs."""
        return self._guard.token

    def drain(self) -> None:
        """End the streams of live events, from now on."""
        self._draining = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, as ASGI 3 defines it."""
        if scope["type"] == "lifespan":
            await answer_lifespan(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1003})
        elif scope["type"] == "http":
            try:
                await self._serve(scope, receive, send)
            except Refusal as error:
                await _send_json(send, error.status, {"error": str(error)})

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {
            name.decode("latin-1").lower(): value.decode("latin-1")
            for name, value in scope["headers"]
        }
        client = scope.get("client")
        self._guard.check_caller(client[0] if client else "", headers)
        path = _path(scope)
        if path == "":  # the files of the page stand beside it
            await _send(send, 308, {"location": f"{scope.get('root_path', '')}/"}, b"")
            return
        if not path.startswith("/api/"):
            await self._send_file(scope["method"], path[1:], send)
            return
        self._guard.check_token(headers)
        name = path.removeprefix("/api/")
        if name == "events" and scope["method"] == "GET":
            await self._stream(_query(scope), receive, send)
        elif name in self._answers and scope["method"] == "POST":
            await self._answer(name, headers, receive, send)
        else:
            raise Refusal(404, "there is nothing at this path")

    async def _send_file(self, method: str, name: str, send: Send) -> None:
        found = file_of(name)
        if found is None:
            raise Refusal(404, "there is nothing at this path")
        if method not in ("GET", "HEAD"):
            raise Refusal(405, "use GET")
        await _send(send, 200, {"content-type": found.media_type}, found.body)

    async def _answer(
        self, name: str, headers: Mapping[str, str], receive: Receive, send: Send
    ) -> None:
        if not headers.get("content-type", "").startswith("application/json"):
            raise Refusal(415, "send application/json")
        asked = _object_in(await _body(receive))
        try:
            answer = await asyncio.to_thread(self._answers[name], asked)
        except WalkerError as error:
            raise Refusal(409, storable(error)) from None
        await _send_json(send, 200, answer)

    # --- questions and actions -------------------------------------------------------------

    def _may(self, asked: Mapping[str, Any]) -> bool:
        """Return whether a request gets values; raises Refusal if it asks in vain."""
        if asked.get("values") is True and not self._shows_values:
            raise Refusal(403, "values stay masked; `--inspect-values` shows them")
        return asked.get("values") is True

    def _person(self, asked: Mapping[str, Any]) -> Any:
        return known_person(self._collector, _user_of(asked), with_values=self._may(asked))

    def _replay(self, asked: Mapping[str, Any]) -> Any:
        letters = letters_of(self._collector, asked)
        without_messages = asked.get("withoutMessages") is True
        return {"events": self._collector.replay(letters, without_messages=without_messages)}

    def _delete(self, asked: Mapping[str, Any]) -> Any:
        return {"events": self._collector.bury(letters_of(self._collector, asked))}

    # --- live ------------------------------------------------------------------------------

    async def _stream(self, query: Mapping[str, str], receive: Receive, send: Send) -> None:
        """Send figures and samples as they come, until the page is closed."""
        with_values = self._may({"values": query.get("values") == "1"})
        if self._viewers >= _VIEWERS:
            raise Refusal(503, "too many pages are open")
        self._viewers += 1
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            with self._live.looking():
                await self._send_news(send, gone, with_values)
        finally:
            self._viewers -= 1
            gone.cancel()

    async def _send_news(self, send: Send, gone: "asyncio.Future[None]", with_values: bool) -> None:
        live = self._live
        headers = {"content-type": "text/event-stream"}
        await send({"type": "http.response.start", "status": 200, "headers": _raw(headers)})
        position, looks, clears = live.position(_FIRST), 0, live.clears
        hello = {
            "flow": storable(self._collector.flow.source, 200),
            "mayShowValues": self._shows_values,
            "history": list(live.history),
        }
        await _send_event(send, "hello", hello)
        while not (gone.done() or self._draining):
            if live.clears != clears:
                clears = live.clears
                await _send_event(send, "cleared", {})
            if samples := live.news(position, with_values=with_values):
                await _send_event(send, "samples", samples)
            if live.looks != looks and live.latest:
                looks = live.looks
                point = live.history[-1] if live.history else None
                await _send_event(send, "figures", {**live.latest, "point": point})
            await asyncio.wait([gone], timeout=_LOOK)
        await send({"type": "http.response.body", "body": b""})


def _user_of(asked: Mapping[str, Any]) -> Mapping[str, str]:
    """Return the identifiers of the person that a request names; raises Refusal."""
    user = asked.get("user")
    found = {
        key: value
        for key, value in (user.items() if isinstance(user, Mapping) else ())
        if key in ("id", "device", "session") and isinstance(value, str) and value
    }
    if not found:
        raise Refusal(400, "name the person: user with id, device or session")
    return found


def _object_in(body: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(body or b"{}")
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Refusal(400, "send a JSON object")
    return found


def _path(scope: Scope) -> str:
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path[len(root) :] if root and path.startswith(root) else path


def _query(scope: Scope) -> dict[str, str]:
    found = parse_qs(scope.get("query_string", b"").decode("latin-1"))
    return {key: values[-1] for key, values in found.items()}


async def _body(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > _BODY:
            raise Refusal(413, "the body is too large")
    return body


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _raw(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [
        (name.encode("latin-1"), value.encode("latin-1", "replace"))
        for name, value in {**HEADERS, **headers}.items()
    ]


async def _send_event(send: Send, name: str, data: Any) -> None:
    body = b"event: %s\ndata: %s\n\n" % (name.encode(), json_bytes(data))
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def _send_json(send: Send, status: int, data: Any) -> None:
    await _send(send, status, {"content-type": "application/json"}, json_bytes(data))


async def _send(send: Send, status: int, headers: Mapping[str, str], body: bytes) -> None:
    raw = [*_raw(headers), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
