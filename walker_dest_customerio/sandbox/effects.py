"""The effects of faults on a connection."""

import asyncio
import struct
from collections.abc import Awaitable, Callable
from socket import SO_LINGER, SOL_SOCKET
from typing import TypeAlias

from aiohttp import web
from attrs import frozen

from walker_dest_customerio.sandbox.faults import Fault
from walker_dest_customerio.sandbox.response import JSON_TYPE

UNAVAILABLE = '{"meta":{"error":"fault on demand"}}\n'
# As the App API answers in the wrong region
# (https://github.com/customerio/customerio-node/issues/134).
WRONG_DATACENTER = '{"errors":[{"detail":"wrong datacenter","status":"301"}]}\n'
NO_JSON = "<html><body>Bad Gateway</body></html>\n"
BROKEN_ERRORS = '{"errors":[{"batch_index":0,"reason":"inva'
ANNOUNCED_BYTES = 1000


@frozen
class Hit:
    """A request under a fault; `released` is set when hanging requests must end."""

    request: web.Request
    fault: Fault
    released: asyncio.Event


Effect: TypeAlias = Callable[[Hit], Awaitable[web.StreamResponse]]


async def _status(hit: Hit) -> web.StreamResponse:
    retry_after = hit.fault.retry_after
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return _text(hit.fault, UNAVAILABLE, headers)


async def _garbage(hit: Hit) -> web.StreamResponse:
    return _text(hit.fault, BROKEN_ERRORS if hit.fault.answer_status == 207 else NO_JSON, {})


async def _redirect(hit: Hit) -> web.StreamResponse:
    """Redirect, by default to this server under its other name.

    A client that follows then sees another host, and drops its credentials, but no request leaves
    the machine.
    """
    location = hit.fault.location
    if location is None:
        here = hit.request.url
        location = str(here.with_host("127.0.0.1" if here.host == "localhost" else "localhost"))
    return _text(hit.fault, WRONG_DATACENTER, {"Location": location})


def _text(fault: Fault, body: str, headers: dict[str, str]) -> web.Response:
    content = body if fault.body is None else fault.body
    status = fault.answer_status or 200
    headers = {"Content-Type": JSON_TYPE, **headers}
    return web.Response(status=status, body=content.encode(), headers=headers)


async def _hang(hit: Hit) -> web.StreamResponse:
    await hit.released.wait()
    return await _reset(hit)


async def _reset(hit: Hit) -> web.StreamResponse:
    transport = hit.request.transport
    if transport is not None:
        # With a linger of 0 s, closing sends a TCP reset.
        linger = struct.pack("ii", 1, 0)
        transport.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, linger)
        transport.abort()
    return web.Response()


async def _reset_body(hit: Hit) -> web.StreamResponse:
    """Close the connection before the announced end of the body.

    It is not reset, since a reset could overtake the head of the response.
    """
    status = hit.fault.answer_status or 200
    response = web.StreamResponse(status=status, headers={"Content-Type": JSON_TYPE})
    response.content_length = ANNOUNCED_BYTES
    await response.prepare(hit.request)
    await response.write(b'{"err')
    if hit.request.transport is not None:
        hit.request.transport.abort()
    return response


EFFECTS: dict[str, Effect] = {
    "status": _status,
    "hang": _hang,
    "reset": _reset,
    "reset_body": _reset_body,
    "redirect": _redirect,
    "garbage": _garbage,
}
