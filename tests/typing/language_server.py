"""A client of pyright's language server, which editors ask for errors and completions."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import Factory, define

from tests.support import ROOT, program

LIFETIME = 60.0


@define(eq=False)
class LanguageServer:
    """Speaks the language server protocol over pipes."""

    process: "subprocess.Popen[bytes]"
    diagnostics: dict[str, Sequence[Mapping[str, Any]]] = Factory(dict)
    """File -> what is reported there."""
    _answers: dict[int, Any] = Factory(dict)
    _sent: int = 0

    def ask(self, method: str, params: Mapping[str, Any]) -> Any:
        """Return the answer to a request."""
        self._sent += 1
        self._send({"id": self._sent, "method": method, "params": params})
        while self._sent not in self._answers:  # bounded: the program's lifetime
            self._receive()
        return self._answers[self._sent]

    def tell(self, method: str, params: Mapping[str, Any]) -> None:
        """Send what has no answer."""
        self._send({"method": method, "params": params})

    def open(self, path: Path, text: str | None = None) -> str:
        """Open a file in the editor; return its address."""
        document = {"languageId": "python", "version": 1, "uri": path.as_uri()}
        text = path.read_text("utf-8") if text is None else text
        self.tell("textDocument/didOpen", {"textDocument": {**document, "text": text}})
        return path.as_uri()

    def reported(self, uri: str) -> Sequence[Mapping[str, Any]]:
        """Return the errors in an open file."""
        while uri not in self.diagnostics:  # bounded: the program's lifetime
            self._receive()
        return self.diagnostics[uri]

    def _send(self, message: Mapping[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self.process.stdin
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.process.stdin.flush()

    def _receive(self) -> None:
        assert self.process.stdout
        length = 0
        while line := self.process.stdout.readline().strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        assert length, "the language server has ended"
        message = json.loads(self.process.stdout.read(length))
        if message.get("method") == "textDocument/publishDiagnostics":
            params = message["params"]
            self.diagnostics[params["uri"]] = params["diagnostics"]
        elif message.get("method") == "workspace/configuration":
            settings = [_settings(item.get("section")) for item in message["params"]["items"]]
            self._send({"id": message["id"], "result": settings})
        elif "method" in message and "id" in message:
            self._send({"id": message["id"], "result": None})
        elif "id" in message:
            self._answers[message["id"]] = message.get("result")


def _settings(section: str | None) -> dict[str, Any]:
    strict = {"reportUnnecessaryComparison": "error"}  # as mypy --strict has it
    analysis = {"diagnosticMode": "openFilesOnly", "diagnosticSeverityOverrides": strict}
    if section == "python.analysis":
        return analysis
    return {"pythonPath": sys.executable, "analysis": analysis} if section == "python" else {}


@contextmanager
def running(pyright: Path) -> Iterator[LanguageServer]:
    """Start the language server of an installed pyright for this project."""
    command = ["node", pyright / "langserver.index.js", "--stdio"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": False}
    with program(command, LIFETIME, **pipes) as process:
        server = LanguageServer(process)  # type: ignore[arg-type]  # of bytes, as `text` says
        capabilities = {"workspace": {"configuration": True}}
        folder = {"uri": ROOT.as_uri(), "name": "project"}
        server.ask(
            "initialize",
            {"processId": None, "capabilities": capabilities, "workspaceFolders": [folder]},
        )
        server.tell("initialized", {})
        yield server
