"""A signal while a command waits for the server of its spool."""

import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support import program


@pytest.mark.parametrize("command", [["deliver"], ["spool", "status"]])
def test_ctrl_c_ends_a_start_that_waits_for_a_server(tmp_path: Path, command: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)
        url = f"postgresql://shop:word@127.0.0.1:{server.getsockname()[1]}/shop"
        flow = tmp_path / "flow.json"
        flow.write_text(
            json.dumps(
                {
                    "collector": {"spool": {"url": url}},
                    "destinations": {"log": {"package": "console"}},
                }
            )
        )
        words = [sys.executable, "-m", "walker_collector", *command, flow]
        with program(words, stderr=subprocess.PIPE) as process:
            connection, _ = server.accept()  # it gets no answer
            with connection:
                began = time.monotonic()
                process.send_signal(signal.SIGINT)
                assert process.wait(20) == 130
                assert time.monotonic() - began < 3  # it waits for 5 s for an answer
