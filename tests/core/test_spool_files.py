"""The files of a spool: one spool by every way to them, and nothing stored that is not there."""

import contextlib
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.core.cli_support import to_file, walker, write_flow
from tests.core.support import (
    MARKETING,
    PATIENCE,
    Record,
    config,
    event,
    flow,
    guarded,
    in_threads,
    one,
    plugin,
    running,
)
from tests.support import program, python, wait_until
from walker_collector import Collector, PushContext, SpoolError
from walker_collector.cli.spool_access import is_spool
from walker_collector.config import SpoolConfig
from walker_collector.destinations.appender import Appender
from walker_collector.spool import NewEvent, State
from walker_collector.spool.processes.write_lock import WriteLock
from walker_collector.spool.sqlite import SqliteSpool

ROOT = Path(__file__).parents[2]
HOLD = """
import sys
from walker_collector.config import SpoolConfig
from walker_collector.spool.sqlite import SqliteSpool
spool = SqliteSpool(SpoolConfig(path=sys.argv[1]))
print("held", flush=True)
sys.stdin.readline()
"""
IS_LOCKED = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=0)
try:
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    db.execute("SELECT 1 FROM sqlite_master")
    print("free")
except sqlite3.OperationalError:
    print("locked")
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool.db"


@contextlib.contextmanager
def opened(path: Path, *, read_only: bool = False) -> Iterator[SqliteSpool]:
    spool = SqliteSpool(SpoolConfig(path=str(path)), read_only=read_only)
    try:
        yield spool
    finally:
        spool.close()


def append(spool: SqliteSpool) -> None:
    spool.append([NewEvent("id:u", 1, b"{}", {"out": State.WAITING})], lambda runs: None)


# --- one spool ------------------------------------------------------------------------------------


def symlink(path: Path) -> Path:
    other = path.with_name("link.db")
    other.symlink_to(path)
    return other


def through_a_folder(path: Path) -> Path:
    folder = path.with_name("folder")
    folder.symlink_to(path.parent)
    return folder / path.name


def with_dots(path: Path) -> Path:
    return path.parent / ".." / path.parent.name / path.name


