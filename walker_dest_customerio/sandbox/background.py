"""The sandbox, on a thread of this process."""

import asyncio
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Self

from walker_dest_customerio.sandbox.certificates import server_context
from walker_dest_customerio.sandbox.faults import Fault, fault_from
from walker_dest_customerio.sandbox.received import JsonObject
from walker_dest_customerio.sandbox.sandbox_state import SandboxState
from walker_dest_customerio.sandbox.server import Server
from walker_dest_customerio.sandbox.service import Credentials, Service

SITE_ID = "sandbox-site"
API_KEY = "sandbox-api-key"
APP_API_KEY = "sandbox-app-api-key"
_EVERYWHERE = {"0.0.0.0", "::", ""}


class Sandbox(SandboxState):
    """A local Customer.io: Track v1 and v2 and the transactional App API over TLS, on one port.

        with Sandbox() as sandbox:
            client = CustomerIO(sandbox.site_id, sandbox.api_key, host=sandbox.track_url)
            client.http.verify = sandbox.ca_file
            client.http.trust_env = False   # else REQUESTS_CA_BUNDLE overrules `verify`

    host, port: the address to listen on; port 0 takes a free one.
    site_id, api_key, app_api_key: the credentials of clients.
    ca_file: a file for the CA's PEM; by default a temporary one, removed at the end.
    latency_ms: a delay for every API request.
    clock: returns the time (unix s) for timestamps, and for the order of attribute updates.
    region: the answer of /api/v1/accounts/region.
    allow_email_change: the workspace setting "Allow updates to email using ID".

    Its state is in the properties of `SandboxState`.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        site_id: str = SITE_ID,
        api_key: str = API_KEY,
        app_api_key: str = APP_API_KEY,
        ca_file: str | Path | None = None,
        latency_ms: float = 0.0,
        clock: Callable[[], float] = time.time,
        region: str = "us",
        allow_email_change: bool = False,
    ) -> None:
        self.host = host
        self.port = port
        self.site_id = site_id
        self.api_key = api_key
        self.app_api_key = app_api_key
        self.latency_ms = latency_ms
        self._ca_file = None if ca_file is None else Path(ca_file)
        credentials = Credentials(site_id, api_key, app_api_key)
        super().__init__(Service(credentials, clock, region, allow_email_change))
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._tls: ssl.SSLContext | None = None
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: Server | None = None
        self._stopping: asyncio.Event | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def start(self) -> None:
        """Listen, on a background thread. Returns when clients can connect.

        After `stop`, listens on the same port again, with the same certificate and state.
        Raises OSError if the address is not available, or the CA file cannot be written.
        """
        tls = self._certified()
        ready: Future[int] = Future()
        thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(tls, ready)),
            name="customerio-sandbox",
            daemon=True,
        )
        thread.start()
        try:
            self.port = ready.result()
        except OSError:
            thread.join()
            self.close()
            raise
        self._thread = thread

    def stop(self) -> None:
        """Stop listening and end hanging requests; state and faults stay until the next `start`."""
        if self._thread is not None and self._loop is not None and self._stopping is not None:
            self._loop.call_soon_threadsafe(self._stopping.set)
            self._thread.join()
            self._thread = None

    def close(self) -> None:
        """Stop, and remove the CA file if it was a temporary one."""
        self.stop()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = self._ca_file = self._tls = None

    def _certified(self) -> ssl.SSLContext:
        """Return the TLS context, created at the first start together with the CA file."""
        if self._ca_file is None:
            self._folder = tempfile.TemporaryDirectory(prefix="customerio-sandbox-")
            self._ca_file = Path(self._folder.name) / "ca.pem"
        if self._tls is None:
            self._tls = server_context(self._names(), self._ca_file)
        return self._tls

    async def _serve(self, tls: ssl.SSLContext, ready: "Future[int]") -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        self._server = Server(self._service, self.latency_ms)
        try:
            port = await self._server.start(self.host, self.port, tls)
        except OSError as error:
            ready.set_exception(error)
            return
        ready.set_result(port)
        await self._stopping.wait()
        await self._server.close()

    def _names(self) -> list[str]:
        """Return the host names of the certificate."""
        names = {"127.0.0.1", "::1", "localhost", socket.gethostname(), self.host}
        return sorted(names - _EVERYWHERE)

    @property
    def track_url(self) -> str:
        """The base URL of Track v1 (/api/v1) and v2 (/api/v2)."""
        host = "127.0.0.1" if self.host in _EVERYWHERE else self.host
        return f"https://[{host}]:{self.port}" if ":" in host else f"https://{host}:{self.port}"

    @property
    def api_url(self) -> str:
        """The base URL of the App API (/v1/send), on the same port."""
        return self.track_url

    @property
    def state_url(self) -> str:
        """The URL to read (GET) and clear (DELETE) the state, without credentials."""
        return f"{self.track_url}/sandbox/state"

    @property
    def ca_file(self) -> str:
        """The PEM file of the CA that clients must trust."""
        return str(self._ca_file)

    def settings(self) -> dict[str, str]:
        """Return settings of the Customer.io destination that send to this sandbox."""
        return {
            "siteId": self.site_id,
            "apiKey": self.api_key,
            "appApiKey": self.app_api_key,
            "trackUrl": self.track_url,
            "apiUrl": self.api_url,
            "caFile": self.ca_file,
        }

    def environment(self) -> dict[str, str]:
        """Return the settings as the environment variables that examples name."""
        return {
            "CIO_SITE_ID": self.site_id,
            "CIO_API_KEY": self.api_key,
            "CIO_APP_API_KEY": self.app_api_key,
            "CIO_TRACK_URL": self.track_url,
            "CIO_API_URL": self.api_url,
            "CIO_CA_FILE": self.ca_file,
        }

    def fault(self, kind: str, **options: Any) -> Fault:
        """Add a fault after those in force; `options` are the fields of `Fault`.

        It hits one request unless `times` is given. Raises FaultError if it is invalid.
        """
        fault = fault_from({"kind": kind, **options})
        self._service.add_faults([fault])
        return fault

    def faults(self) -> list[JsonObject]:
        """Return the faults in force, each with the number of hits that remain (`remaining`)."""
        return self._service.faults()

    def clear_faults(self) -> None:
        """Remove all faults and end the requests that hang."""
        self._service.clear_faults()
        if self._thread is not None and self._loop is not None and self._server is not None:
            self._loop.call_soon_threadsafe(self._server.release)

    def reset(self) -> None:
        """Clear state, requests and counters; faults stay in force."""
        self._service.reset()
