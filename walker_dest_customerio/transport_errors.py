"""Errors for requests without a response, naming host, proxy and cause. Pure.

Reasons never quote an exception's text: it may contain a URL with a person's id, or words of the
other side.
"""

import re
import socket
import ssl
from http.client import HTTPException, RemoteDisconnected
from typing import Final
from urllib.parse import urlsplit

from attrs import frozen

from walker_collector import DestinationDown, WalkerError
from walker_collector.clients import causes_of
from walker_dest_customerio.connections import Phase
from walker_dest_customerio.responses import Api, NoResponse, NotProcessed

_TUNNEL: Final = re.compile(r"Tunnel connection failed: (\d{3})")
_LONGEST_PLACE: Final = 200
_NETWORK: Final = (socket.gaierror, ConnectionError, TimeoutError, ssl.SSLError, HTTPException)


@frozen
class Route:
    """URL of a request, its proxy (None: direct), and its time limit in seconds."""

    url: str
    proxy: str | None
    timeout: float

    def __str__(self) -> str:
        host = _place(self.url)
        return host if self.proxy is None else f"{host} through the proxy {_place(self.proxy)}"


def transport_error(api: Api, error: Exception, route: Route, phase: Phase) -> WalkerError:
    """Return the error for a request without a response; NotProcessed if nothing was sent."""
    causes = list(causes_of(error))
    if any("CERTIFICATE_VERIFY_FAILED" in str(cause) for cause in causes):
        return DestinationDown(
            f"{api.name}: the certificate of {route} is not trusted; check {api.host} and "
            "settings.caFile"
        )
    if phase == "sent":
        return NoResponse(f"{api.name}: no answer from {route} ({_cause(causes, route)})")
    if phase == "ready" or not any(map(_is_network, causes)):
        return DestinationDown(
            f"{api.name}: no request to {route} can be made ({type(causes[-1]).__name__}); check "
            f"{api.host}, {api.credentials}, and the proxies and certificates of the environment"
        )
    if isinstance(causes[-1], socket.gaierror):
        host = urlsplit(route.url if route.proxy is None else f"//{_place(route.proxy)}").hostname
        kind = "" if route.proxy is None else "the proxy "
        return NotProcessed(f"{api.name}: cannot resolve {kind}{host}: {causes[-1].strerror}")
    refusal = _proxy_refusal(causes)
    cause = refusal or f"{_PHASES[phase]}{_cause(causes, route)}"
    return NotProcessed(f"{api.name}: no connection to {route} ({cause})")


_PHASES: Final[dict[Phase, str]] = {
    "connect": "",
    "proxy": "the proxy: ",
    "handshake": "TLS handshake: ",
}


def _proxy_refusal(causes: list[BaseException]) -> str:
    """Return the reason if a proxy refused CONNECT, else an empty string."""
    found = _TUNNEL.search(str(causes[-1]))
    return f"the proxy answered {found[1]}" if found else ""


def _is_network(cause: BaseException) -> bool:
    """Return whether a cause lies in the network, not in the process's configuration."""
    if isinstance(cause, _NETWORK) or _TUNNEL.search(str(cause)):
        return True
    return isinstance(cause, OSError) and cause.errno is not None


def _cause(causes: list[BaseException], route: Route) -> str:
    """Describe the cause of a failure, in the operating system's words where it has some."""
    if any(isinstance(cause, TimeoutError) for cause in causes):
        return f"none within {route.timeout:g} s"
    last = causes[-1]
    if isinstance(last, ssl.SSLError):
        return last.reason or type(last).__name__
    if isinstance(last, RemoteDisconnected):
        return "the connection was closed"
    return (isinstance(last, OSError) and last.strerror) or type(last).__name__


def _place(url: str) -> str:
    """Return host and port of a URL, without credentials; the environment may hold anything."""
    try:
        place = urlsplit(url if "://" in url else f"//{url}").netloc.rpartition("@")[2]
    except ValueError:  # a bad IPv6 address
        place = ""
    return place[:_LONGEST_PLACE] or "without a host"
