"""The server in front of the application: uvicorn, on a thread, until it is told to stop."""

import asyncio
import math
import os
import socket
from typing import Any, Final

from walker_collector.errors import PluginError
from walker_collector.hookspecs import SourceContext
from walker_collector.sources.http.app import App

_LOOK: Final = 0.02
"""Seconds between two looks for the stop."""
_LINGER: Final = 0.3
"""Seconds for which requests are still taken after the stop: clients have sent them before."""
_BACKLOG: Final = 2_048


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; raises PluginError if the address cannot be had."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:  # its own text names the address twice
        text = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise PluginError(
            f"cannot listen on {_shown(host)}:{port}: {text} (settings.host, settings.port)"
        ) from None


def address_of(listener: socket.socket) -> str:
    """Return the address of a socket as a URL."""
    host, port = listener.getsockname()[:2]
    return f"http://{_shown(host)}:{port}"


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def run_server(app: App, listener: socket.socket, place: str, context: SourceContext) -> None:
    """Serve until `context.stop`; then answer what is in flight, and return.

    Raises PluginError if the extra `serve` is not installed.
    """
    try:
        import httptools  # noqa: F401 - uvicorn would go on without it, at half the speed
        import uvicorn
        import uvloop
    except ImportError as error:
        raise PluginError(
            f"the server needs {error.name}: pip install 'walker-collector[serve]'"
        ) from None
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,  # it would have addresses, and the events of pixels
            server_header=False,
            proxy_headers=False,  # read by the application, from the proxies of its settings
            timeout_graceful_shutdown=math.ceil(context.grace),
        )
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(server, app, listener, place, context))


async def _serve(
    server: Any, app: App, listener: socket.socket, place: str, context: SourceContext
) -> None:
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started and not serving.done():
        await asyncio.sleep(_LOOK)
    context.ready(place)
    while not context.stop.is_set() and not serving.done():
        await asyncio.sleep(_LOOK)
    app.drain()
    await asyncio.sleep(_LINGER)
    server.should_exit = True
    await serving
