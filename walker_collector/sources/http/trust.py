"""Trust: the rights of a caller, and the use of the caller's address."""

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, Final, Literal

from walker_collector.events import UnreadEvent, is_command
from walker_collector.hookspecs import Received
from walker_collector.sources.http.keys import Caller
from walker_collector.sources.http.messages import Request, RequestRejected

_KEPT_BITS: Final = {4: 24, 6: 48}
"""Bits of an address that are left of it when it is truncated."""


def received(
    event: Any, caller: Caller, user: Mapping[str, Any], *, learn: bool
) -> Received | RequestRejected:
    """Return an event with the trust in its sender, and the `user` that the request shows; or the
    refusal.

    `learn`: its consent is remembered for its person.
    """
    if type(event) is UnreadEvent:
        if user:
            event.set_user({**user, **(event.user or {})})
    elif type(event) is not dict and not isinstance(event, Mapping):
        return RequestRejected(400, "an event must be an object")
    elif user and not is_command(event.get("name")):
        given = event.get("user")
        if given is None or isinstance(given, Mapping):
            event = {**event, "user": {**user, **(given or {})}}
    return Received(event, caller.trusted, caller.limited, learn)  # named ones take twice as long


def address_of(request: Request, proxies: "list[str]") -> str:
    """Return the caller's address: that of the connection, or named by a proxy that is known."""
    client = request.client
    for hop in reversed(request.headers.get("x-forwarded-for", "").split(",")):
        if not hop.strip() or not _is_among(client, proxies):
            break
        client = hop.strip()
    return client


def _is_among(client: str, proxies: "list[str]") -> bool:
    try:
        address = _plain(ip_address(client))
        return any(address in ip_network(proxy, strict=False) for proxy in proxies)
    except ValueError:
        return False


def _plain(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """Return an address of IPv4 as such: a socket for both gives it as one of IPv6."""
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


def user_of(
    request: Request, ip: Literal["none", "truncated", "full"], proxies: "list[str]"
) -> dict[str, str]:
    """Return the kept part of the caller's address, as a part of `user`."""
    return {} if ip == "none" else _kept_of(address_of(request, proxies), ip)


def _kept_of(address: str, ip: Literal["truncated", "full"]) -> dict[str, str]:
    try:
        found = _plain(ip_address(address))
    except ValueError:
        return {}
    if ip == "full":
        return {"ip": str(found)}
    return {"ip": str(ip_network((found, _KEPT_BITS[found.version]), strict=False)[0])}
