"""The server in front of the application: uvicorn, on a thread, until it is told to stop."""

import asyncio
import math
import os
import socket
import ssl
from contextlib import suppress
from functools import partial
from typing import Any, Final

from walker_collector.errors import PluginError
from walker_collector.hookspecs import SourceContext
from walker_collector.sources.http.app import App
from walker_collector.sources.http.settings import Settings
from walker_collector.sources.http.tls import follow_files

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
        number = error.errno or 0  # below 0 of a name that is not found
        text = os.strerror(number) if number > 0 else error.strerror or str(error)
        raise PluginError(
            f"cannot listen on {_shown(host)}:{port}: {text} (settings.host, settings.port)"
        ) from None


def address_of(listener: socket.socket, scheme: str) -> str:
    """Return the address of a socket as a URL."""
    host, port = listener.getsockname()[:2]
    return f"{scheme}://{_shown(host)}:{port}"


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def run_server(
    app: App,
    settings: Settings,
    tls: ssl.SSLContext | None,
    listener: socket.socket,
    place: str,
    context: SourceContext,
) -> None:
    """Serve until `context.stop`; then answer the requests in flight, and return.

    Raises PluginError if the extra `serve` is not installed.
    """
    try:
        import uvicorn

        from walker_collector.sources.http.connections import Loop, bounded, possible_connections
    except ImportError as error:
        raise PluginError(
            f"the server needs {error.name}: pip install 'walker-collector[serve]'"
        ) from None
    connections = possible_connections(settings.max_connections)
    if connections < settings.max_connections:
        _warn_of_few_files(connections, settings, context)
    config = uvicorn.Config(app, http=bounded(settings, connections), **_options(settings, context))
    config.load()
    config.ssl = tls
    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(_serve(uvicorn.Server(config), app, settings, listener, place, context))


def _warn_of_few_files(connections: int, settings: Settings, context: SourceContext) -> None:
    context.logger.warning(
        "source %s: takes %d connections at once, not %d (settings.maxConnections), as the "
        "process may not open more files; raise its limit (ulimit -n)",
        context.id,
        connections,
        settings.max_connections,
    )


def _options(settings: Settings, context: SourceContext) -> dict[str, Any]:
    """Return the options of uvicorn that are the same for every server."""
    return {
        "ws": "none",
        "lifespan": "off",
        "log_config": None,
        "log_level": "critical",  # the rest is about connections; the application logs its faults
        "access_log": False,  # it would have addresses, and the events of pixels
        "server_header": False,
        "proxy_headers": False,  # read by the application, from the proxies of its settings
        "timeout_keep_alive": math.ceil(settings.keep_alive / 1000),
        "timeout_graceful_shutdown": math.ceil(context.grace),
    }


async def _serve(
    server: Any,
    app: App,
    settings: Settings,
    listener: socket.socket,
    place: str,
    context: SourceContext,
) -> None:
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    following = asyncio.create_task(_follow_files(server.config.ssl, settings, context))
    while not server.started and not serving.done():
        await asyncio.sleep(_LOOK)
    context.ready(place)
    while not context.stop.is_set() and not serving.done():
        await asyncio.sleep(_LOOK)
    app.drain()
    await asyncio.sleep(_LINGER)
    if not serving.done():
        await stop_listening(server, listener)
    server.should_exit = True
    await serving
    following.cancel()


async def stop_listening(server: Any, listener: socket.socket) -> None:
    """Close the socket that listens, and serve the connections that it has accepted.

    Those that the event loop has not seen yet would be reset by the close.
    """
    waiting = _waiting_connections(listener)
    for each in server.servers:
        each.close()
    connect = partial(
        server.config.http_protocol_class,
        config=server.config,
        server_state=server.server_state,
        app_state={},
    )
    loop, tls = asyncio.get_running_loop(), server.config.ssl
    served = [
        loop.create_task(loop.connect_accepted_socket(connect, each, ssl=tls)) for each in waiting
    ]
    if served:
        # With TLS, it takes an agreement with the other side.
        _, late = await asyncio.wait(served, timeout=None if tls is None else _LINGER)
        for each in late:
            each.cancel()
        await asyncio.gather(*served, return_exceptions=True)


def _waiting_connections(listener: socket.socket) -> list[socket.socket]:
    """Return the connections that a socket has accepted, and nobody has taken yet."""
    found: list[socket.socket] = []
    with suppress(OSError):  # there are no more, or no more files
        while len(found) < _BACKLOG:  # other processes may go on listening
            connection, _ = listener.accept()
            connection.setblocking(False)
            found.append(connection)
    return found


async def _follow_files(
    tls: ssl.SSLContext | None, settings: Settings, context: SourceContext
) -> None:
    if tls is not None:
        warn = partial(context.logger.warning, "source %s: %s", context.id)
        await follow_files(tls, settings, warn)
