"""The sources that come with the collector keep the contract that plugins are held to."""

import http.client
import json
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import pytest

from walker_collector.sources.file.file_source import FileSource
from walker_collector.sources.http.source import HttpSource
from walker_collector.testing import Sender, SourceContract


class Client:
    """Posts events to a source, and keeps what it is told."""

    def __init__(self) -> None:
        self.acknowledged: list[int] = []
        self.refused: list[int] = []
        self._lock = threading.Lock()

    def send(self, place: str, numbers: Sequence[int]) -> None:
        events = [{"name": "page view", "data": {"number": number}} for number in numbers]
        status, answer = self.post(place, events[0] if len(events) == 1 else events)
        failed = [error["index"] for error in answer.get("errors", [])]
        with self._lock:
            if status == 200:
                self.acknowledged += numbers
            elif status == 207:
                self.refused += [numbers[at] for at in failed]
                self.acknowledged += [n for at, n in enumerate(numbers) if at not in failed]
            else:
                self.refused += numbers

    def send_bad(self, place: str) -> str:
        status, answer = self.post(place, "no event")
        assert status == 400
        return str(answer["error"])

    def post(self, place: str, body: Any) -> tuple[int, Any]:
        url = urlsplit(place)
        connection = http.client.HTTPConnection(url.netloc, timeout=10)
        try:
            connection.request(
                "POST", url.path, json.dumps(body), {"Content-Type": "application/json"}
            )
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()


class TestHttp(SourceContract):
    plugin = HttpSource
    package = "http"
    bad_settings: ClassVar = {"port": 70_000, "maxBatch": 0}

    @pytest.fixture
    def sender(self) -> Sender:
        client = Client()
        return Sender(
            settings={"port": 0},
            send=client.send,
            acknowledged=lambda: client.acknowledged,
            refused=lambda: client.refused,
            send_bad=client.send_bad,
        )

    def test_credentials_are_secrets(self) -> None:
        """The setting tlsKey names a file."""


class Pipe:
    """A named pipe that somebody writes lines to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)
        # For reading too: so it opens at once.
        self._file = open(path, "r+b", buffering=0)  # noqa: SIM115  # closed by close()
        self._lock = threading.Lock()

    def send(self, place: str, numbers: Sequence[int]) -> None:
        lines = [json.dumps({"name": "page view", "data": {"number": n}}) for n in numbers]
        self.write("\n".join(lines))

    def send_bad(self, place: str) -> None:
        self.write('{"name": ')

    def write(self, text: str) -> None:
        with self._lock:
            self._file.write(text.encode() + b"\n")

    def close(self) -> None:
        self._file.close()


class TestFile(SourceContract):
    plugin = FileSource
    package = "file"
    bad_settings: ClassVar = {"path": ""}

    @pytest.fixture
    def sender(self, tmp_path: Path) -> Iterator[Sender]:
        pipe = Pipe(tmp_path / "pipe")
        yield Sender(settings={"path": str(pipe.path)}, send=pipe.send, send_bad=pipe.send_bad)
        pipe.close()
