"""The disk of a spool: a network file system has neither its locks nor its shared memory.

Locks of NFS are those of POSIX in disguise: they go when a process closes any descriptor of a lock
file. Memory that is mapped is each machine's own, as SQLite says of its log as well.
"""

import logging
import re
from pathlib import Path
from typing import Final

from walker_collector.errors import SpoolError

_MOUNTS: Final = Path("/proc/self/mountinfo")
"""The mounted file systems on Linux. Other systems do not tell them in a file."""
_TYPE: Final = re.compile(r"^\S+ \S+ \S+ \S+ (?P<point>\S+) .*? - (?P<type>\S+) ", re.MULTILINE)
_ESCAPED: Final = re.compile(r"\\([0-7]{3})")
_NETWORK: Final = re.compile(
    r"afs|cifs|coda|davfs|ncpfs|nfs4?|smb3|smbfs"
    r"|fuse\.(curlftpfs|davfs2?|gcsfuse|goofys|rclone|s3fs|smbnetfs|sshfs)"
)
_SHARED: Final = re.compile(
    r"9p|beegfs|ceph|fakeowner|gfs2|glusterfs|gpfs|lustre|ocfs2|orangefs|prl_fs|vboxsf|virtiofs"
    r"|vmhgfs|fuse\.(ceph|ceph-fuse|glusterfs|grpcfuse|osxfs|vmhgfs-fuse)"
)
"""File systems of clusters, and of the host of a virtual machine: right within one machine."""

logger = logging.getLogger("walker_collector")


def require_local_disk(spool: Path) -> None:
    """Raise SpoolError for a spool on a network file system; warn where another machine may see it.

    Only Linux tells.
    """
    kind = filesystem_of(spool, _mounts())
    if _NETWORK.fullmatch(kind):
        raise SpoolError(
            f"spool {spool}: it is on a network file system ({kind}), whose locks are not those of "
            "a disk: events could be lost or sent twice. Put it on a local disk, or leave "
            "collector.spool out, and events wait in memory"
        )
    if _SHARED.fullmatch(kind):
        logger.warning(
            "spool %s: it is on a file system (%s) that other machines may share; use it from this "
            "one alone, and better from a local disk",
            spool,
            kind,
        )


def filesystem_of(path: Path, mounts: str) -> str:
    """Return the type of the file system of an absolute path; "" if it is not told.

    `mounts` is text in the format of /proc/self/mountinfo.
    """
    kind, longest = "", -1
    for found in _TYPE.finditer(mounts):
        point = _ESCAPED.sub(lambda digits: chr(int(digits[1], 8)), found["point"])
        # Of several on one point the last is seen.
        if path.is_relative_to(point) and len(point) >= longest:
            kind, longest = found["type"], len(point)
    return kind


def _mounts() -> str:
    try:
        return _MOUNTS.read_text("utf-8", "surrogateescape")
    except OSError:
        return ""
