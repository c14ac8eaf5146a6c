"""The durable spool: real files, real threads, real processes, full disks."""

import contextlib
import json
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.core.support import PATIENCE, in_threads
from tests.support import program, python
from walker_collector import ConfigError, SpoolError, SpoolFull
from walker_collector.config import SpoolConfig
from walker_collector.flow import load_flow
from walker_collector.spool import (
    DeliveryState,
    Entry,
    EntryRun,
    NewEvent,
    PeopleUpdate,
    SpoolUpdate,
    State,
    StoredEntry,
    UpdateKind,
)
from walker_collector.spool.repeats import mark_of_id
from walker_collector.spool.sqlite import VERSION, SqliteSpool, event_tables

ROOT = Path(__file__).parents[2]
WAITING, HELD, DEAD = State.WAITING, State.HELD, State.DEAD
Offered = Sequence[EntryRun]


def numbers_of(runs: Offered) -> list[int]:
    return [entry[0] for entries, _ in runs for entry in entries]


def ignore(accepted: Offered) -> None:
    """Take what is offered, and do nothing."""


def record(person: str = "id:u1", body: bytes = b"{}", at: int = 5, **states: State) -> NewEvent:
    return NewEvent(person, at, body, states or {"there": WAITING})


def append(spool: SqliteSpool, *records: NewEvent) -> list[Entry]:
    entries: list[Entry] = []
    spool.append(records, lambda runs: entries.extend(entry for run, _ in runs for entry in run))
    return entries


def done(entry: Entry) -> SpoolUpdate:
    return SpoolUpdate(entry, UpdateKind.ACKED)


def config(path: Path, **changes: Any) -> SpoolConfig:
    return SpoolConfig(path=str(path), **changes)


@contextlib.contextmanager
def opened(path: Path, **changes: Any) -> Iterator[SqliteSpool]:
    spool = SqliteSpool(config(path, **changes))
    try:
        yield spool
    finally:
        spool.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool.db"


@pytest.fixture
def spool(path: Path) -> Iterator[SqliteSpool]:
    with opened(path) as spool:
        yield spool


# --- what is kept ----------------------------------------------------------------------------


def test_events_are_read_back_in_order_of_acceptance_by_destination(spool: SqliteSpool) -> None:
    append(spool, record(a=WAITING, b=WAITING), record(a=HELD), record("", b"[1]", 7, a=WAITING))
    assert [s.entry for s in spool.load("a", 0, 9)] == [(1, "id:u1", 5, b"{}"), (3, "", 7, b"[1]")]
    assert [s.entry[0] for s in spool.load("a", 1, 9)] == [3]
    assert [s.entry[0] for s in spool.load("a", 0, 1)] == [1]
    assert [s.entry[0] for s in spool.load("b", 0, 9)] == [1]
    assert [s.entry[0] for s in spool.held("a")] == [2]
    assert spool.load("unknown", 0, 9) == []
    assert spool.counts() == {"a": {WAITING: 2, HELD: 1}, "b": {WAITING: 1}}


def test_everything_is_there_after_a_restart(path: Path) -> None:
    attempt = DeliveryState(2, 99, "no", {"identify": "done"}, {"marketing": True})
    with opened(path) as spool:
        first, second, third = append(spool, record(), record(), record())
        spool.settle(
            "there",
            [
                SpoolUpdate(first, UpdateKind.RETRIED, attempt, 8),
                SpoolUpdate(second, UpdateKind.HELD, attempt),
            ],
        )
        spool.settle("there", [SpoolUpdate(third, UpdateKind.DEAD, attempt, 9)])
    with opened(path) as spool:
        assert spool.load("there", 0, 9) == [StoredEntry(first, attempt)]
        assert spool.held("there") == [StoredEntry(second, attempt)]
        (letter,) = spool.dead("there")
        assert (letter.reason, letter.attempts, letter.died_at) == ("no", 2, 9)
        assert letter.consent == {"marketing": True}
        assert spool.size() == 3
        assert append(spool, record())[0][0] == 4


