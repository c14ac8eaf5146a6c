"""The official SDK's clients, with one method replaced: the one that meets the network.

Every call of the SDK (`identify`, `track`, `batch`, `send_email`, ...) ends in `send_request`. The
SDK's own retries requests that may have been received, follows redirects without credentials, hides
the status, and puts the request's data into its exceptions; this one makes exactly one request and
raises the collector's errors. Hosts, paths, session, authentication and keep-alive are the SDK's.
"""

import time
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from attrs import frozen
from customerio import APIClient, CustomerIO, Regions
from requests.utils import select_proxy
from urllib3.util.retry import Retry

from walker_collector.clients import RateLimiter
from walker_dest_customerio import connections
from walker_dest_customerio.encode import dumps
from walker_dest_customerio.responses import (
    APP,
    TRACK,
    Api,
    Invalid,
    NoResponse,
    error_for_response,
    is_api_response,
)
from walker_dest_customerio.settings import Settings
from walker_dest_customerio.transport_errors import Route, transport_error

_JSON: Final = {"Content-Type": "application/json"}
_CHUNK_BYTES: Final = 65_536
_MAX_RESPONSE_BYTES: Final = 4_000_000
"""Bytes, unpacked. One that refuses each of a batch's operations at length has some 100,000."""


class ResponseTooLong(Exception):
    """An answer that is longer than any of Customer.io's can be."""


@frozen(eq=False)
class ClientOptions:
    """What a client needs to know beside what the SDK's constructor takes."""

    api: Api
    region: str
    limit: RateLimiter
    ca_file: str | None
    now: Callable[[], float]


class _OneRequest:
    """A single request per call, classified; mixed into the SDK's clients."""

    options: ClientOptions
    http: requests.Session
    timeout: float
    _template: requests.PreparedRequest | None = None
    _send_options: dict[str, Any] | None = None

    def send_request(self, method: str, url: str, data: Any) -> requests.Response:
        """Make one request; return an answer that is a success.

        Raises Rejected, RetryLater or DestinationDown. Data may hold ready JSON (orjson.Fragment).
        """
        own = self.options
        _reject_dot_segments(url)
        response = self._exchange(method, url, dumps(data, "request"))
        status, headers, content = response.status_code, response.headers, response.content
        if not 200 <= status < 300:
            raise error_for_response(own.api, status, headers, content, own.region, own.now())
        if not content.strip():
            response._content = b"{}"  # the SDK reads JSON from every success
        elif not is_api_response(content):
            what = f"{own.api.name} answered {status} with something that is not JSON"
            raise NoResponse(f"{what}; is there a proxy between? See {own.api.host}")
        return response

    def wait_for_turn(self) -> None:
        """Wait until the rate limit lets the next request go."""
        self.options.limit.wait()

    def _exchange(self, method: str, url: str, body: bytes) -> requests.Response:
        """Make the request and read its answer; raises the collector's errors alone."""
        connections.start_request()
        try:
            made = self._prepared(method, url, body)
            options = self._environment_options(url)
            connections.assume_sent()
            response = self.http.send(made, **options)
            _read_body(response)
        except Exception as error:  # whatever it is, it is not the event's fault
            route = Route(url, self._proxy(url), self.timeout)
            # Its text has the customer's id in a URL.
            raise transport_error(self.options.api, error, route, connections.phase()) from None
        return response

    def _proxy(self, url: str) -> str | None:
        """Return the proxy that the environment names for the URL."""
        proxies = (self._send_options or {}).get("proxies")
        proxy: str | None = select_proxy(url, proxies) if proxies else None
        return proxy

    def _prepared(self, method: str, url: str, body: bytes) -> requests.PreparedRequest:
        """Return the request, ready to be sent.

        Batches all go to one place: only the body is new, and to prepare the rest of it costs a
        quarter of sending it. With cookies, which come and go, it is prepared anew.
        """
        template = self._template
        if (
            template is None
            or (template.method, template.url) != (method, url)
            or self.http.cookies
        ):
            template = self.http.prepare_request(requests.Request(method, url, _JSON))
            self._template = None if "Cookie" in template.headers else template
        made = template.copy()
        made.prepare_body(body, None)
        return made

    def _environment_options(self, url: str) -> dict[str, Any]:
        """Return the options that the session's `request` finds anew for each request.

        Which proxies and authorities the environment names costs a quarter of a request to find
        out. All of a client's requests go to one host, so that the answer is the same for each.
        """
        if self._send_options is None:
            verify = self.options.ca_file or True
            found = self.http.merge_environment_settings(url, {}, None, verify, None)
            self._send_options = {
                **found,
                "timeout": self.timeout,
                "allow_redirects": False,
                "stream": True,  # an answer is read as far as it may be one, see `_read_body`
            }
        return self._send_options

    def _build_session(self) -> requests.Session:
        """Make the SDK's session, without what stands in the way of one classified request.

        With `retries=0` the SDK still makes urllib3 swallow answers of 500 to 504, their status and
        their Retry-After with them. requests looks for credentials in a .netrc where a session has
        no `auth`, and puts them in the place of the header; and it reads where a redirect leads
        even if it does not follow.
        """
        session: requests.Session = super()._build_session()  # type: ignore[misc]  # the SDK's
        session.mount("https://", connections.Adapter(max_retries=Retry(0, read=False)))
        session.auth = session.auth or _keep_headers
        session.get_redirect_target = _no_redirect  # type: ignore[method-assign, assignment]  # see above
        return session


