"""The layout of a spool file: its tables, its marks, its settings.

An event is one row. It waits at each of its `subscribers`, the destinations that have not
acknowledged it, unless `deliveries` says otherwise: held, dead, or waiting after failed attempts.
Most events wait a moment and are delivered, and that table is empty. An acknowledgement never
takes more room, so deliveries empty a full disk.

`aliases` leads from each key of a person to the person, directly: no person is an alias. The owner
of the events filed under a key never changes. `signed_in` has the keys of one person under which
another signed in last, who gets the new events there. `consents.stamp`: see `ConsentRecord`.

An event has the `shard` of its person; `layout` has the number of shards, for good.
`default_consent` has the default, and that of the flow when it was stored. `people_log` names the
keys whose consent or owner has changed, for other processes to read them again; "" is the default.
`calls` has the calls of hooks that are under way, with the people of their events.
`recent` has the numbers of events by the marks of the ids that these came with, the subscribers of
that moment, and the outcome at each destination that did not get the event: see `RecentEvent`.
`positions` has how far each input is read: see `Position`.
`pending_erasures` has the keys that an erasure is at work on: see `ErasureLocks`.
`watchers` has the viewers of now, for which processes write `process_figures` and `samples`: see
`SampleTable`.
"""

import sqlite3
from pathlib import Path
from typing import Final

from walker_collector.errors import SpoolError
from walker_collector.spool.sqlite.views import VIEWS
from walker_collector.text import counted

APPLICATION: Final = 0x57414C4B  # "WALK": tells a spool from any other SQLite file
VERSION: Final = 8
PAGE: Final = 4096
"""Bytes. A commit writes whole pages: with larger ones groups cost less, but single events more."""
LONG_LOG: Final = 16 * 1024 * 1024
"""Bytes after which the log is written back; at twice as many, by the thread that commits."""
MOST_SHARDS: Final = 1024
CHECKED_BYTES: Final = 64 * 1024 * 1024
"""Files up to this size are checked whole when opened; larger ones would keep the start waiting."""

_SCHEMA: Final = """
CREATE TABLE destinations (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE);
CREATE TABLE subscribers (
  number INTEGER NOT NULL, destination INTEGER NOT NULL,
  PRIMARY KEY (number, destination)) WITHOUT ROWID;
CREATE TABLE events (
  seq INTEGER PRIMARY KEY, subscribers INTEGER NOT NULL, at INTEGER NOT NULL, person TEXT NOT NULL,
  body BLOB NOT NULL, shard INTEGER NOT NULL DEFAULT 0);
CREATE TABLE layout (shards INTEGER NOT NULL);
CREATE TABLE deliveries (
  seq INTEGER NOT NULL, destination INTEGER NOT NULL, state INTEGER NOT NULL DEFAULT 0,
  attempts INTEGER NOT NULL DEFAULT 0, due INTEGER NOT NULL DEFAULT 0, changed INTEGER,
  reason TEXT, parts TEXT, consent TEXT, error TEXT,
  PRIMARY KEY (seq, destination)) WITHOUT ROWID;
CREATE INDEX set_aside ON deliveries (destination, seq) WHERE state > 0;
CREATE TABLE consents (
  person TEXT NOT NULL, key TEXT NOT NULL, granted INTEGER NOT NULL, stamp INTEGER NOT NULL,
  PRIMARY KEY (person, key)) WITHOUT ROWID;
CREATE TABLE default_consent (
  one INTEGER PRIMARY KEY CHECK (one = 1), flow TEXT NOT NULL, current TEXT NOT NULL);
CREATE TABLE aliases (alias TEXT PRIMARY KEY, person TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX alias_person ON aliases (person);
CREATE TABLE signed_in (key TEXT PRIMARY KEY, person TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX signed_in_person ON signed_in (person);
CREATE TABLE pending_erasures (
  person TEXT PRIMARY KEY, erasure TEXT NOT NULL DEFAULT '') WITHOUT ROWID;
CREATE TABLE people_log (
  version INTEGER PRIMARY KEY AUTOINCREMENT, kind INTEGER NOT NULL, key TEXT NOT NULL, owner TEXT);
CREATE TABLE calls (
  process TEXT NOT NULL, number INTEGER NOT NULL, destination TEXT NOT NULL, people BLOB NOT NULL,
  PRIMARY KEY (process, number)) WITHOUT ROWID;
CREATE TABLE recent (
  mark BLOB PRIMARY KEY, at INTEGER NOT NULL, seq INTEGER NOT NULL, subscribers INTEGER NOT NULL,
  outcomes TEXT) WITHOUT ROWID;
CREATE TABLE positions (
  input TEXT PRIMARY KEY, run TEXT NOT NULL, "offset" INTEGER NOT NULL,
  checksum INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE watchers (viewer TEXT PRIMARY KEY, until INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE process_figures (
  process TEXT PRIMARY KEY, at INTEGER NOT NULL, figures TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE samples (number INTEGER PRIMARY KEY AUTOINCREMENT, body TEXT NOT NULL);
"""
_BY_PERSON: Final = "CREATE INDEX event_person ON events (person);"
"""Finds the events of a person that move to another shard; one shard does without it."""


