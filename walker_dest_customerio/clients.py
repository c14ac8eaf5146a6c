"""The official SDK's clients with one method replaced: the one that makes the request.

Every call of the SDK (`identify`, `track`, `batch`, `send_email`, ...) ends in `send_request`. The
SDK's own retries requests that may have been received, follows redirects without credentials, hides
the status, and puts the request's data into its exceptions; this one makes exactly one request and
raises the collector's errors. Hosts, paths, session, authentication and keep-alive are the SDK's.
"""

import base64
import time
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import requests
from attrs import frozen
from customerio import APIClient, CustomerIO, Regions
from requests.utils import select_proxy
from urllib3.util.retry import Retry

from walker_collector import Secret, WalkerError
from walker_collector.clients import RateLimiter
from walker_dest_customerio import connections
from walker_dest_customerio.encode import dumps
from walker_dest_customerio.operations import ApiName
from walker_dest_customerio.responses import (
    APP,
    TRACK,
    USUAL_SUCCESS,
    Api,
    Invalid,
    NoResponse,
    batch_errors,
    error_for_response,
    is_api_response,
)
from walker_dest_customerio.settings import Settings
from walker_dest_customerio.transport_errors import Route, transport_error

BATCH: Final = "/api/v2/batch"
_JSON: Final = {"Content-Type": "application/json"}


@frozen(eq=False)
class ClientOptions:
    """Options of a client that the SDK's constructor does not take."""

    api: Api
    region: str
    ca_file: str | None
    now: Callable[[], float]


class _OneRequest:
    """Mixin for the SDK's clients: make one request per call, and classify its errors."""

    options: ClientOptions
    http: requests.Session
    timeout: float
    origin: str
    """Scheme and host of the requests."""
    _template: requests.PreparedRequest | None = None
    _send_options: dict[str, Any] | None = None

    def send_request(self, method: str, url: str, data: Any) -> requests.Response:
        """Make one request and return its successful response.

        Raises Rejected, RetryLater or DestinationDown. Data may hold encoded JSON (Fragment).
        """
        if "/." in url and not {".", ".."}.isdisjoint(urlsplit(url).path.split("/")):
            # HTTP would resolve the segment to the URL of another person.
            raise Invalid("an id of one or two dots cannot stand in the path of a request")
        return self._exchange(method, url, dumps(data, "request"))

    def ask(self, path: str) -> bytes:
        """Make a GET request, which changes nothing; return the body. Raises as `send_request`."""
        content: bytes = self._exchange("GET", f"{self.origin}{path}", None).content
        return content

    def _exchange(self, method: str, url: str, body: bytes | None) -> requests.Response:
        try:
            made, options = self._prepared(method, url, body)
        except Exception as error:
            raise self._no_response(url, error, "ready") from None
        try:
            response = connections.exchange(self.http, made, options)
        except Exception as error:  # never the event's fault, whatever the cause
            # The exception's text quotes the URL, and with it the customer's id.
            raise self._no_response(url, error, connections.phase()) from None
        status, content = response.status_code, response.content
        if 200 <= status < 300 and content.strip() == USUAL_SUCCESS:
            return response
        if not 200 <= status < 300:
            own = self.options
            raise error_for_response(
                own.api, status, response.headers, content, own.region, own.now()
            )
        if not content.strip():
            response._content = b"{}"  # the SDK reads JSON from every success
        elif not is_api_response(content):
            what = f"{self.options.api.name} answered {status} with something that is not JSON"
            raise NoResponse(f"{what}; is there a proxy between? See {self.options.api.host}")
        elif not url.endswith(BATCH) and batch_errors(content):
            # Only a batch has errors beside a success.
            raise NoResponse(f"{self.options.api.name} answered {status} with errors")
        return response

    def _no_response(self, url: str, error: Exception, phase: connections.Phase) -> WalkerError:
        proxies = (self._send_options or {}).get("proxies")
        proxy: str | None = select_proxy(url, proxies) if proxies else None
        return transport_error(self.options.api, error, Route(url, proxy, self.timeout), phase)

    def _prepared(
        self, method: str, url: str, body: bytes | None
    ) -> tuple[requests.PreparedRequest, dict[str, Any]]:
        """Return the prepared request, and the options of `Session.send`.

        All batches go to one URL and differ only in their body. Preparing the rest each time would
        cost a quarter of the request, so the last one is copied, unless there are cookies. Reading
        proxies and CA file from the environment costs another quarter; all requests of a client go
        to one host, so they are read once.
        """
        template = self._template
        if (
            template is None
            or (template.method, template.url) != (method, url)
            or self.http.cookies
        ):
            template = self.http.prepare_request(requests.Request(method, url, _JSON))
            self._template = None if "Cookie" in template.headers else template
        if self._send_options is None:
            verify = self.options.ca_file or True
            found = self.http.merge_environment_settings(url, {}, None, verify, None)
            self._send_options = {
                **found,
                "timeout": self.timeout,
                "allow_redirects": False,
                "stream": True,  # so that the size can be limited
            }
        made = template.copy()
        made.prepare_body(body, None)
        return made, self._send_options

    def _build_session(self) -> requests.Session:
        """Build the SDK's session without retries, .netrc and redirects.

        Even with `retries=0` the SDK has urllib3 turn responses of 500 to 504 into exceptions
        without status and Retry-After. Without `auth`, requests replaces the Authorization header
        by credentials of a .netrc. And it parses the target of a redirect that it does not follow.
        """
        session: requests.Session = super()._build_session()  # type: ignore[misc]  # the SDK's
        session.mount("https://", connections.Adapter(max_retries=Retry(0, read=False)))
        session.auth = _authorized(session)
        session.get_redirect_target = connections.no_redirect  # type: ignore[method-assign, assignment]  # see above
        return session

    def __reduce__(self) -> Any:
        raise TypeError("a client holds credentials, and cannot be pickled")


