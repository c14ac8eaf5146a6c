"""Processes of other users and of other containers: locks tell who lives, process ids do not."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.core.cli_support import walker, write_flow
from tests.core.processes.shop import NOBODY, delivered, shop
from tests.support import exit_status, in_fork, wait_until
from walker_collector.spool.processes.files import locks_folder
from walker_collector.spool.processes.members import Members

USER = {"id": "u1"}
CONTAINER = ("unshare", "--pid", "--fork", "--kill-child")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")


def has_namespaces() -> bool:
    try:
        done = subprocess.run([*CONTAINER, "true"], capture_output=True, timeout=20)
    except OSError:
        return False
    return done.returncode == 0


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that everybody may write to; those of pytest are their owner's alone."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


@pytest.mark.skipif(not has_namespaces(), reason="needs namespaces of process ids")
def test_containers_that_share_a_volume_deliver_once_and_take_over(tmp_path: Path) -> None:
    with shop(tmp_path, within=CONTAINER) as one, shop(tmp_path, within=CONTAINER) as other:
        one.do("consent", [USER, True])
        for n in range(10):
            (one, other)[n % 2].do("push", [USER, n])
        assert other.do("flush", 20)
        assert [(pid, n) for pid, _, n in delivered(tmp_path)] == [(1, n) for n in range(10)]
        (tmp_path / "slow").touch()
        one.do("push", [USER, 10])
        wait_until(lambda: "u1 10" in (tmp_path / "began").read_text())
        assert other.do("consent", [USER, False]) == [1]  # the call of another process 1
        (tmp_path / "slow").unlink()
        assert one.do("flush", 20)
        other.do("consent", [USER, True])
        for each in (one, other):  # the holder of the lease is among them
            each.process.send_signal(signal.SIGKILL)
            each.process.wait(timeout=20)
    with shop(tmp_path, within=CONTAINER) as third:
        began = time.monotonic()
        third.do("push", [USER, 11])
        assert third.do("flush", 20)
        assert time.monotonic() - began < 2
    assert [n for _, _, n in delivered(tmp_path)] == list(range(12))


@needs_root
@pytest.mark.parametrize("running", [True, False])
def test_commands_of_root_leave_the_spool_to_its_owner(running: bool, public: Path) -> None:
    flow = write_flow(
        public, {"out": {"package": "console"}}, spool={"path": str(public / "spool.db")}
    )
    with shop(public, "nobody") as first:
        first.do("consent", [USER, True])
        assert first.do("push", [USER, 0]) == ["accepted"]
        if running:
            commands_of_root(flow)
            assert first.do("push", [USER, 1]) == ["accepted"]
        assert first.do("flush", 20)
    if not running:
        for path in (public / "spool.db.locks").iterdir():
            path.unlink()
        (public / "spool.db.locks").rmdir()
        commands_of_root(flow)
    assert {path.stat().st_uid for path in public.rglob("*") if path != flow} == {NOBODY}
    with shop(public, "nobody") as second:
        assert second.do("push", [USER, 2]) == ["accepted"]
        assert second.do("flush", 20)
    assert [n for _, _, n in delivered(public)] == ([0, 1, 2] if running else [0, 2])


@needs_root
def test_a_file_of_another_user_does_not_stop_a_look_at_the_living(public: Path) -> None:
    spool = public / "spool.db"
    folder = locks_folder(spool)
    folder.chmod(0o777)
    (folder / "0.process").touch(0o600)

    def child() -> None:
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        members = Members(spool, ["crm"])
        assert [member.pid for member in members.living()] == [os.getpid()]
        members.close()

    assert exit_status(in_fork(child)) == 0


def commands_of_root(flow: Path) -> None:
    for command in (
        ("spool", "status", flow),
        ("dead", "list", flow),
        ("forget", flow, "--user-id", "u2"),
        ("dead", "drop", flow, "--all", "--yes"),
        ("validate", flow),
    ):
        done = walker(*command)
        assert done.exit_code == 0, done.output
    assert (flow.parent / "spool.db.locks").is_dir()
