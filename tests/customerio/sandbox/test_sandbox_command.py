"""`python -m walker_dest_customerio.sandbox`, as a process and in this one."""

import importlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.support import program
from walker_dest_customerio import sandbox as package
from walker_dest_customerio.sandbox import Sandbox, __main__

COMMAND = [sys.executable, "-m", "walker_dest_customerio.sandbox"]
ROOT = Path(__file__).parents[3]
# A missing package, for one process.
WITHOUT_AIOHTTP = (
    "import runpy, sys; sys.modules['aiohttp'] = None; "
    "runpy.run_module('walker_dest_customerio.sandbox', run_name='__main__')"
)


@pytest.fixture
def _signals() -> Iterator[None]:
    """Put back the handlers that the command replaces."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def run_here(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, str]:
    """Run the command in this process until it has printed, then interrupt it."""
    printed: list[str] = []

    def show(text: str, **options: object) -> None:
        printed.append(text)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(__main__, "print", show, raising=False)
    return __main__.main(["--port", "0", *arguments]), printed[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_process_serves_until_a_signal_and_exits_0(tmp_path: Path, number: signal.Signals) -> None:
    ca_file = str(tmp_path / "ca.pem")
    arguments = ["--port", "0", "--json", "--ca-file", ca_file, "--api-key", "k3y"]
    with program(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    ) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert told["caFile"] == ca_file
        assert told["apiKey"] == told["environment"]["CIO_API_KEY"] == "k3y"
        with requests.Session() as session:
            session.trust_env = False
            answer = session.get(told["stateUrl"], verify=told["caFile"], timeout=10)
        assert answer.json()["people"] == {}
        process.send_signal(number)
        output, errors = process.communicate(timeout=10)
    assert (process.returncode, output, errors) == (0, "", "")


@pytest.mark.usefixtures("_signals")
def test_printed_exports_can_be_pasted_and_evaluated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ca_file = tmp_path / "my ca.pem"
    _, text = run_here(monkeypatch, "--ca-file", str(ca_file))
    exports = [line for line in text.splitlines() if line.startswith("export ")]
    shell = "\n".join((*exports, 'echo "$CIO_SITE_ID $CIO_CA_FILE"'))
    told = subprocess.run(
        ["sh", "-c", shell], capture_output=True, text=True, check=True, timeout=60
    )
    assert told.stdout == f"sandbox-site {ca_file}\n"


def test_missing_extra_is_named() -> None:
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT_AIOHTTP],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=ROOT,
    )
    assert result.returncode == 1
    assert "aiohttp" in result.stderr
    assert "walker-dest-customerio[sandbox]" in result.stderr
    assert "Traceback" not in result.stderr


def test_missing_extra_is_noted_on_import_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trustme", None)
    for name in ("background", "certificates"):
        monkeypatch.delitem(sys.modules, f"walker_dest_customerio.sandbox.{name}")
    with pytest.raises(ModuleNotFoundError) as caught:
        importlib.reload(package).Sandbox  # noqa: B018
    assert caught.value.__notes__ == ["pip install 'walker-dest-customerio[sandbox]'"]


@pytest.mark.usefixtures("_signals")
def test_text_shows_urls_credentials_and_exports(monkeypatch: pytest.MonkeyPatch) -> None:
    code, text = run_here(monkeypatch, "--site-id", "s1te", "--latency", "5")
    assert code == 0
    assert "Track API    https://127.0.0.1:" in text
    assert "export CIO_SITE_ID=s1te\n" in text
    assert "export CIO_TRACK_URL=https://127.0.0.1:" in text
    assert "/sandbox/state" in text


@pytest.mark.usefixtures("_signals")
def test_json_is_one_object(monkeypatch: pytest.MonkeyPatch) -> None:
    code, text = run_here(monkeypatch, "--json", "--allow-email-change")
    assert code == 0
    assert json.loads(text)["siteId"] == "sandbox-site"


@pytest.mark.usefixtures("_signals")
def test_taken_port_is_told_in_one_line(
    sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    assert __main__.main(["--port", str(sandbox.port)]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert f"cannot start on 127.0.0.1:{sandbox.port}" in error


@pytest.mark.usefixtures("_signals")
def test_ca_file_that_cannot_be_written_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert __main__.main(["--port", "0", "--ca-file", "/nowhere/at/all/ca.pem"]) == 1
    assert "/nowhere/at/all/ca.pem" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["--port", "x"], ["--port", "65536"], ["--latency", "-1"], ["--nonsense"]]
)
def test_wrong_arguments_exit_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        __main__.main(arguments)
    assert "usage:" in capsys.readouterr().err


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        __main__.main(["--help"])
    shown = capsys.readouterr().out
    assert "examples:" in shown
    assert "/sandbox/faults" in shown