class _Masked(str):
    """A credential of the SDK's, masked where an object's attributes are shown."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'"


def _authorized(session: requests.Session) -> Callable[[requests.PreparedRequest], Any]:
    """Return a function that adds a session's credentials, which it takes from the session.

    They are in no attribute then that a traceback or a debugger would show.
    """
    kind, _, key = str(session.headers.pop("Authorization", "")).partition(" ")
    if isinstance(session.auth, tuple):
        kind, key = "Basic", base64.b64encode(":".join(session.auth).encode()).decode()
    secret = Secret(key)  # in this form it is struck out of reasons as well

    def authorize(request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"{kind} {secret.reveal()}"
        return request

    return authorize


class TrackClient(_OneRequest, CustomerIO):  # type: ignore[misc]  # the SDK ships no types
    """The SDK's Track client."""

    def __init__(self, settings: Settings, options: ClientOptions) -> None:
        self.options = options
        parts = urlsplit(settings.track_url or "")
        super().__init__(
            settings.site_id,
            _Masked(settings.api_key.reveal()),
            host=parts.hostname,
            port=parts.port,
            region=_region(settings),
            retries=0,
            timeout=settings.timeout / 1000,
        )
        self.origin = self.base_url.removesuffix("/api/v1")


class AppClient(_OneRequest, APIClient):  # type: ignore[misc]  # the SDK ships no types
    """The SDK's App API client, for transactional messages."""

    def __init__(self, settings: Settings, options: ClientOptions) -> None:
        self.options = options
        super().__init__(
            _Masked((settings.app_api_key or settings.api_key).reveal()),
            url=settings.api_url and settings.api_url.rstrip("/"),
            region=_region(settings),
            retries=0,
            timeout=settings.timeout / 1000,
        )
        self.origin = self.url


@frozen(eq=False)
class Clients:
    """One client per API; `app` is None without an App API key. Each API has a rate limit."""

    track: TrackClient
    app: AppClient | None
    limits: Mapping[ApiName, RateLimiter]

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
    share: Callable[[], float] = lambda: 1.0,
) -> Clients:
    """Return clients for these settings, without connecting. All times are in seconds.

    `share` returns the part of the rate limits that is this process's.
    """

    def options(api: Api) -> ClientOptions:
        return ClientOptions(api, settings.region, settings.ca_file, now)

    return Clients(
        TrackClient(settings, options(TRACK)),
        AppClient(settings, options(APP)) if settings.app_api_key else None,
        {
            "track": RateLimiter(settings.rate_limit, clock, sleep, share),
            "app": RateLimiter(settings.app_rate_limit, clock, sleep, share),
        },
    )


def _region(settings: Settings) -> Any:
    return Regions.EU if settings.region == "eu" else Regions.US
