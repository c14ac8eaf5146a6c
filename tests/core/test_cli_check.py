"""`walker check`: what is wrong with address and credentials, before the first event."""

import os
import threading
from pathlib import Path
from typing import Any

import attrs
import pytest

from tests.core.cli_support import objects, serving, to_file, to_server, walker, write_flow
from walker_collector import Collector, Context, DestinationDown, Secret, hookimpl
from walker_collector.checking import Checked, check_destinations
from walker_collector.flow import load_flow
from walker_collector.plugins import Registry


def test_each_destination_has_a_line_and_what_is_wrong_a_remedy(tmp_path: Path) -> None:
    with serving(204, asked=True) as server:
        gone = to_file(tmp_path / "no such folder" / "out")
        flow = write_flow(
            tmp_path,
            {
                "hook": to_server(server.url),
                "gone": gone,
                "out": to_file(tmp_path / "out"),
                "lines": {"package": "console"},
                "off": to_server(server.url, disabled=True),
            },
        )
        result = walker("check", flow)
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        "hook: ok",
        "gone: wrong",
        f"    {tmp_path}/no such folder: no such folder; make it, or set path to a file elsewhere",
        "out: ok",
        "lines: not checked (console cannot be checked)",
        "off: not checked (it is disabled)",
    ]
    assert server.bodies == []
    assert not (tmp_path / "out").exists()


def test_json_has_the_same(tmp_path: Path) -> None:
    flow = write_flow(tmp_path, {"out": to_file(tmp_path / "out"), "x": {"package": "console"}})
    result = walker("check", flow, "--json")
    assert result.exit_code == 0
    assert objects(result.stdout) == [
        {
            "ok": True,
            "destinations": {
                "out": {"status": "ok", "reasons": []},
                "x": {"status": "not checked", "reasons": ["console cannot be checked"]},
            },
        }
    ]


def with_spool(folder: Path, spool: Path) -> Path:
    return write_flow(folder, {"out": to_file(folder / "out")}, spool={"path": str(spool)})


def test_spool_is_opened_and_a_new_one_is_not_made(tmp_path: Path) -> None:
    flow = with_spool(tmp_path, tmp_path / "spool.db")
    assert walker("check", flow).stdout.splitlines() == ["collector.spool: ok", "out: ok"]
    assert list(tmp_path.iterdir()) == [flow]
    with Collector.from_file(flow) as collector:
        collector.push("page view")
        assert objects(walker("check", flow, "--json").stdout) == [
            {
                "ok": True,
                "spool": {"status": "ok", "reasons": []},
                "destinations": {"out": {"status": "ok", "reasons": []}},
            }
        ]


@pytest.mark.skipif(
    not Path("/proc/self").exists(), reason="a folder that takes no files of anybody"
)
def test_spool_that_cannot_be_made_is_told_as_by_run(tmp_path: Path) -> None:
    flow = with_spool(tmp_path, Path("/proc/spool.db"))
    result = walker("check", flow)
    assert result.exit_code == 1
    told = (
        "spool /proc/spool.db: no file can be made in /proc; give the process a folder and file"
        " that it may write to"
    )
    assert result.stdout.splitlines() == ["collector.spool: wrong", f"    {told}", "out: ok"]
    assert walker("run", flow).stderr == f"Error: {told}\n"


def test_file_that_is_no_spool_is_told_and_left_alone(tmp_path: Path) -> None:
    spool = tmp_path / "spool.db"
    spool.write_text("somebody's notes")
    result = walker("check", with_spool(tmp_path, spool))
    assert result.exit_code == 1
    assert "file is not a database" in result.stdout
    assert spool.read_text() == "somebody's notes"


def test_flow_that_cannot_be_loaded_is_told(tmp_path: Path) -> None:
    flow = write_flow(tmp_path, {"out": {"package": "file"}})
    result = walker("check", flow)
    assert (result.exit_code, "settings.path" in result.stderr) == (1, True)


# --- plugins -----------------------------------------------------------------------------------


