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
from walker_dest_customerio import wire
from walker_dest_customerio.answers import APP, TRACK, Api, Invalid, NoAnswer, is_answer, refusal
from walker_dest_customerio.encode import dumps
from walker_dest_customerio.settings import Settings
from walker_dest_customerio.troubles import Route, trouble

_JSON: Final = {"Content-Type": "application/json"}
_CHUNK: Final = 65_536
_LONGEST_ANSWER: Final = 4_000_000
"""Bytes, unpacked. One that refuses each of a batch's operations at length has some 100,000."""


class AnswerTooLong(Exception):
    """An answer that is longer than any of Customer.io's can be."""


@frozen(eq=False)
class Line:
    """What a client needs to know beside what the SDK's constructor takes."""

    api: Api
    region: str
    limit: RateLimiter
    ca_file: str | None
    now: Callable[[], float]


class _OneRequest:
    """A single request per call, classified; mixed into the SDK's clients."""

    line: Line
    http: requests.Session
    timeout: float
    _before: requests.PreparedRequest | None = None
    _options: dict[str, Any] | None = None

    def send_request(self, method: str, url: str, data: Any) -> requests.Response:
        """Make one request; return an answer that is a success.

        Raises Rejected, RetryLater or DestinationDown. Data may hold ready JSON (orjson.Fragment).
        """
        line = self.line
        _check_path(url)
        response = self._exchange(method, url, dumps(data, "request"))
        status, headers, content = response.status_code, response.headers, response.content
        if not 200 <= status < 300:
            raise refusal(line.api, status, headers, content, line.region, line.now())
        if not content.strip():
            response._content = b"{}"  # the SDK reads JSON from every success
        elif not is_answer(content):
            what = f"{line.api.name} answered {status} with something that is not JSON"
            raise NoAnswer(f"{what}; is there a proxy between? See {line.api.host}")
        return response

    def wait_for_turn(self) -> None:
        """Wait until the rate limit lets the next request go."""
        self.line.limit.wait()

    def _exchange(self, method: str, url: str, body: bytes) -> requests.Response:
        """Make the request and read its answer; raises the collector's errors alone."""
        wire.begin()
        try:
            made = self._prepared(method, url, body)
            options = self._surroundings(url)
            wire.hand_over()
            response = self.http.send(made, **options)
            _read(response)
        except Exception as error:  # whatever it is, it is not the event's fault
            route = Route(url, self._proxy(url), self.timeout)
            # Its text has the customer's id in a URL.
            raise trouble(self.line.api, error, route, wire.stage()) from None
        return response

    def _proxy(self, url: str) -> str | None:
        """Return the proxy that the environment names for the URL."""
        proxies = (self._options or {}).get("proxies")
        proxy: str | None = select_proxy(url, proxies) if proxies else None
        return proxy

    def _prepared(self, method: str, url: str, body: bytes) -> requests.PreparedRequest:
        """Return the request, ready to be sent.

        Batches all go to one place: only the body is new, and to prepare the rest of it costs a
        quarter of sending it. With cookies, which come and go, it is prepared anew.
        """
        before = self._before
        if before is None or (before.method, before.url) != (method, url) or self.http.cookies:
            before = self.http.prepare_request(requests.Request(method, url, _JSON))
            self._before = None if "Cookie" in before.headers else before
        made = before.copy()
        made.prepare_body(body, None)
        return made

    def _surroundings(self, url: str) -> dict[str, Any]:
        """Return the options that the session's `request` finds anew for each request.

        Which proxies and authorities the environment names costs a quarter of a request to find
        out. All of a client's requests go to one host, so that the answer is the same for each.
        """
        if self._options is None:
            verify = self.line.ca_file or True
            found = self.http.merge_environment_settings(url, {}, None, verify, None)
            self._options = {
                **found,
                "timeout": self.timeout,
                "allow_redirects": False,
                "stream": True,  # an answer is read as far as it may be one, see `_read`
            }
        return self._options

    def _build_session(self) -> requests.Session:
        """Make the SDK's session, without what stands in the way of one classified request.

        With `retries=0` the SDK still makes urllib3 swallow answers of 500 to 504, their status and
        their Retry-After with them. requests looks for credentials in a .netrc where a session has
        no `auth`, and puts them in the place of the header; and it reads where a redirect leads
        even if it does not follow.
        """
        session: requests.Session = super()._build_session()  # type: ignore[misc]  # the SDK's
        session.mount("https://", wire.Adapter(max_retries=Retry(0, read=False)))
        session.auth = session.auth or _unchanged
        session.get_redirect_target = _nowhere  # type: ignore[method-assign, assignment]  # see above
        return session


def _unchanged(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def _nowhere(response: requests.Response) -> None:
    return None


def _read(response: requests.Response) -> None:
    """Read an answer, which may be packed; raises AnswerTooLong."""
    if isinstance(response._content, bytes):
        return
    chunks, size = [], 0
    for chunk in response.iter_content(_CHUNK):
        chunks.append(chunk)
        size += len(chunk)
        if size > _LONGEST_ANSWER:
            response.close()
            raise AnswerTooLong
    response._content = b"".join(chunks)


def _check_path(url: str) -> None:
    """Refuse ids that HTTP reads as steps in a path: they would lead to somebody else's place."""
    if "/." in url and not {".", ".."}.isdisjoint(urlsplit(url).path.split("/")):
        raise Invalid("an id of one or two dots cannot stand in the path of a request")


class TrackClient(_OneRequest, CustomerIO):  # type: ignore[misc]  # the SDK ships no types
    """The SDK's Track client."""

    def __init__(self, settings: Settings, line: Line) -> None:
        self.line = line
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

    def __init__(self, settings: Settings, line: Line) -> None:
        self.line = line
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

    def line(api: Api, rate: float) -> Line:
        return Line(api, settings.region, RateLimiter(rate, clock, sleep), settings.ca_file, now)

    track = TrackClient(settings, line(TRACK, settings.rate_limit))
    if not settings.app_api_key:
        return Clients(track, None)
    return Clients(track, AppClient(settings, line(APP, settings.app_rate_limit)))


def _region(settings: Settings) -> Any:
    return Regions.EU if settings.region == "eu" else Regions.US