@pytest.mark.parametrize("way", [symlink, through_a_folder, with_dots])
def test_processes_share_a_spool_by_every_way_to_it(
    way: Callable[[Path], Path], path: Path
) -> None:
    command = [sys.executable, "-c", HOLD, str(path)]
    with program(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with opened(way(path)) as spool, opened(path) as same:
            append(spool)
            append(same)
            assert spool.size() == same.size() == 2
        process.kill()
        process.wait(PATIENCE)
    with opened(path) as spool:
        assert spool.size() == 2


def test_hard_link_is_refused_since_its_log_would_be_another(path: Path) -> None:
    with opened(path) as spool:
        append(spool)
        path.with_name("hard.db").hardlink_to(path)
        for name in ("spool.db", "hard.db"):
            with pytest.raises(SpoolError, match="another name"), opened(path.with_name(name)):
                pass
        append(spool)
        path.with_name("hard.db").unlink()
    with opened(path) as spool:
        assert spool.size() == 2


def by_another_spool(path: Path) -> None:
    with opened(path):
        pass


def by_a_reader(path: Path) -> None:
    with opened(path, read_only=True) as spool:
        spool.counts()


def by_a_link(path: Path) -> None:
    with opened(symlink(path)):
        pass


def by_a_destination(path: Path) -> None:
    with pytest.raises(OSError, match="belongs to an SQLite database"):
        Appender(str(symlink(path)), max_bytes=None, keep=1, fsync=False).open()


def by_commands(path: Path) -> None:
    file = path.with_name("flow.json")
    destination = {"package": "console", "config": {}}
    spool = {"path": str(path)}
    file.write_text(json.dumps({"collector": {"spool": spool}, "destinations": {"c": destination}}))
    for words in (
        ["spool", "status", path],
        ["spool", "status", file],
        ["dead", "list", path],
        ["forget", path, "--user-id", "nobody"],
        ["validate", file],
    ):
        done = walker(*words)
        assert done.exit_code == 0, done.output


@pytest.mark.parametrize(
    "close", [by_another_spool, by_a_reader, by_a_link, by_a_destination, by_commands]
)
def test_no_look_at_a_spool_takes_the_locks_of_the_same_process(
    close: Callable[[Path], None], path: Path
) -> None:
    with opened(path) as spool:
        append(spool)
        close(path)
        append(spool)
        command = [sys.executable, "-c", HOLD, str(path)]
        with program(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            process.communicate("\n", timeout=PATIENCE)
        append(spool)  # else the other, as the last, would have deleted the log
    with opened(path) as spool:
        assert spool.size() == 3


@pytest.mark.parametrize("read_only", [False, True])
def test_locks_of_a_spool_outlive_a_look_at_the_beginning_of_its_file(
    read_only: bool, path: Path
) -> None:
    with opened(path) as spool:
        append(spool)
    with opened(path, read_only=read_only) as spool:
        assert spool.counts() == {"out": {State.WAITING: 1}}
        assert is_spool(path)
        probe = python(IS_LOCKED, path).stdout
    assert probe == "locked\n"


def test_whoever_waits_for_a_check_that_fails_checks_the_file_itself(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(path):
        pass
    waits, checks, results = threading.Event(), list[str](), list[str]()

    def check(*_: object) -> None:
        checks.append(threading.current_thread().name)
        assert waits.wait(PATIENCE)
        raise SpoolError("damaged")

    def wait(lock: WriteLock) -> None:
        waits.set()
        waited(lock)

    waited = WriteLock._wait
    monkeypatch.setattr(WriteLock, "_wait", wait)
    monkeypatch.setattr("walker_collector.spool.sqlite.mend.mend", check)

    def open_it() -> None:
        with pytest.raises(SpoolError, match="damaged"), opened(path):
            pass
        results.append("refused")

    in_threads(open_it, open_it)
    assert results == ["refused"] * 2
    assert len(set(checks)) == 2


# --- lost while in use ---------------------------------------------------------------------------


def deleted(path: Path) -> None:
    path.unlink()


def moved(path: Path) -> None:
    path.rename(path.with_name("moved.db"))


def replaced(path: Path) -> None:
    path.unlink()
    path.touch()


def folder_moved(path: Path) -> None:
    path.parent.rename(path.parent.with_name("moved"))


def everything_deleted(path: Path) -> None:
    for file in path.parent.glob("spool.db*"):
        shutil.rmtree(file) if file.is_dir() else file.unlink()


def log_deleted(path: Path) -> None:
    path.with_name("spool.db-wal").unlink()


@pytest.fixture
def looked_at_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The paths of a file are looked at before each write, not some times a second."""
    monkeypatch.setattr("walker_collector.spool.sqlite.spool_file._CHECKED_EVERY", 0)


def emptied(path: Path) -> None:
    os.truncate(path, 0)


LOSSES = [deleted, moved, replaced, folder_moved, everything_deleted, log_deleted]


@pytest.mark.parametrize("loss", [*LOSSES, emptied])
def test_nothing_is_accepted_by_a_spool_that_is_lost(
    loss: Callable[[Path], None],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    looked_at_each_time: None,
) -> None:
    path = tmp_path / "folder" / "spool.db"
    path.parent.mkdir()
    record, gate = Record(), threading.Event()

    def push(*args: object) -> None:
        gate.wait(PATIENCE)
        record.push(*args)  # type: ignore[arg-type]  # whatever the hook is given

    collector = Collector(flow({"out": (plugin(push), config())}, path))
    try:
        for n in range(3):
            collector.push(event(n))
        loss(path)
        for _ in range(2):
            with pytest.raises(SpoolError, match="while it was in use"):
                collector.push(event(9))
        with pytest.raises(SpoolError, match="while it was in use"):
            collector.consent({"marketing": True}, user={"id": "u"})
        gate.set()
        record.wait_for(3)
        assert collector.flush(PATIENCE)
        assert collector.status_of("out").unrecorded == 3
    finally:
        collector.close(timeout=1)
    assert record.numbers == [0, 1, 2]
    assert "while it was in use" in caplog.text


@pytest.mark.parametrize("loss", LOSSES)
def test_log_of_a_close_says_whether_the_next_start_finds_the_events(
    loss: Callable[[Path], None],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    looked_at_each_time: None,
) -> None:
    path = tmp_path / "folder" / "spool.db"
    path.parent.mkdir()
    record, gate = Record(), threading.Event()

    def push(delivered: dict[str, Any], context: PushContext) -> None:
        gate.wait(PATIENCE)
        record.push(delivered, context)

    with running(one(plugin(push), path, consent=MARKETING)) as collector:
        collector.push(event(0, consent=MARKETING))
        collector.push(event(1))  # held
        loss(path)
        gate.set()
        wait_until(lambda: collector.status_of("there").unrecorded == 1)
    path.parent.mkdir(exist_ok=True)
    with running(guarded(record, path)) as collector:
        assert collector.flush(PATIENCE)
        found = collector.status_of("there").held == 1
    assert record.numbers == [0] * (1 + found)
    assert found == (loss is log_deleted)
    assert ("will be delivered again on the next start" in caplog.text) == found
    assert ("will not be delivered again on the next start, unless" in caplog.text) != found
    assert ("lost, unless the spool file is put back" in caplog.text) != found


@pytest.mark.parametrize(("loss", "name"), [(moved, "moved.db"), (log_deleted, "spool.db")])
def test_accepted_events_are_saved_from_a_log_that_is_lost(
    loss: Callable[[Path], None], name: str, path: Path, looked_at_each_time: None
) -> None:
    with opened(path) as spool:
        append(spool)
        loss(path)
        with pytest.raises(SpoolError):
            append(spool)
    assert waiting_in(path.with_name(name)) == 1


@pytest.mark.parametrize(("loss", "name"), [(moved, "moved.db"), (log_deleted, "spool.db")])
def test_accepted_events_are_saved_from_a_lost_log_at_the_close(
    loss: Callable[[Path], None], name: str, path: Path
) -> None:
    with opened(path) as spool:
        append(spool)
        loss(path)
    assert waiting_in(path.with_name(name)) == 1


def test_nothing_is_stored_in_a_log_that_was_emptied(path: Path, looked_at_each_time: None) -> None:
    with opened(path) as spool:
        append(spool)
        os.truncate(path.with_name("spool.db-wal"), 0)
        append(spool)  # as SQLite itself empties its log, only a write tells
        for _ in range(2):
            with pytest.raises(SpoolError, match="-wal was emptied while it was in use"):
                append(spool)


def test_log_that_the_spool_itself_empties_is_no_loss(
    path: Path, looked_at_each_time: None
) -> None:
    with opened(path) as spool:
        for _ in range(3):
            append(spool)
            spool.erase(["id:nobody"])
            assert path.with_name("spool.db-wal").stat().st_size == 0
            spool.compact()
        append(spool)
    assert waiting_in(path) == 4


@pytest.mark.parametrize("read_only", [False, True])
def test_emptied_file_with_a_log_is_refused_and_the_log_kept(read_only: bool, path: Path) -> None:
    path.touch()
    log = path.with_name("spool.db-wal")
    log.write_bytes(b"events")
    with pytest.raises(SpoolError, match="emptied"), opened(path, read_only=read_only):
        pass
    assert log.read_bytes() == b"events"


def test_emptied_file_is_told_of_and_a_new_one_is_not(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.touch()  # as another process does that opens it at the same moment
    with opened(path) as spool:
        append(spool)
    assert not caplog.messages
    os.truncate(path, 0)
    with opened(path) as spool:
        append(spool)
    assert "the file is empty and had events; somebody has emptied or deleted it" in caplog.text
    assert waiting_in(path) == 1


def test_spool_deleted_without_its_locks_after_all_was_delivered_lost_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = {"out": to_file(tmp_path / "out")}
    flow = write_flow(tmp_path, out, spool={"path": str(tmp_path / "spool.db")})
    for _ in range(2):
        with Collector.from_file(flow) as collector:
            assert collector.push("order complete")
            assert collector.flush()
        (tmp_path / "spool.db").unlink()
        assert (tmp_path / "spool.db.locks").exists()
    assert "emptied" not in caplog.text


def waiting_in(path: Path) -> int:
    with opened(path, read_only=True) as spool:
        return spool.counts()["out"][State.WAITING]


# --- what is no spool ----------------------------------------------------------------------------


def listening(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def own_link(path: Path) -> None:
    path.symlink_to(path)


STRANGE = {
    "folder": Path.mkdir,
    "pipe": os.mkfifo,
    "socket": listening,
    "null device": lambda path: path.symlink_to("/dev/null"),
    "endless device": lambda path: path.symlink_to("/dev/zero"),
    "link to itself": own_link,
    "link to nowhere": lambda path: path.symlink_to(path.parent / "no" / "spool.db"),
    "text": lambda path: path.write_text("a novel"),
    "only a header": lambda path: path.write_bytes(b"SQLite format 3\0"),
    "locks that are no folder": lambda path: Path(f"{path}.locks").touch(),
}


@pytest.mark.parametrize("kind", STRANGE)
def test_file_of_another_kind_is_refused_without_waiting_for_it(kind: str, path: Path) -> None:
    STRANGE[kind](path)
    for read_only in (True, False):
        with pytest.raises(SpoolError, match="spool"), opened(path, read_only=read_only):
            pass


@pytest.mark.parametrize("table", ["events", "deliveries", "consents", "aliases", "subscribers"])
def test_spool_without_a_table_is_refused_as_corrupt(table: str, path: Path) -> None:
    with opened(path) as spool:
        append(spool)
        spool.core.commits.alone(lambda db: db.execute(f"DROP TABLE {table}"))
    with pytest.raises(SpoolError, match="corrupt: move it away"), opened(path):
        pass


def test_spool_that_lost_its_log_before_it_had_tables_is_empty(path: Path) -> None:
    with opened(path):
        path.with_name("copy.db").write_bytes(path.read_bytes())
    with opened(path.with_name("copy.db"), read_only=True) as spool:
        assert (spool.counts(), spool.dead()) == ({}, [])


@pytest.mark.parametrize("in_memory", [0, 2**30])
def test_no_copy_of_a_spool_is_made_outside_its_folder(
    in_memory: int, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("walker_collector.spool.sqlite.checkpointer.COMPACTED_IN_MEMORY", in_memory)
    before, seen = open_files(), set[str]()
    with opened(path) as spool:
        for _ in range(200):
            append(spool)
        spool.core.commits.connection.set_progress_handler(lambda: seen.update(open_files()), 10)
        spool.erase(["id:nobody"])
        spool.compact()
        spool.core.commits.connection.set_progress_handler(None, 0)
    made = {name for name in seen - before if not name.startswith(("/dev", "/proc", "pipe:"))}
    assert made
    assert all(name.startswith(f"{path.parent}/") for name in made)


def open_files() -> set[str]:
    found = set()
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found.add(os.readlink(f"/proc/self/fd/{descriptor}"))
    return found


# --- permissions ---------------------------------------------------------------------------------


@pytest.mark.parametrize("mask", [0, 0o022, 0o777])
def test_files_are_their_owners_alone_whatever_the_umask(mask: int, path: Path) -> None:
    before = os.umask(mask)
    try:
        with opened(path) as spool:
            append(spool)
            files = [file for file in path.parent.rglob("*") if file.is_file()]
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in files}
            folder = stat.S_IMODE(path.with_name("spool.db.locks").stat().st_mode)
    finally:
        os.umask(before)
    names = ("spool.db", "spool.db-wal", "spool.db-shm", "write", "open")
    assert modes == dict.fromkeys(names, 0o600)
    assert folder == 0o700


def test_files_that_others_may_read_are_made_private(path: Path) -> None:
    with opened(path) as spool:
        append(spool)
        for name in ("spool.db", "spool.db-wal", "spool.db-shm"):
            copy = path.with_name(name.replace("spool", "copy"))
            copy.write_bytes(path.with_name(name).read_bytes())
            copy.chmod(0o644)
    with opened(path.with_name("copy.db")):
        modes = {stat.S_IMODE(file.stat().st_mode) for file in path.parent.glob("copy.db?*")}
    assert modes == {0o600, 0o700}