def test_event_is_gone_when_its_last_destination_has_answered(spool: SqliteSpool) -> None:
    both, only_a = append(spool, record(a=WAITING, b=WAITING), record(a=WAITING))
    spool.settle("a", [done(both), done(only_a)])
    assert spool.size() == 1
    spool.settle("b", [done(both)])
    assert (spool.size(), spool.counts()) == (0, {})


def test_destination_that_is_done_is_not_asked_again_while_another_is_not(path: Path) -> None:
    with opened(path) as spool:
        first, second = append(spool, *[record(a=WAITING, b=WAITING)] * 2)
        spool.ack("a", [first])
        spool.settle("a", [SpoolUpdate(first, UpdateKind.RETRIED, DeliveryState(1, 9, "late"))])
        spool.settle("a", [SpoolUpdate(first, UpdateKind.RELEASED)])
        assert [s.entry for s in spool.load("a", 0, 9)] == [second]
        assert [s.entry for s in spool.load("b", 0, 9)] == [first, second]
    with opened(path) as spool:
        assert spool.counts() == {"a": {WAITING: 1}, "b": {WAITING: 2}}
        spool.ack("b", [first, second])
        assert [s.entry for s in spool.load("a", 0, 9)] == [second]
        assert spool.counts() == {"a": {WAITING: 1}}


def test_what_was_said_of_a_finished_event_goes_with_it(spool: SqliteSpool) -> None:
    for accepted in (record(a=WAITING), record(a=WAITING, b=WAITING)):
        entries = append(spool, *[accepted] * 3)
        for name in accepted.states:
            spool.settle(
                name,
                [
                    SpoolUpdate(e, UpdateKind.RETRIED, DeliveryState(1, reason="no"))
                    for e in entries
                ],
            )
            spool.ack(name, entries[::2])
            spool.ack(name, entries)
    assert spool.size() == 0
    assert spool.core.rows("SELECT count(*) FROM deliveries") == [(0,)]


def test_released_event_keeps_what_is_done_of_it(spool: SqliteSpool) -> None:
    (entry,) = append(spool, record())
    attempt = DeliveryState(2, 99, "no", {"identify": "done"})
    spool.settle("there", [SpoolUpdate(entry, UpdateKind.HELD, attempt)])
    spool.settle("there", [SpoolUpdate(entry, UpdateKind.RELEASED)])
    (stored,) = spool.load("there", 0, 9)
    assert (stored.delivery.count, stored.delivery.due) == (2, 0)
    assert stored.delivery.parts == {"identify": "done"}


def test_release_that_comes_too_late_changes_nothing(spool: SqliteSpool) -> None:
    dead, gone = append(spool, record(), record())
    spool.settle(
        "there", [SpoolUpdate(dead, UpdateKind.DEAD, DeliveryState(1, reason="no")), done(gone)]
    )
    spool.settle("there", [SpoolUpdate(e, UpdateKind.RELEASED) for e in (dead, gone)])
    assert spool.counts() == {"there": {DEAD: 1}}


def test_oldest_says_since_when_and_how_many_are_late(spool: SqliteSpool) -> None:
    first, _ = append(spool, record(at=3), record(at=5))
    spool.settle("there", [SpoolUpdate(first, UpdateKind.RETRIED, DeliveryState(1, due=99))])
    assert spool.oldest() == {"there": (3, 1)}


# --- dead letters ----------------------------------------------------------------------------


def make_dead(spool: SqliteSpool, *entries: Entry) -> None:
    parts = {"identify": "done", "sendEmail": "begun"}
    for at, entry in enumerate(entries):
        spool.settle(
            "there", [SpoolUpdate(entry, UpdateKind.DEAD, DeliveryState(3, 7, "no", parts), at)]
        )


