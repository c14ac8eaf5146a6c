"""A browser without a window, and a web server with the pages that it visits."""

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from typing import Any
from urllib.parse import urlencode

from attrs import frozen

from tests.support import program

HERE = Path(__file__).parent
OPTIONS = (
    "--headless",
    "--no-sandbox",  # of root, as in containers
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@frozen
class Pages:
    """A web server with the pages of this folder, and the packages that they load.

    A page says that it is done by a POST.
    """

    url: str
    done: "Queue[Any]"

    def address(self, page: str, **query: str) -> str:
        """Return the URL of a page."""
        return f"{self.url}/{page}?{urlencode(query)}"


@contextmanager
def serve_pages(packages: Path) -> Iterator[Pages]:
    """Serve the pages until the end of the block; `packages` is the folder with node_modules."""
    done: Queue[Any] = Queue()

    class Handler(SimpleHTTPRequestHandler):
        def translate_path(self, path: str) -> str:
            folder = packages if path.startswith("/node_modules/") else HERE
            return str(folder / path.partition("?")[0].lstrip("/"))

        def do_POST(self) -> None:
            done.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler)) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield Pages(f"http://127.0.0.1:{server.server_port}", done)
        finally:
            server.shutdown()


@contextmanager
def visited(chromium: str, profile: Path, url: str) -> Iterator[None]:
    """Visit a page with a fresh profile; the browser goes on until the end of the block."""
    command = (chromium, *OPTIONS, f"--user-data-dir={profile}", "--remote-debugging-port=0", url)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with program(command, **quiet):
        yield
