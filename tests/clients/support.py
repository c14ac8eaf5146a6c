"""A collector that is served in a process of its own, for clients that post to it."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import frozen

from tests.core.cli_support import objects, spawned, to_file, write_flow
from tests.support import PATIENCE, wait_until


@frozen
class Served:
    """A served flow. It writes all events to a file, those with consent to marketing to another."""

    folder: Path
    host: str
    process: "subprocess.Popen[str]"

    @property
    def url(self) -> str:
        """The address for walkerOS's clients."""
        return f"{self.host}/collect"

    def events(self, count: int, file: str = "all") -> list[dict[str, Any]]:
        """Return the delivered events, once there are so many of them; more are an error."""
        path = self.folder / f"{file}.ndjson"
        wait_until(lambda: _lines(path) >= count, f"{count} events in {path.name}")
        assert _lines(path) == count
        return objects(path.read_text("utf-8")) if count else []

    def stop(self) -> None:
        """End it as SIGTERM does: what it has accepted is delivered or held."""
        self.process.terminate()
        assert self.process.wait(PATIENCE) == 0


def _lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


@contextmanager
def served(folder: Path, **settings: Any) -> Iterator[Served]:
    """Serve a flow with a spool on disk until the end of the block, or until it is stopped."""
    flow = write_flow(
        folder,
        {
            "all": to_file(folder / "all.ndjson"),
            "marketing": to_file(folder / "marketing.ndjson", consent={"marketing": True}),
        },
        spool={"path": "spool.db"},
    )
    source = {"package": "http", "config": {"settings": {"port": 0, **settings}}}
    flow.write_text(json.dumps({**json.loads(flow.read_text()), "sources": {"web": source}}))
    with spawned("serve", flow, cwd=folder) as process:
        assert process.stderr is not None
        started = process.stderr.readline()
        assert started.startswith("web: http"), started + process.stderr.read()
        collector = Served(folder, started.split()[1].removesuffix("/collect"), process)
        yield collector
        if process.poll() is None:
            collector.stop()
