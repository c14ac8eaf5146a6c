"""What makes an SQLite file a spool: its tables, its marks, its settings.

An event is one row. It waits at every destination of its audience, the set of those that are not
done with it, unless `deliveries` says otherwise: held, dead, or waiting with attempts behind it.
Mostly an event waits a moment, is delivered and gone, and that table is empty. To be done with an
event never takes more room: a full disk is emptied by deliveries.

`aliases` has for each key of a person the person, directly: nobody's person is an alias. What was
filed under a key belongs to that person for good. `signed_in` has the keys of one person under
which another signed in last, who gets what comes under them. `told.at` is a stamp: see `Told`.
"""

import sqlite3
from pathlib import Path
from typing import Final

from walker_collector.errors import SpoolError

APPLICATION: Final = 0x57414C4B  # "WALK": tells a spool from any other SQLite file
VERSION: Final = 2
PAGE: Final = 4096
"""Bytes. A commit writes whole pages: with larger ones groups cost less, but single events more."""
LONG_LOG: Final = 16 * 1024 * 1024
"""Bytes after which the log should be written back; at twice as many whoever commits does it."""
CHECKED_BYTES: Final = 64 * 1024 * 1024
"""Files up to this size are checked whole when opened; larger ones would keep the start waiting."""

_SCHEMA: Final = """
CREATE TABLE destinations (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE);
CREATE TABLE audiences (
  audience INTEGER NOT NULL, destination INTEGER NOT NULL,
  PRIMARY KEY (audience, destination)) WITHOUT ROWID;
CREATE TABLE events (
  seq INTEGER PRIMARY KEY, audience INTEGER NOT NULL, at INTEGER NOT NULL, person TEXT NOT NULL,
  body BLOB NOT NULL);
CREATE TABLE deliveries (
  seq INTEGER NOT NULL, destination INTEGER NOT NULL, state INTEGER NOT NULL DEFAULT 0,
  attempts INTEGER NOT NULL DEFAULT 0, due INTEGER NOT NULL DEFAULT 0, changed INTEGER,
  reason TEXT, parts TEXT, consent TEXT,
  PRIMARY KEY (seq, destination)) WITHOUT ROWID;
CREATE INDEX set_aside ON deliveries (destination, seq) WHERE state > 0;
CREATE TABLE told (
  person TEXT NOT NULL, key TEXT NOT NULL, granted INTEGER NOT NULL, at INTEGER NOT NULL,
  PRIMARY KEY (person, key)) WITHOUT ROWID;
CREATE TABLE aliases (alias TEXT PRIMARY KEY, person TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX alias_person ON aliases (person);
CREATE TABLE signed_in (key TEXT PRIMARY KEY, person TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX signed_in_person ON signed_in (person);
CREATE TABLE owed (person TEXT PRIMARY KEY) WITHOUT ROWID;
"""
_CREATE: Final = (
    f"BEGIN; {_SCHEMA} "
    f"PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {VERSION}; COMMIT;"
)


def prepare(path: Path, db: sqlite3.Connection, sync: str, read_only: bool) -> None:
    """Check that a database is a spool of this version, or make a new one of an empty file.

    Raises SpoolError where it is something else; never writes to what is not a spool.
    """
    tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if tables and application != APPLICATION:
        raise SpoolError(f"spool {path}: this SQLite file is not a spool; choose another path")
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
    if read_only:
        return
    _check(path, db)
    db.execute(f"PRAGMA page_size = {PAGE}")
    db.execute("PRAGMA auto_vacuum = INCREMENTAL")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute(f"PRAGMA synchronous = {'FULL' if sync == 'full' else 'NORMAL'}")
    # Deleted events are overwritten at once, so that nothing of a person stays in free pages.
    db.execute("PRAGMA secure_delete = ON")
    db.execute(f"PRAGMA journal_size_limit = {LONG_LOG}")
    db.execute(f"PRAGMA wal_autocheckpoint = {2 * LONG_LOG // PAGE}")
    if not tables:
        db.executescript(_CREATE)


def blank() -> sqlite3.Connection:
    """Return what stands for a file to which nothing was ever written, as a crash may leave it."""
    db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    db.executescript(_CREATE)
    return db


def _check(path: Path, db: sqlite3.Connection) -> None:
    if path.stat().st_size <= CHECKED_BYTES:
        (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise SpoolError(
                f"spool {path}: the file is corrupt ({verdict.splitlines()[0][:100]}); move it "
                "away to start a new spool, and keep it for `sqlite3 FILE .recover`"
            )