def _created(shards: int) -> str:
    """Return the statements that make an empty database a spool."""
    return (
        f"BEGIN; {_SCHEMA} {VIEWS} INSERT INTO layout VALUES ({shards}); "
        f"{_BY_PERSON if shards > 1 else ''} "
        f"PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION}; COMMIT;"
    )


def shards_of(db: sqlite3.Connection) -> int:
    """Return the number of shards that a spool was made with."""
    ((shards,),) = db.execute("SELECT max(shards) FROM layout").fetchall()
    return shards if isinstance(shards, int) and 1 <= shards <= MOST_SHARDS else 1


def prepare(
    path: Path,
    db: sqlite3.Connection,
    sync: str,
    *,
    read_only: bool,
    is_first: bool,
    shards: int | None = None,
) -> None:
    """Check that a database is a spool of this version, or make a new one of an empty file.

    Raises SpoolError for anything else; never writes to a file that is not a spool. `is_first`:
    no other process has it open, and has checked it. `shards`: the number of shards that it must
    have, or is made with; None: any, or one.
    """
    is_new = _is_empty(path, db)
    if read_only:
        return
    if is_first:
        _check_pages(path, db)
    if is_new:  # else they would write, for which a full disk has no room
        db.execute(f"PRAGMA page_size = {PAGE}")
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
    configure(db, sync)
    if is_new:
        db.executescript(_created(shards or 1))
    found = shards_of(db)
    if shards is not None and found != shards:
        raise SpoolError(
            f"spool {path}: made with {counted(found, 'shard')}, and the flow has collector.shards "
            f"{shards}; set collector.shards to {found}, or drain the spool and move it away, so "
            f"that a new one is made with {shards}"
        )


def not_a_spool(path: Path) -> SpoolError:
    """Return the error for a database of another program."""
    return SpoolError(f"spool {path}: this SQLite file is not a spool; choose another path")


def _is_empty(path: Path, db: sqlite3.Connection) -> bool:
    """Return whether a database has no tables yet. Raises SpoolError if it is not a spool."""
    tables = has_tables(db)
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if tables and application != APPLICATION:
        raise not_a_spool(path)
    if version > VERSION:
        raise SpoolError(
            f"spool {path}: written by a newer walker-collector (format {version}, this one "
            f"reads {VERSION}); upgrade, or drain it with the version that wrote it"
        )
    if tables and version < VERSION:
        raise SpoolError(
            f"spool {path}: written by an older walker-collector (format {version}, this one "
            f"reads {VERSION}); drain it with the version that wrote it"
        )
    return not tables


def _check_pages(path: Path, db: sqlite3.Connection) -> None:
    if path.stat().st_size <= CHECKED_BYTES:
        (problem,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if problem != "ok":
            raise SpoolError(
                f"spool {path}: the file is corrupt ({problem.splitlines()[-1][:100]}); move it "
                "away to start a new spool, and keep it for `sqlite3 FILE .recover`"
            )


def configure(db: sqlite3.Connection, sync: str) -> None:
    """Set a connection that writes up. Writes nothing, as deliveries empty a full disk."""
    db.execute("PRAGMA journal_mode = WAL")
    db.execute(f"PRAGMA synchronous = {'FULL' if sync == 'full' else 'NORMAL'}")
    # Deleted events are overwritten at once, so that nothing of a person stays in free pages.
    db.execute("PRAGMA secure_delete = ON")
    # Nor in a temporary file outside the spool's folder.
    db.execute("PRAGMA temp_store = MEMORY")
    db.execute(f"PRAGMA journal_size_limit = {LONG_LOG}")
    db.execute(f"PRAGMA wal_autocheckpoint = {2 * LONG_LOG // PAGE}")


def has_tables(db: sqlite3.Connection) -> bool:
    """Return whether a database has any tables; a crash may leave a file without."""
    return db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is not None


def blank() -> sqlite3.Connection:
    """Return a database that stands for a file without tables."""
    db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    db.executescript(_created(1))
    return db