def _keep_headers(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _no_redirect(response: requests.Response) -> None:
    return None


def _read_body(response: requests.Response) -> None:
    """Read an answer, which may be packed; raises ResponseTooLong."""
    if isinstance(response._content, bytes):
        return
    chunks, size = [], 0
    for chunk in response.iter_content(_CHUNK_BYTES):
        chunks.append(chunk)
        size += len(chunk)
        if size > _MAX_RESPONSE_BYTES:
            response.close()
            raise ResponseTooLong
    response._content = b"".join(chunks)


def _reject_dot_segments(url: str) -> None:
    """Refuse ids that HTTP reads as steps in a path: they would lead to somebody else's place."""
    if "/." in url and not {".", ".."}.isdisjoint(urlsplit(url).path.split("/")):
        raise Invalid("an id of one or two dots cannot stand in the path of a request")


class TrackClient(_OneRequest, CustomerIO):  # type: ignore[misc]  # the SDK ships no types
    """The SDK's Track client."""

    def __init__(self, settings: Settings, options: ClientOptions) -> None:
        self.options = options
        parts = urlsplit(settings.track_url or "")
        super().__init__(
            settings.site_id,
            settings.api_key.reveal(),
            host=parts.hostname,
            port=parts.port,
            region=_region(settings),
            retries=0,
            timeout=settings.timeout / 1000,
        )


class AppClient(_OneRequest, APIClient):  # type: ignore[misc]  # the SDK ships no types
    """The SDK's App API client, for transactional messages."""

    def __init__(self, settings: Settings, options: ClientOptions) -> None:
        self.options = options
        super().__init__(
            (settings.app_api_key or settings.api_key).reveal(),
            url=settings.api_url and settings.api_url.rstrip("/"),
            region=_region(settings),
            retries=0,
            timeout=settings.timeout / 1000,
        )


@frozen(eq=False)
class Clients:
    """One client per API; `app` is None without an App API key."""

    track: TrackClient
    app: AppClient | None

    def close(self) -> None:
        """Close the connections of both."""
        for client in (self.track, self.app):
            if client is not None:
                client.close()


def open_clients(
    settings: Settings,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.time,
) -> Clients:
    """Return the clients for these settings; nothing is sent yet. All times are in seconds."""

    def options(api: Api, rate: float) -> ClientOptions:
        return ClientOptions(
            api, settings.region, RateLimiter(rate, clock, sleep), settings.ca_file, now
        )

    track = TrackClient(settings, options(TRACK, settings.rate_limit))
    if not settings.app_api_key:
        return Clients(track, None)
    return Clients(track, AppClient(settings, options(APP, settings.app_rate_limit)))


def _region(settings: Settings) -> Any:
    return Regions.EU if settings.region == "eu" else Regions.US
