"""A service that events are posted to, and that refuses them until it is healed."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from attrs import define, field


@define
class Hook:
    """The service: its address, whether it takes events, and those that it has taken."""

    url: str = ""
    healthy: bool = False
    taken: list[Any] = field(factory=list)


@contextmanager
def hook_server() -> Iterator[Hook]:
    """Serve until the end of the block."""
    hook = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if hook.healthy:
                hook.taken.append(body)
            self.send_response(204 if hook.healthy else 422)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        hook.url = f"http://127.0.0.1:{server.server_port}/events"
        try:
            yield hook
        finally:
            server.shutdown()
