"""The tables of a spool in PostgreSQL: made when there are none, and brought to this version."""

from typing import Any, Final

import psycopg
from attrs import frozen
from psycopg.sql import SQL, Identifier

from walker_collector.errors import SpoolError
from walker_collector.spool.base import NothingStored
from walker_collector.spool.postgres.sessions import Database, advisory_key
from walker_collector.text import counted, storable

VERSION: Final = 1
_SHARDS: Final = 64
"""The number of shards of a new spool, if none is given."""
_OLDEST: Final = 14
"""PostgreSQL's oldest version that ends idle sessions, which a stopped process has."""


@frozen
class Layout:
    """The version of the tables, and the number of shards."""

    version: int
    shards: int


def prepare(database: Database, name: str, shards: int | None, *, read_only: bool) -> Layout:
    """Return the layout of the spool, which is made or migrated if need be. Raises SpoolError.

    `shards`: the number that it must have, or is made with; None: any.
    """
    _check_server(database.connection, name)
    found = _layout(database)
    if found is None and read_only:
        raise NothingStored(f"nothing has run with this flow yet: there is no {name}")
    if found is None or found.version < VERSION:
        if read_only:
            raise SpoolError(
                f"{name}: there is no spool of this version yet; start a process with this flow"
            )
        found = _migrate(database, name, shards)
    if found.version > VERSION:
        raise SpoolError(
            f"{name}: written by a newer walker-collector (format {found.version}, this one reads "
            f"{VERSION}); upgrade, or drain it with the version that wrote it"
        )
    if shards is not None and found.shards != shards:
        raise SpoolError(
            f"{name}: made with {counted(found.shards, 'shard')}, and the flow has "
            f"collector.shards {shards}; set collector.shards to {found.shards}, or drain the "
            f"spool and choose another schema, so that a new one is made with {shards}"
        )
    return found


def _check_server(connection: psycopg.Connection[Any], name: str) -> None:
    version = connection.info.server_version // 10_000
    if version < _OLDEST:
        raise SpoolError(f"{name}: PostgreSQL {version} is too old; it needs {_OLDEST} or newer")
    ((encoding,),) = connection.execute("SHOW server_encoding").fetchall()
    if encoding != "UTF8":
        raise SpoolError(f"{name}: the database has the encoding {encoding}; make one with UTF8")


def _layout(database: Database) -> Layout | None:
    """Return the layout of the spool; None: there is no spool."""
    ((exists,),) = database.rows("has_layout", (database.queries.schema,))
    if not exists:
        return None
    for version, shards in database.rows("layout"):
        return Layout(version, shards)
    return None


def require_no_others(database: Database, name: str) -> None:
    """Raise SpoolError if there are tables in the schema: without a layout they are of others."""
    if tables := [table for (table,) in database.rows("tables", (database.queries.schema,))]:
        raise SpoolError(
            f"{name}: the schema has {counted(len(tables), 'table')} of others, such as "
            f"{storable(tables[0], 80)}; choose another schema (spool.schema)"
        )


def _migrate(database: Database, name: str, shards: int | None) -> Layout:
    """Bring the tables to this version, whichever process comes first."""
    connection, schema = database.connection, database.queries.schema
    with connection.transaction():
        key = advisory_key(schema, "layout")
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (key,))
        if (found := _layout(database)) is None:
            require_no_others(database, name)
            found = Layout(0, shards or _SHARDS)
        if not database.rows("has_schema", (schema,))[0][0]:  # who is given one may make none
            connection.execute(SQL("CREATE SCHEMA {}").format(Identifier(schema)))
        for version in range(found.version + 1, VERSION + 1):
            connection.execute(database.queries.script(f"schema_{version}"))
        connection.execute(database.queries.script("views"))
        if found.version < VERSION:
            database.run("set_layout", (VERSION, found.shards))
            found = Layout(VERSION, found.shards)
    return found