def test_dead_letters_come_oldest_first_and_bounded(spool: SqliteSpool) -> None:
    entries = append(spool, record(), record(), record())
    make_dead(spool, *reversed(entries))
    assert [letter.seq for letter in spool.dead()] == [3, 2, 1]
    assert [letter.seq for letter in spool.dead("there", 2)] == [3, 2]
    assert spool.dead("elsewhere") == []


def test_requeued_letter_waits_again_once_with_what_is_done_of_it(spool: SqliteSpool) -> None:
    entries = append(spool, record())
    make_dead(spool, *entries)
    letters = spool.dead()
    expected = [StoredEntry(entries[0], DeliveryState(parts={"identify": "done"}))]
    assert spool.requeue(letters) == expected
    assert spool.requeue(letters) == []
    assert spool.load("there", 0, 9) == expected
    assert spool.dead() == []


def test_letter_given_twice_is_buried_once(spool: SqliteSpool) -> None:
    (entry,) = append(spool, record(there=WAITING, elsewhere=WAITING))
    spool.settle("there", [SpoolUpdate(entry, UpdateKind.DEAD, DeliveryState(reason="no"))])
    (letter,) = spool.dead("there")
    assert spool.delete_dead([letter, letter]) == 1
    assert spool.counts() == {"elsewhere": {WAITING: 1}}


def test_buried_letter_is_gone_for_its_destination_only(spool: SqliteSpool) -> None:
    (entry,) = append(spool, record(there=WAITING, elsewhere=WAITING))
    make_dead(spool, entry)
    letters = spool.dead()
    assert spool.delete_dead(letters) == 1
    assert spool.delete_dead(letters) == 0
    assert spool.counts() == {"elsewhere": {WAITING: 1}}
    spool.settle("elsewhere", [done(entry)])
    assert spool.size() == 0


# --- groups ----------------------------------------------------------------------------------


def test_event_is_safe_before_it_is_offered(spool: SqliteSpool, path: Path) -> None:
    seen: list[list[tuple[int]]] = []

    def offer(accepted: Offered) -> None:
        with contextlib.closing(sqlite3.connect(path)) as other:
            seen.append(other.execute("SELECT seq FROM events").fetchall())

    spool.append([record(), record()], offer)
    assert seen == [[(1,), (2,)]]


def test_busy_threads_share_commits_and_a_quiet_one_waits_for_nobody(spool: SqliteSpool) -> None:
    commits: list[str] = []
    db = spool.core.commits.connection

    def trace(sql: str) -> None:
        if sql == "COMMIT" or not (db.in_transaction or sql.startswith("BEGIN")):
            commits.append(sql)

    db.set_trace_callback(trace)
    append(spool, record())
    assert len(commits) == 2  # the destination's number is one
    threads = [threading.Thread(target=append, args=(spool, record())) for _ in range(20)]
    with spool.core.commits.turn:
        for thread in threads:
            thread.start()
        while len(spool.core.commits._queue) < 20:
            threading.Event().wait(0.001)
    for thread in threads:
        thread.join(PATIENCE)
    assert len(commits) == 3
    assert spool.size() == 21


def test_offers_from_many_threads_come_in_the_order_of_numbers(spool: SqliteSpool) -> None:
    offered: list[int] = []

    def push() -> None:
        for _ in range(50):
            spool.append(
                [record()] * 2, lambda runs: offered.extend(e[0] for run, _ in runs for e in run)
            )

    in_threads(*[push] * 4)
    assert offered == list(range(1, 401))


def test_figures_stay_exact_while_some_push_and_others_settle(path: Path) -> None:
    with opened(path, max_bytes=50_000) as spool:

        def work() -> None:
            for _ in range(60):
                entries = append(spool, record(body=b"x" * 100), record(body=b"y" * 100))
                spool.settle("there", [done(entry) for entry in entries])

        in_threads(*[work] * 4)
        assert spool.size() == 0
        append(spool, record(body=b"x" * 50_000))
        with pytest.raises(SpoolFull):
            append(spool, record(body=b"x"))


