"""The guard of the inspector: the callers that it answers, and the requests that may change things.

A token in a header keeps other pages out, as no browser adds it by itself; cookies are not used.
"""

import hmac
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Final

from attrs import field, frozen

from walker_collector.errors import ConfigError

_SHORTEST: Final = 16
"""Characters of a token, at least."""
_FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-real-ip")
"""Headers of proxies: the caller is another machine, at any address of the connection."""


class Refusal(Exception):
    """A request that is refused, with its status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@frozen
class Guard:
    """Checks requests by their caller, their origin and their token.

    remote: other machines are answered too, and proxies. Raises ConfigError for a short token.
    """

    token: str = field(repr=False)
    remote: bool = field(default=False, kw_only=True)

    def __attrs_post_init__(self) -> None:
        if not isinstance(self.token, str) or len(self.token) < _SHORTEST:
            raise ConfigError(
                f"inspector: the token must have {_SHORTEST} characters or more; make one with "
                "secrets.token_urlsafe()"
            )

    def check_caller(self, client: str, headers: Mapping[str, str]) -> None:
        """Refuse callers on other machines, unless they are wanted."""
        if self.remote:
            return
        if not _is_loopback(client) or any(name in headers for name in _FORWARDED):
            raise Refusal(
                403,
                "the inspector answers its own machine alone; reach it through a tunnel "
                "(ssh -L 8080:127.0.0.1:8080 HOST), or allow other machines (--inspect-remote)",
            )

    def check_token(self, headers: Mapping[str, str]) -> None:
        """Refuse requests without the token, and those that come from pages of other origins."""
        site = headers.get("sec-fetch-site", "same-origin")
        origin = headers.get("origin", "")
        host = headers.get("host", "")
        if site != "same-origin" or (origin and origin.partition("://")[2] != host):
            raise Refusal(403, "the request comes from a page of another origin")
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(
            given.strip().encode("utf-8", "replace"), self.token.encode("utf-8", "replace")
        ):
            raise Refusal(401, "the token is missing or wrong; `walker serve --inspect` prints it")


def _is_loopback(client: str) -> bool:
    try:
        return ip_address(client.partition("%")[0]).is_loopback
    except ValueError:  # a socket of another kind: nobody knows who is behind it
        return False
