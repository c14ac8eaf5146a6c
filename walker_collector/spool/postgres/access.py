"""The needs of a spool in its database, looked at without making anything: for `walker check`."""

import secrets
from contextlib import closing

from walker_collector.errors import SpoolError
from walker_collector.spool.base import NothingStored
from walker_collector.spool.postgres.layout import prepare, require_no_others
from walker_collector.spool.postgres.lease_session import refuse_pooler
from walker_collector.spool.postgres.queries import Queries
from walker_collector.spool.postgres.server_errors import READ_ONLY
from walker_collector.spool.postgres.sessions import Database, Session, advisory_key
from walker_collector.spool.postgres.spool_place import Place
from walker_collector.text import counted

_WAIT = 5.0
"""Seconds to wait for the server."""


def check_access(place: Place, *, delivers: bool, shards: int | None = None) -> None:
    """Raise SpoolError unless a process could use the spool, or make it.

    `delivers`: it holds leases, too. `shards`: the number that the spool must have; None: any.
    """
    queries = Queries(place.schema)
    with closing(Session(place, place.url, queries)) as session:
        session.repeat(lambda database: _check_rights(database, session.name, shards), _WAIT)
        if delivers:
            _check_leases(place, queries, session)


def _check_rights(database: Database, name: str, shards: int | None) -> None:
    schema = database.queries.schema
    ((user, base, exists, may_add, may_use, may_make),) = database.rows("rights", (schema,))
    if not exists and not may_add:
        raise SpoolError(
            f"{name}: the user {user} may not make the schema; run as an administrator: CREATE "
            f'SCHEMA {schema} AUTHORIZATION "{user}", or GRANT CREATE ON DATABASE "{base}" TO '
            f'"{user}"'
        )
    if exists and not may_use:
        raise SpoolError(f"{name}: the user {user} may not use the schema; {_grant(schema, user)}")
    try:
        prepare(database, name, shards, read_only=True)
    except NothingStored:
        require_no_others(database, name)
        if exists and not may_make:
            raise SpoolError(
                f"{name}: the user {user} may make no tables in the schema; {_grant(schema, user)}"
            ) from None
    else:
        _check_tables(database, name, user)
    if database.rows("takes_no_writes") == [(True,)]:
        raise SpoolError(f"{name}: {READ_ONLY}")


def _check_tables(database: Database, name: str, user: str) -> None:
    schema = database.queries.schema
    if closed := [table for (table,) in database.rows("closed_tables", (schema,))]:
        raise SpoolError(
            f"{name}: the user {user} may not read and write {counted(len(closed), 'table')}, "
            f"{closed[0]} among them; run as their owner: GRANT SELECT, INSERT, UPDATE, DELETE ON "
            f'ALL TABLES IN SCHEMA {schema} TO "{user}"'
        )


def _grant(schema: str, user: str) -> str:
    return f'run as its owner: GRANT USAGE, CREATE ON SCHEMA {schema} TO "{user}"'


def _check_leases(place: Place, queries: Queries, session: Session) -> None:
    key = advisory_key(place.schema, "check", secrets.token_hex(8))
    with closing(Session(place, place.direct_url, queries)) as direct:

        def locked(database: Database) -> None:
            refuse_pooler(database, direct.name)
            database.rows("lock", (key,))

        direct.repeat(locked, _WAIT)
        require_one_database(session, key, direct.name)


def require_one_database(session: Session, key: int, name: str) -> None:
    """Raise SpoolError unless a session is in the database where another one has locked a key."""
    if session.repeat(lambda database: database.rows("is_unlocked", (key,)), _WAIT) == [(True,)]:
        raise SpoolError(
            f"{name}: spool.leaseUrl leads to another database than spool.url; give the url of the "
            "same one, without a pooler"
        )