@attrs.frozen
class Settings:
    token: Secret


class Sink:
    """A destination whose check does as its name says."""

    settings = Settings

    @hookimpl
    def push(self, event: Any) -> None: ...


class Returns(Sink):
    @hookimpl
    def check(self, context: Context) -> list[str]:
        return ["first", "the token " + context.settings.token.reveal()]


class Raises(Sink):
    @hookimpl
    def check(self) -> None:
        raise DestinationDown("the service answered 401; set settings.token")


class Breaks(Sink):
    @hookimpl
    def check(self) -> None:
        raise ZeroDivisionError("ann@example.org")


class Hangs(Sink):
    released = threading.Event()

    @hookimpl
    def check(self) -> None:
        self.released.wait(30)


class Passes(Sink):
    @hookimpl
    def init(self) -> None:
        raise AssertionError("a check is made without init")

    @hookimpl
    def check(self) -> None:
        print("not on stdout")


def checked(*plugins: type, within: float = 20) -> dict[str, Checked]:
    registry = Registry()
    for plugin in plugins:
        registry.register(plugin.__name__.lower(), plugin)
    names = [plugin.__name__.lower() for plugin in plugins]
    config = {"settings": {"token": "s3cr3t-of-the-service"}}
    entries = {name: {"package": name, "config": config} for name in names}
    flow = load_flow({"destinations": entries}, registry=registry)
    return check_destinations(flow, within)


def test_results_of_plugins_are_shown_without_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    found = checked(Returns, Raises, Breaks, Passes, Sink)
    assert found["returns"] == Checked("wrong", ("first", "the token ***"))
    assert found["raises"] == Checked("wrong", ("the service answered 401; set settings.token",))
    (reason,) = found["breaks"].reasons
    assert reason.startswith("ZeroDivisionError at ")
    assert "ann@" not in reason
    assert found["passes"] == Checked("ok")
    assert found["sink"].status == "not checked"
    assert capsys.readouterr().out == ""


def test_check_that_hangs_is_given_up() -> None:
    try:
        found = checked(Hangs, Passes, within=0.2)
    finally:
        Hangs.released.set()
    assert found["hangs"] == Checked("wrong", ("no answer within 0.2 s",))
    assert found["passes"] == Checked("ok")


# --- file and http -----------------------------------------------------------------------------


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folder_without_rights_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    flow = load_flow({"destinations": {"out": to_file(tmp_path / "out")}})
    assert "may not write there" in check_destinations(flow)["out"].reasons[0]


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (200, None),
        (301, "answered 301: redirects are not followed; set url to where it points"),
        (401, "answered 401: the credentials were not accepted; check headers and url"),
        (404, "answered 404: nothing is there; check url"),
        (503, "answered 503"),
    ],
)
def test_http_is_asked_without_an_event(status: int, told: str | None) -> None:
    with serving(status, asked=True) as server:
        flow = load_flow({"destinations": {"hook": to_server(server.url)}})
        found = check_destinations(flow)["hook"]
    assert found.reasons == (() if told is None else (f"{server.url} {told}",))
    assert server.bodies == []


@pytest.mark.parametrize("status", [400, 405, 501])
def test_service_that_takes_events_only_is_reachable(status: int, tmp_path: Path) -> None:
    with serving(status, asked=True) as server:
        flow = write_flow(tmp_path, {"hook": to_server(server.url)})
        result, as_json = walker("check", flow), walker("check", flow, "--json")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "hook: reachable, key not tested",
        f"    {server.url} answered {status} to HEAD; an event will show whether path and "
        "credentials are right",
    ]
    (told,) = objects(as_json.stdout)
    assert (told["ok"], told["destinations"]["hook"]["status"]) == (True, "reachable")
    assert server.bodies == []


def test_http_host_without_an_address_is_named() -> None:
    flow = load_flow({"destinations": {"hook": to_server("https://nowhere.invalid/in")}})
    (reason,) = check_destinations(flow)["hook"].reasons
    assert reason.startswith("cannot resolve nowhere.invalid: ")
