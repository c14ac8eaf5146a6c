"""Troubles of an application's connection as SpoolErrors with a remedy, for whichever driver.

The text of an error is not quoted: SQLAlchemy's has the statement and its values, a person's event.
"""

from collections.abc import Iterator
from typing import Any, Final

from walker_collector.errors import SpoolError
from walker_collector.text import storable, type_name

_CALL: Final = "push(connection=...)"
_GONE: Final = (
    "the connection is closed, or its server has gone away; open another one, and repeat the "
    "transaction from its beginning"
)
_REMEDIES: Final = {
    "25P02": "an earlier statement of its transaction has failed; roll back, and repeat the "
    "transaction from its beginning",
    "25006": "its session is read-only, as on a standby; take a connection to the primary that may "
    "write",
    "42601": "its cursors take other parameters than %s; take a connection with psycopg's usual "
    "ones",
    "55P03": "it has waited for a lock for too long; roll back, and repeat the transaction",
    "40": "others have written the same rows; roll back, and repeat the transaction",
    "53": "the server lacks memory or disk; make room, and repeat the transaction",
    "57": _GONE,
    "08": _GONE,
}
"""By SQLSTATE, or its class."""
_LOST: Final = ("OperationalError", "InterfaceError")
"""Errors of drivers (DB-API) that have no SQLSTATE if no server has answered."""


def of_another_kind(connection: Any) -> str:
    """Return the reason why a connection is none to a PostgreSQL; "" if it may be one."""
    if not hasattr(connection, "exec_driver_sql") and (
        not hasattr(connection, "cursor") or hasattr(connection, "__aenter__")
    ):
        return (
            f"{_CALL}: takes a psycopg, Django or SQLAlchemy connection, not "
            f"{type(connection).__name__}; of a session of SQLAlchemy give session.connection()"
        )
    kind = _database_of(connection)
    if kind in ("", "postgresql"):
        return ""
    return f"{_CALL}: the events wait in PostgreSQL, and this is a connection to {kind}"


def _database_of(connection: Any) -> str:
    """Return the kind of a connection's database; "" if it does not tell."""
    if type(connection).__module__.partition(".")[0] == "sqlite3":
        return "sqlite"
    kind = getattr(connection, "vendor", None)  # Django's
    if kind is None:  # SQLAlchemy's
        kind = getattr(getattr(connection, "dialect", None), "name", None)
    return storable(kind, 40) if isinstance(kind, str) else ""


def not_posted(error: Exception, name: str, schema: str) -> SpoolError:
    """Return the error of a row that could not be written into the outbox of a spool."""
    found = next((item for item in _chain(error) if _state(item)), error)
    state = _state(found)
    if state in ("3F000", "42P01", "42703"):  # no schema, table or column of that name
        remedy = f"its database has no such outbox; it must be a connection to {name}"
    elif state == "42501":
        remedy = (
            f"its user may not write there; GRANT USAGE ON SCHEMA {schema}, and INSERT ON "
            f"{schema}.outbox, to that user"
        )
    elif state:
        remedy = _REMEDIES.get(state) or _REMEDIES.get(state[:2]) or _refusal(found)
    elif any(type_name(item).endswith(_LOST) for item in _chain(error)):
        remedy = _GONE
    else:
        remedy = f"its driver has raised {type_name(error)}; see whether it takes %s parameters"
    sign = f" (SQLSTATE {state})" if state else ""
    return SpoolError(f"{_CALL}: no row could be written{sign}: {remedy}")


def _refusal(error: BaseException) -> str:
    text = getattr(getattr(error, "diag", None), "message_primary", None)
    return f"{storable(text or type_name(error), 200)}; see the log of the server"


def _state(error: BaseException) -> str:
    """Return the SQLSTATE of an error; "" if it has none."""
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    return state if isinstance(state, str) else ""


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, and those of drivers below it."""
    below: BaseException | None = error
    for _ in range(5):
        if below is None:
            return
        yield below
        below = below.__cause__
