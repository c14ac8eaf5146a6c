"""A browser without a window, and a web server with the pages that it visits."""

import json
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
    "--ignore-certificate-errors",  # nobody knows the authority of the tests
    "--no-first-run",
    "--remote-debugging-port=0",  # or the browser ends once the page is loaded
    "--enable-logging=stderr",
)


@frozen
class Pages:
    """A web server with the pages of this folder, and the packages that they load.

    A page says that it is done by a POST of what went wrong.
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
def visited(chromium: str, folder: Path, url: str) -> Iterator[None]:
    """Visit a page with a fresh profile; the browser goes on until the end of the block.

    A failure in the block shows what the pages have written to the console.
    """
    command = (chromium, *OPTIONS, f"--user-data-dir={folder / 'profile'}", url)
    log = folder / "browser.log"
    with log.open("w") as output, program(command, stdout=output, stderr=output):
        try:
            yield
        except Exception as error:
            lines = log.read_text("utf-8", "replace").splitlines()
            error.add_note("\n".join(line for line in lines if "CONSOLE" in line))
            raise
