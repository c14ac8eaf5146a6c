"""The destinations that come with the collector keep the contract that plugins are held to."""

import json
import sys
from collections.abc import Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import pytest

from walker_collector.destinations.console import ConsoleDestination
from walker_collector.destinations.file import FileDestination
from walker_collector.destinations.http import HttpDestination
from walker_collector.testing import Backend, DestinationContract, Events, Recorder
from walker_collector.testing.contract.secrecy_contract import Output
from walker_collector.testing.recorder import RecorderDestination


def without_id(id: str, events: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """What the event of this id has in common with others of the builder."""
    event = next(event for event in events if event["id"] == id)
    own = ("id", "timestamp", "timing", "source")
    return {key: value for key, value in event.items() if key not in own}


class TestConsole(DestinationContract):
    plugin = ConsoleDestination
    package = "console"
    bad_settings: ClassVar = {"format": "xml", "stream": "stdlog"}

    @pytest.fixture
    def backend(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> Backend:
        events: list[dict[str, Any]] = []

        def received() -> list[str]:
            events.extend(json.loads(line) for line in capsys.readouterr().out.splitlines())
            return [event["id"] for event in events]

        def close() -> None:
            closed = open("/dev/null", "w")  # noqa: SIM115  # it is to be found closed
            closed.close()
            monkeypatch.setattr(sys, "stdout", closed)

        return Backend(
            settings={"format": "ndjson"},
            received=received,
            content=lambda id: without_id(id, events),
            down=close,
            recover=monkeypatch.undo,
        )

    def test_no_personal_data_is_printed(self, output: Output) -> None:
        """Printing events is what it is for."""
        assert output.reasons or "ann.user@example.org" in output.printed


class TestFile(DestinationContract):
    plugin = FileDestination
    package = "file"
    bad_settings: ClassVar = {"path": "", "maxBytes": 0, "keep": 0}

    @pytest.fixture
    def backend(self, tmp_path: Path) -> Backend:
        folder, aside = tmp_path / "logs", tmp_path / "aside"
        folder.mkdir()
        path = folder / "events.ndjson"

        def fill_disk() -> None:
            folder.rename(aside)
            folder.mkdir()
            path.symlink_to("/dev/full")

        def remove_folder() -> None:
            folder.rename(aside)

        def restore() -> None:
            path.unlink(missing_ok=True)
            aside.rename(folder)

        def kept() -> list[dict[str, Any]]:
            lines = path.read_text().splitlines() if path.exists() else []
            return [json.loads(line) for line in lines]

        return Backend(
            settings={"path": str(path)},
            received=lambda: [event["id"] for event in kept()],
            content=lambda id: without_id(id, kept()),
            retry=fill_disk,
            down=remove_folder,
            recover=restore,
        )


class Web:
    """A web server that keeps the events it takes, and answers with the status it is told."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.status = 200
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://user:url-secret@127.0.0.1:{self._server.server_port}/in?key=query-key"

    def __enter__(self) -> "Web":
        Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, status: int) -> None:
        self.status = status

    def _take(self, body: Any) -> int:
        events = body if isinstance(body, list) else [body]
        if any(event["name"] == "order refused" for event in events):
            return 422
        if self.status == 200:
            self.events.extend(events)
        return self.status

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        web = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                if web.status == 0:  # away: the connection breaks without an answer
                    self.close_connection = True
                    return
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(web._take(body))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_HEAD(self) -> None:
                self.send_response(web.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        return Handler


class HttpContract(DestinationContract):
    plugin = HttpDestination
    package = "http"
    bad_settings: ClassVar = {"url": "ftp://example.org", "timeout": 0, "method": "GET"}
    settings: ClassVar[dict[str, Any]] = {}
    reject: ClassVar[dict[str, Any] | None] = None

    @pytest.fixture
    def backend(self) -> Iterator[Backend]:
        with Web() as web:
            yield Backend(
                settings={"url": web.url, "headers": {"X-Token": "head-secret"}, **self.settings},
                received=lambda: [event["id"] for event in web.events],
                content=lambda id: without_id(id, web.events),
                reject=self.reject,
                retry=lambda: web.answer(503),
                down=lambda: web.answer(401),
                unreachable=lambda: web.answer(0),
                recover=lambda: web.answer(200),
            )


class TestHttpOneByOne(HttpContract):
    reject: ClassVar = {"name": "order refused"}


class TestHttpInLists(HttpContract):
    settings: ClassVar = {"batch": True}


class TestRecorder(DestinationContract):
    plugin = RecorderDestination

    @pytest.fixture
    def backend(self) -> Backend:
        recorder = Recorder()
        return Backend(
            settings={},
            config={"env": {"recorder": recorder}},
            received=lambda: [event["id"] for event in recorder.events],
            content=lambda id: [
                each.data if isinstance(each.data, dict) else without_id(id, [each.event])
                for each in recorder.deliveries
                if each.event["id"] == id
            ],
        )

    def test_rule_with_skip_leaves_out_the_default_call(
        self, backend: Backend, event: Events
    ) -> None:
        """A recorder keeps what its destination was told, and `rule.skip` is part of that."""
        with self.harness_of(backend, mapping={"*": {"*": {"skip": True}}}) as harness:
            harness.deliver(event())
        assert list(backend.received()) == ["e1"]

    def test_simulate_leaves_out_the_default_call_of_a_rule_with_skip(
        self, backend: Backend, event: Events
    ) -> None:
        harness = self.harness_of(backend, mapping={"*": {"*": {"skip": True}}})
        assert [call[0] for call in harness.simulate(event())] == ["record"]
