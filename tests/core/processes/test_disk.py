"""A spool on a network file system is refused, one on another machine's disk comes with advice."""

import os
import resource
import subprocess
from pathlib import Path

import pytest

from tests.support import exit_status, in_fork
from walker_collector import SpoolError
from walker_collector.config import SpoolConfig
from walker_collector.spool.base import Deliveries, Lease
from walker_collector.spool.processes.disk import _MOUNTS, filesystem_of
from walker_collector.spool.processes.membership import file_keeper
from walker_collector.spool.sqlite import SqliteSpool

MOUNTS = r"""
22 27 0:20 / /proc rw,nosuid,nodev,noexec,relatime shared:13 - proc proc rw
27 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
40 27 0:45 / /mnt rw,relatime shared:20 - nfs4 server:/export rw,vers=4.2,addr=10.0.0.1
41 40 8:2 / /mnt/local rw,relatime - xfs /dev/sdb rw
42 27 0:46 / /srv/my\040share rw,relatime - cifs //server/share rw
43 27 0:47 / /var/lib/docker/overlay2/1/merged rw,relatime - overlay overlay rw,lowerdir=/l
44 27 0:48 / /run rw,nosuid shared:5 master:2 - tmpfs tmpfs rw,size=1k
45 44 0:49 / /run rw,relatime - 9p host rw,trans=virtio
46 27 0:50 / /home/me/remote rw,nosuid,nodev - fuse.sshfs me@host: rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/spool.db", "ext4"),
        ("/mnt/spool.db", "nfs4"),
        ("/mnt", "nfs4"),
        ("/mnt2/spool.db", "ext4"),
        ("/mnt/local/a/spool.db", "xfs"),
        ("/mnt/locally/spool.db", "nfs4"),
        ("/srv/my share/spool.db", "cifs"),
        ("/srv/my/spool.db", "ext4"),
        ("/var/lib/docker/overlay2/1/merged/spool.db", "overlay"),
        ("/run/spool.db", "9p"),
        ("/home/me/remote/a/b/spool.db", "fuse.sshfs"),
    ],
)
def test_file_system_is_that_of_the_nearest_mount(path: str, kind: str) -> None:
    assert filesystem_of(Path(path), MOUNTS) == kind


@pytest.mark.parametrize("mounts", ["", "\n", "27 1 8:1 /", "a b c d - e", "27 1 8:1 / / rw - "])
def test_file_system_is_unknown_without_a_list(mounts: str) -> None:
    assert filesystem_of(Path("/spool.db"), mounts) == ""


@pytest.mark.skipif(not _MOUNTS.exists(), reason="only Linux tells file systems")
def test_file_system_of_a_real_folder_is_what_the_system_says(tmp_path: Path) -> None:
    command = ["df", "--output=fstype", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    found = filesystem_of(tmp_path, _MOUNTS.read_text("utf-8"))
    assert done.stdout.split()[-1] == found


def mounted(path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a folder look as if it were a file system of a kind."""
    mounts = path.with_name("mounts")
    mounts.write_text(f"{MOUNTS}50 27 0:51 / {path} rw,relatime - {kind} there rw\n")
    monkeypatch.setattr("walker_collector.spool.processes.disk._MOUNTS", mounts)


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "fuse.sshfs"])
def test_spool_on_a_network_file_system_is_refused(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    config = SpoolConfig(path=str(folder / "spool.db"))
    SqliteSpool(config).close()
    mounted(folder, kind, monkeypatch)
    with pytest.raises(SpoolError, match=rf"network file system \({kind}\).*local disk"):
        SqliteSpool(config)
    SqliteSpool(config, read_only=True).close()  # what is there may be looked at
    (tmp_path / "link.db").symlink_to(folder / "spool.db")
    with pytest.raises(SpoolError, match="network file system"):
        SqliteSpool(SpoolConfig(path=str(tmp_path / "link.db")))


@pytest.mark.parametrize(
    ("kind", "told"),
    [("9p", True), ("virtiofs", True), ("ceph", True), ("overlay", False), ("tmpfs", False)],
)
def test_spool_that_other_machines_may_see_comes_with_advice(
    kind: str,
    told: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    mounted(folder, kind, monkeypatch)
    SqliteSpool(SpoolConfig(path=str(folder / "spool.db"))).close()
    assert (f"({kind}) that other machines may share" in caplog.text) == told


def test_leases_are_taken_on_a_full_disk_and_told_when_there_is_room(tmp_path: Path) -> None:
    spool, crm = tmp_path / "spool.db", Lease("crm", 0)
    deliveries = Deliveries(lambda lease: None, lambda lease: True)

    def child() -> None:
        most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, most))
        one = file_keeper(spool, ["crm"], 1, deliveries)
        one.look()
        assert one.holds(crm)  # what is delivered makes room
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        other = file_keeper(spool, ["crm"], 1, deliveries)
        assert sorted(member.pid for member in other.living()) == [0, os.getpid()]
        one.look()
        assert [member.pid for member in other.living()] == [os.getpid()] * 2
        assert other.holders([crm])[crm].token == one.token
        one.close()
        other.close()

    assert exit_status(in_fork(child)) == 0