def grouped(spool: SqliteSpool, *works: Any) -> list[Any]:
    """Run writes in one group, each on a thread of its own; return results or errors."""
    results: list[Any] = [None] * len(works)

    def run_one(at: int) -> None:
        try:
            results[at] = spool.core.commits.run(works[at])
        except BaseException as error:
            results[at] = error

    threads = [threading.Thread(target=run_one, args=(at,)) for at in range(len(works))]
    with spool.core.commits.turn:
        for at, thread in enumerate(threads):
            thread.start()
            while len(spool.core.commits._queue) <= at:
                threading.Event().wait(0.001)
    for thread in threads:
        thread.join(PATIENCE)
    return results


def note(key: str) -> Any:
    def work(db: sqlite3.Connection) -> str:
        db.execute("INSERT INTO aliases VALUES (?, 'p')", (key,))
        return key

    return work


def fail(error: BaseException) -> Any:
    def work(db: sqlite3.Connection) -> None:
        raise error

    return work


def test_bad_write_fails_alone(spool: SqliteSpool) -> None:
    bad = fail(ValueError("bad"))
    worse = fail(sqlite3.OperationalError("disk I/O error"))
    results = grouped(spool, note("a"), bad, note("b"), worse)
    assert results[0::2] == ["a", "b"]
    assert [type(result) for result in results[1::2]] == [SpoolError, SpoolError]
    assert isinstance(results[1].__cause__, ValueError)
    assert spool.aliases_of("p") == ["a", "b"]


def test_lock_of_another_program_fails_writes_once_it_has_been_waited_for(
    spool: SqliteSpool, path: Path
) -> None:
    spool.core.commits.connection.execute("PRAGMA busy_timeout = 200")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        results = grouped(spool, *map(note, "abcdefghij"))
        assert time.monotonic() - began < 2
    assert all("another program has it open" in str(result) for result in results)
    append(spool, record())
    assert spool.size() == 1


def test_interrupted_write_leaves_the_others_to_their_own(spool: SqliteSpool) -> None:
    interrupt = KeyboardInterrupt()
    stops = iter([interrupt])

    def once(db: sqlite3.Connection) -> str:
        for stop in stops:
            raise stop
        return note("c")(db)  # type: ignore[no-any-return]  # it is a str

    results = grouped(spool, note("a"), once, note("b"))
    written = [result for result in results if result is not interrupt]
    assert len(written) == 2
    assert set(written) <= set(spool.aliases_of("p"))


@pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt])
def test_push_that_is_interrupted_when_it_is_committed_leaves_a_spool_that_works(
    spool: SqliteSpool, monkeypatch: pytest.MonkeyPatch, kind: type[BaseException]
) -> None:
    """A signal's handler may raise between SQLite's commit and whatever comes next."""
    insert, raised = event_tables.insert, []

    def interrupted(*args: Any) -> None:
        insert(*args)
        if not raised:
            raised.append(kind())
            raise raised[0]

    monkeypatch.setattr(event_tables, "insert", interrupted)
    offered: list[int] = []
    with contextlib.suppress(kind):
        spool.append([record()], lambda runs: offered.extend(numbers_of(runs)))
    for _ in range(2):
        append(spool, record())
    assert [item.entry[0] for item in spool.load("there", 0, 9)] == [1, 2, 3]
    assert (offered, spool.size()) == ([1], 3)


def test_event_whose_offer_fails_is_not_stored_twice(spool: SqliteSpool) -> None:
    def offer(accepted: Offered) -> None:
        raise RuntimeError("no thread")

    with pytest.raises(RuntimeError, match="no thread"):
        spool.append([record()], offer)
    assert len(spool.load("there", 0, 9)) == 1


# --- room ------------------------------------------------------------------------------------


