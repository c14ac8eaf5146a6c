"""The sandbox without its sockets: credentials, endpoints, state, faults and records.

Every method may be called from any thread.
"""

import base64
import hmac
import threading
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TypeVar

from attrs import define, field, frozen

from walker_dest_customerio.sandbox import app_endpoints, v1_endpoints, v2_endpoints, views
from walker_dest_customerio.sandbox.api_call import ApiCall, Handler
from walker_dest_customerio.sandbox.faults import Disturbance, Fault, FaultQueue
from walker_dest_customerio.sandbox.received import JsonObject
from walker_dest_customerio.sandbox.record import RequestLog, RequestRecord
from walker_dest_customerio.sandbox.response import Response, one_error
from walker_dest_customerio.sandbox.workspace import Workspace

View = TypeVar("View")

UNAUTHORIZED = one_error(401, "unauthorized", operations=0)


@frozen
class Endpoint:
    """A method and path of the API, and its handler."""

    method: str
    path: str
    handler: Handler
    app: bool = False

    @property
    def name(self) -> str:
        """Method and path template, the key of the counters."""
        return f"{self.method} {self.path}"


_PERSON = "/api/v1/customers/{identifier}"
ENDPOINTS = (
    Endpoint("PUT", _PERSON, v1_endpoints.identify),
    Endpoint("DELETE", _PERSON, v1_endpoints.delete),
    Endpoint("POST", f"{_PERSON}/events", v1_endpoints.track),
    Endpoint("PUT", f"{_PERSON}/devices", v1_endpoints.add_device),
    Endpoint("DELETE", f"{_PERSON}/devices/{{device_id}}", v1_endpoints.delete_device),
    Endpoint("POST", f"{_PERSON}/suppress", v1_endpoints.suppress),
    Endpoint("POST", f"{_PERSON}/unsuppress", v1_endpoints.unsuppress),
    Endpoint("POST", "/api/v1/events", v1_endpoints.track_anonymous),
    Endpoint("POST", "/api/v1/merge_customers", v1_endpoints.merge),
    Endpoint("GET", "/api/v1/accounts/region", v1_endpoints.region),
    Endpoint("POST", "/api/v2/entity", v2_endpoints.entity),
    Endpoint("POST", "/api/v2/batch", v2_endpoints.batch),
    Endpoint("GET", "/v1/transactional", app_endpoints.messages, app=True),
    *(
        Endpoint("POST", f"/v1/send/{channel}", partial(app_endpoints.send, channel), app=True)
        for channel in app_endpoints.CHANNELS
    ),
)


@frozen
class Credentials:
    """The credentials of clients: Basic site_id:api_key for Track, Bearer for the App API."""

    site_id: str
    api_key: str = field(repr=False)
    app_api_key: str = field(repr=False)

    def admit(self, endpoint: Endpoint, authorization: str) -> bool:
        """Return whether an Authorization header is valid for an endpoint."""
        pair = base64.b64encode(f"{self.site_id}:{self.api_key}".encode()).decode()
        wanted = f"Bearer {self.app_api_key}" if endpoint.app else f"Basic {pair}"
        return hmac.compare_digest(authorization.encode(errors="replace"), wanted.encode())


@define
class Service:
    """State, faults and record behind one lock."""

    credentials: Credentials
    clock: Callable[[], float]
    region: str = "us"
    allow_email_change: bool = False
    _workspace: Workspace = field(init=False)
    _record: RequestLog = field(init=False, factory=RequestLog)
    _faults: FaultQueue = field(init=False, factory=FaultQueue)
    _changed: threading.Condition = field(init=False, factory=threading.Condition)

    def __attrs_post_init__(self) -> None:
        self._workspace = Workspace(allow_email_change=self.allow_email_change)

    def answer(
        self,
        endpoint: Endpoint,
        params: Mapping[str, str],
        body: bytes,
        authorization: str,
        host: str,
        now: float,
    ) -> Response:
        """Process a request received at `now` (unix s); 401 without the right credentials."""
        if not self.credentials.admit(endpoint, authorization):
            return UNAUTHORIZED
        with self._changed:
            return endpoint.handler(ApiCall(self._workspace, params, body, now, host, self.region))

    def disturb(self, path: str) -> Disturbance:
        """Return the faults for a request, and use them up."""
        with self._changed:
            return self._faults.next_for(path)

    def note(self, request: RequestRecord, rejected: int = 0) -> None:
        """Record a request, and wake the callers of `wait_for_requests`."""
        with self._changed:
            self._record.add(request, rejected)
            self._changed.notify_all()

    def add_faults(self, faults: Iterable[Fault]) -> None:
        """Add faults after those in force."""
        with self._changed:
            self._faults.add(faults)

    def clear_faults(self) -> None:
        """Remove all faults."""
        with self._changed:
            self._faults.clear()

    def faults(self) -> list[JsonObject]:
        """Return the faults in force."""
        with self._changed:
            return self._faults.snapshot()

    def reset(self) -> None:
        """Remove people, events, messages, requests and counters; faults stay in force."""
        with self._changed:
            self._workspace = Workspace(allow_email_change=self.allow_email_change)
            self._record = RequestLog()

    def view(self, make: Callable[[Workspace], View]) -> View:
        """Return the result of `make`, a copy of part of the state, while nothing changes."""
        with self._changed:
            return make(self._workspace)

    def state(self) -> JsonObject:
        """Return the whole state as JSON."""
        with self._changed:
            return {**views.workspace_view(self._workspace), "counters": self._counters()}

    def counters(self) -> JsonObject:
        """Return the counters of requests and operations."""
        with self._changed:
            return self._counters()

    def requests(self) -> list[RequestRecord]:
        """Return the latest requests, oldest first."""
        with self._changed:
            return list(self._record.log)

    def wait_for_requests(self, count: int, timeout: float) -> list[RequestRecord]:
        """Return the requests as soon as there are `count`; TimeoutError after `timeout` s."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._record.total >= count, timeout):
                raise TimeoutError(f"{self._record.total} requests after {timeout} s, not {count}")
            return list(self._record.log)

    def wait_for(self, condition: Callable[[Workspace], bool], timeout: float) -> bool:
        """Wait until a condition holds, looked at after each request; False after `timeout` s."""
        with self._changed:
            return self._changed.wait_for(lambda: condition(self._workspace), timeout)

    def _counters(self) -> JsonObject:
        return {
            **self._record.counters(),
            "duplicates": self._workspace.duplicates,
            "ignored": self._workspace.ignored_count,
        }