def test_deliveries_to_several_destinations_empty_a_file_that_may_not_grow(
    spool: SqliteSpool, path: Path
) -> None:
    states = {"a": WAITING, "b": WAITING, "c": WAITING}
    entries = append(spool, *[record(body=b"x" * 500, **states) for _ in range(2_000)])
    db = spool.core.commits.connection
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    db.execute(f"PRAGMA max_page_count = {pages}")
    for at in range(0, 2_000, 500):
        for destination in states:
            spool.ack(destination, entries[at : at + 500])
    assert spool.size() == 0
    assert spool.counts() == {}


def test_full_by_events_until_some_are_done(path: Path) -> None:
    with opened(path, max_events=2) as spool:
        first, _ = append(spool, record(), record())
        with pytest.raises(SpoolFull, match=r"holds 2 events of at most 2 \(spool.maxEvents\)"):
            append(spool, record())
        spool.settle("there", [done(first)])
        append(spool, record())
    with opened(path, max_events=2) as spool, pytest.raises(SpoolFull):
        append(spool, record())


def test_full_by_bytes_until_some_are_done(path: Path) -> None:
    with opened(path, max_bytes=1_000) as spool:
        (first,) = append(spool, record(body=b"x" * 900))
        with pytest.raises(SpoolFull, match=r"900 bytes of events of at most 1,000"):
            append(spool, record(body=b"x" * 101))
        append(spool, record(body=b"x" * 100))
        spool.settle("there", [done(first)])
        append(spool, record(body=b"x" * 900))


def test_file_shrinks_after_a_large_backlog_is_delivered(path: Path) -> None:
    with opened(path) as spool:
        body = b"x" * 2_000
        entries: list[Entry] = []
        for _ in range(60):
            entries += append(spool, *[record(body=body)] * 500)
        spool.core.commits.alone(
            lambda db: db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        )
        assert path.stat().st_size > 60_000_000
        for start in range(0, len(entries), 500):
            spool.settle("there", [done(entry) for entry in entries[start : start + 500]])
        on_disk = sum(file.stat().st_size for file in path.parent.iterdir())
    assert on_disk < 25_000_000
    assert path.stat().st_size < 10_000_000


# --- what cannot be opened -------------------------------------------------------------------


def refusal(path: Path, **options: Any) -> str:
    with pytest.raises(SpoolError) as caught:
        SqliteSpool(config(path), **options)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_file_that_is_no_database_is_refused_and_left_as_it_is(path: Path) -> None:
    path.write_bytes(b"not a database, but someone's novel" * 100)
    assert "corrupt: move it away" in refusal(path)
    assert path.read_bytes().startswith(b"not a database")


def test_damaged_spool_is_refused_with_what_to_do(path: Path) -> None:
    with opened(path) as spool:
        append(spool, *[record(body=b"x" * 500)] * 200)
    with path.open("r+b") as file:
        for page in range(2, 12):
            file.seek(page * 4096)
            file.write(os.urandom(4096))
    assert "sqlite3 FILE .recover" in refusal(path)


def test_other_sqlite_file_is_refused_and_left_as_it_is(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE accounts (id)")
    before = path.read_bytes()
    assert "not a spool; choose another path" in refusal(path)
    assert path.read_bytes() == before


def test_spool_of_a_newer_version_is_refused(path: Path) -> None:
    with opened(path):
        pass
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {VERSION + 1}")
    assert f"format {VERSION + 1}" in refusal(path)


def test_folder_that_does_not_exist_is_named(tmp_path: Path) -> None:
    told = f"no file can be made in {tmp_path}/no; give the process a folder"
    assert told in refusal(tmp_path / "no" / "spool.db")


def test_path_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "Not a directory" in refusal(tmp_path / "file" / "spool.db")


def test_spool_that_is_a_folder_is_refused(path: Path) -> None:
    path.mkdir()
    assert "unable to open" in refusal(path)


AS_NOBODY = """
    import os, sys
    from walker_collector import SpoolError
    from walker_collector.config import SpoolConfig
    from walker_collector.spool.sqlite import SqliteSpool
    os.setgid(65534)
    os.setuid(65534)
    try:
        SqliteSpool(SpoolConfig(path=sys.argv[1]))
    except SpoolError as error:
        print(error)
"""
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become somebody else")


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that everybody reaches; those of pytest are their owner's alone."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@needs_root
def test_folder_that_may_not_be_written_is_refused(public: Path) -> None:
    answer = python(AS_NOBODY, public / "spool.db", check=False)
    assert "unable to open: Permission denied" in answer.stdout, answer.stderr
    assert "a folder and file that it may write to" in answer.stdout


@needs_root
def test_file_that_may_not_be_written_is_refused(public: Path) -> None:
    path = public / "spool.db"
    public.chmod(0o777)
    with opened(path):
        pass
    path.chmod(0o644)
    answer = python(AS_NOBODY, path, check=False)
    assert "give the process a folder and file that it may write to" in answer.stdout, answer


def test_spool_is_its_owners_alone(path: Path) -> None:
    with opened(path) as spool:
        append(spool, record())
        modes = {file.name: file.stat().st_mode & 0o077 for file in path.parent.glob("spool.db*")}
    assert set(modes.values()) == {0}, modes


# --- looking while another process has it ----------------------------------------------------


def test_held_spool_may_be_looked_at(path: Path) -> None:
    with opened(path) as spool:
        entries = append(spool, record(), record(there=HELD), record())
        make_dead(spool, entries[2])
        look = SqliteSpool(config(path), read_only=True)
        assert look.counts() == {"there": {WAITING: 1, HELD: 1, DEAD: 1}}
        assert [letter.seq for letter in look.dead()] == [3]
        append(spool, record())
        assert look.counts()["there"][WAITING] == 2
        with pytest.raises(SpoolError, match="readonly"):
            look.delete_dead(look.dead())
        look.close()


def test_looking_at_what_is_not_there_makes_nothing(path: Path) -> None:
    assert "no such file" in refusal(path, read_only=True)
    assert list(path.parent.iterdir()) == []


# --- full disks ------------------------------------------------------------------------------

FILL = """
    import json, sys, threading
    from walker_collector import SpoolError
    from walker_collector.config import SpoolConfig
    from walker_collector.spool import SpoolUpdate, NewEvent, State, UpdateKind
    from walker_collector.spool.sqlite import SqliteSpool

    spool = SqliteSpool(SpoolConfig(path=sys.argv[1]))
    entries, errors = [], []
    def push():
        for _ in range(2000):
            try:
                spool.append(
                    [NewEvent("id:u", 1, b"x" * 1000, {"there": State.WAITING})],
                    lambda runs: entries.extend(entry for run, _ in runs for entry in run),
                )
            except SpoolError as error:
                errors.append(str(error))
                return
    threads = [threading.Thread(target=push) for _ in range(4)]
    [thread.start() for thread in threads]
    [thread.join(60) for thread in threads]
    kept = [stored.entry for stored in spool.load("there", 0, 10**6)]
    print(json.dumps({"accepted": len(entries), "lost": len(set(entries) - set(kept)),
                      "unasked": len(set(kept) - set(entries)), "errors": errors}))
    sys.stdout.flush()
    sys.stdin.readline()
    settled = 0
    for entry in kept[:200]:
        spool.settle("there", [SpoolUpdate(entry, UpdateKind.ACKED)])
        settled += 1
    spool.append([NewEvent("id:u", 1, b"new", {"there": State.WAITING})], lambda accepted: None)
    print(json.dumps({"size": spool.size(), "settled": settled}))
    spool.close()
"""


def check_full_disk(path: Path, make_room: Any, **options: Any) -> None:
    with program(
        [sys.executable, "-c", textwrap.dedent(FILL), str(path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        **options,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        assert first["accepted"] > 100
        assert (first["lost"], first["unasked"]) == (0, 0)
        assert len(first["errors"]) == 4
        assert all("make room; accepted events are safe" in e for e in first["errors"])
        make_room(process.pid)
        process.stdin.write("go on\n")
        process.stdin.flush()
        second = json.loads(process.stdout.readline())
        process.wait(PATIENCE)
    assert second["size"] == first["accepted"] - second["settled"] + 1
    with opened(path) as spool:
        assert spool.size() == second["size"]


def test_file_size_limit_loses_nothing_and_goes_on_after_it_is_raised(path: Path) -> None:
    limit = 2_000_000

    def bounded() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    def raise_limit(pid: int) -> None:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)

    check_full_disk(path, raise_limit, preexec_fn=bounded)


def test_full_disk_loses_nothing_and_goes_on_when_there_is_room(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 1_000_000)
    check_full_disk(small_disk / "spool.db", lambda pid: ballast.unlink())


def test_spool_that_is_opened_on_a_full_disk_says_so(small_disk: Path) -> None:
    locks = small_disk / "spool.db.locks"
    locks.mkdir()
    (locks / "write").touch()
    os.truncate(locks / "write", 4096)  # without room of its own, as a copy may have it
    with contextlib.suppress(OSError):
        (small_disk / "ballast").write_bytes(b"x" * 4_000_000)
    code = (
        "import sys\nfrom walker_collector.config import SpoolConfig\n"
        "from walker_collector.spool.sqlite import SqliteSpool\n"
        "SqliteSpool(SpoolConfig(path=sys.argv[1]))"
    )
    command = [sys.executable, "-c", code, str(small_disk / "spool.db")]
    process = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert process.returncode == 1
    assert "No space left on device" in process.stderr.splitlines()[-1]


def test_outcome_that_has_no_room_is_left_out_and_the_event_is_acknowledged(
    small_disk: Path,
) -> None:
    with opened(small_disk / "spool.db") as spool:
        event = record(body=b'{"id":"e1"}')
        event.mark = mark_of_id("e1")
        (entry,) = append(spool, event)
        too_long = "i" * 4_000_000  # for the disk
        spool.settle("there", [SpoolUpdate(entry, UpdateKind.ACKED, outcome=too_long)])
        assert spool.size() == 0
        found = spool.recent_event("e1", 5)
        assert found is not None
        assert found.outcomes == {}


KILLED_WHEN_FULL = """
    import os, signal, sys
    from walker_collector import SpoolError
    from walker_collector.config import SpoolConfig
    from walker_collector.spool import NewEvent, State
    from walker_collector.spool.sqlite import SqliteSpool

    spool, count = SqliteSpool(SpoolConfig(path=sys.argv[1])), 0
    try:
        while True:
            event = NewEvent("id:u", 1, b"x" * 3000, {"there": State.WAITING})
            spool.append([event], lambda runs: None)
            count += 1
    except SpoolError:
        print(count, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_full_disk_is_opened_and_read_after_a_crash(small_disk: Path) -> None:
    path, ballast = small_disk / "spool.db", small_disk / "ballast"
    ballast.write_bytes(b"x" * 1_000_000)
    count = int(python(KILLED_WHEN_FULL, path, check=False).stdout)
    with contextlib.suppress(OSError), (small_disk / "rest").open("wb", buffering=0) as rest:
        while True:  # bounded: the disk is small
            rest.write(b"x" * 4096)
    with opened(path) as spool:
        entries = [stored.entry for stored in spool.load("there", 0, 10_000)]
        assert len(entries) == count
        with pytest.raises(SpoolError, match="the disk is full"):
            spool.ack("there", entries[:1])
        ballast.unlink()
        spool.ack("there", entries[:1])
        assert spool.size() == count - 1


# --- forgetting ------------------------------------------------------------------------------


def files_of(path: Path) -> list[Path]:
    return [file for file in path.parent.rglob("*") if file.is_file()]


def test_forgotten_person_leaves_no_trace_on_disk(path: Path) -> None:
    with opened(path) as spool:
        for n in range(300):
            who = "erased-4711" if n % 3 == 0 else f"other-{n}"
            body = f'{{"email":"{who}@example.org","pad":"{"x" * 3000}"}}'.encode()
            (entry,) = append(spool, record(f"id:{who}", body, a=WAITING, b=HELD))
            if n % 2:
                spool.settle(
                    "a", [SpoolUpdate(entry, UpdateKind.DEAD, DeliveryState(1, reason=f"id {who}"))]
                )
        spool.learn(
            PeopleUpdate(
                aliases={"session:erased-4711-s": "id:erased-4711", "device:d": "id:other-1"},
                signed_in={"device:d": "id:erased-4711"},
                consents={"id:erased-4711": {"marketing": (True, 1)}},
            )
        )
        spool.schedule_erasure(["id:erased-4711"])
        assert spool.pending_erasures() == {"id:erased-4711"}
        assert any(b"erased-4711" in file.read_bytes() for file in files_of(path))
        erased = spool.erase(["id:erased-4711", "session:erased-4711-s"])
        assert len(erased.seqs) == 100
        assert erased.counts == {("a", WAITING): 50, ("a", DEAD): 50, ("b", HELD): 100}
        assert not any(b"erased-4711" in file.read_bytes() for file in files_of(path))
        assert spool.size() == 200
        assert (spool.consent_of("id:erased-4711"), spool.link("session:erased-4711-s")) == (
            {},
            (None, None),
        )
        assert spool.link("device:d") == ("id:other-1", None)
        assert spool.pending_erasures() == set()


def test_compact_file_holds_nothing_but_what_is_kept(path: Path) -> None:
    with opened(path) as spool:
        # As where SQLite has left a copy behind.
        spool.core.commits.connection.execute("PRAGMA secure_delete = OFF")
        append(spool, *[record("id:erased", b'"erased-4711"') for _ in range(50)])
        (kept,) = append(spool, record("id:other"))
        spool.erase(["id:erased"])
        assert any(b"erased-4711" in file.read_bytes() for file in files_of(path))
        spool.compact()
        assert not any(b"erased-4711" in file.read_bytes() for file in files_of(path))
        assert [item.entry for item in spool.load("there", 0, 9)] == [kept]


def test_finished_event_leaves_no_trace_once_the_log_is_written_back(path: Path) -> None:
    with opened(path) as spool:
        (entry,) = append(spool, record(body=b'"finished-4711"'))
        spool.settle("there", [done(entry)])
    assert b"finished-4711" not in path.read_bytes()


# --- the end ---------------------------------------------------------------------------------


def test_closed_spool_refuses_instead_of_losing(path: Path) -> None:
    with opened(path) as spool:
        (entry,) = append(spool, record())
    with pytest.raises(SpoolError):
        spool.append([record()], ignore)
    with pytest.raises(SpoolError):
        spool.settle("there", [done(entry)])
    with pytest.raises(SpoolError):
        spool.load("there", 0, 9)


@pytest.mark.parametrize(("sync", "level"), [("normal", 1), ("full", 2)])
def test_sync_says_what_a_commit_survives(path: Path, sync: str, level: int) -> None:
    with opened(path, sync=sync) as spool:
        assert spool.core.commits.alone(lambda db: db.execute("PRAGMA synchronous").fetchone()) == (
            level,
        )


def test_file_to_which_nothing_was_written_is_an_empty_spool_to_who_looks(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    path.touch()
    look = SqliteSpool(config(path), read_only=True)
    assert (look.counts(), look.dead(), look.size(), look.oldest()) == ({}, [], 0, {})
    look.close()
    assert path.stat().st_size == 0
    with contextlib.closing(SqliteSpool(config(path))) as spool:
        assert append(spool, record())


@pytest.mark.parametrize("path", ["", ".", "..", "/", "spools/", "a/..", "a\0b"])
def test_path_that_names_no_file_is_refused(path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_flow({"collector": {"spool": {"path": path}}, "destinations": {}})
    assert [str(problem) for problem in caught.value.problems] == [
        "collector.spool.path: must name a file, such as spool.db"
    ]
