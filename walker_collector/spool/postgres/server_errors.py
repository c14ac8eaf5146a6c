"""Errors of PostgreSQL as SpoolErrors with a remedy."""

from typing import Final

import psycopg

from walker_collector.errors import SpoolError
from walker_collector.text import storable


class ServerTrouble(SpoolError):
    """The server cannot be reached, or cannot do it just now; another attempt may succeed."""


_DOWN: Final = "see whether the server runs and this machine reaches it; accepted events are safe"
READ_ONLY: Final = (
    "this server is a standby, or read-only: give the url of the primary; if it is the primary, "
    "see default_transaction_read_only of its user and database"
)
_REMEDIES: Final = {
    "25006": READ_ONLY,
    "25P03": "this process was stopped in the middle of a write; it writes again",
    "28": "check the user and the password in the url",
    "3D": "create the database, or correct its name in the url",
    "40": "others write the same rows; it is written again",
    "42P01": "tables of the spool are gone, or spool.leaseUrl leads to another database",
    "42501": "grant the user of the url all rights on the schema, and CREATE on the database",
    "53100": "the disk of the server is full: make room; accepted events are safe",
    "53300": "the server has no connection left: raise max_connections, or run fewer processes",
    "53": "the server lacks memory or disk; accepted events are safe",
    "55P03": "another process has been writing for too long; see whether it is stopped",
    "57014": "statement_timeout of the server, its database or user is too short, the server took "
    "over 10 s for a claim, or somebody has cancelled the statement; accepted events are safe",
    "57P05": "the session was idle for too long, as that of a stopped process is",
    "57": _DOWN,
    "58": "the disk of the server fails: see its log",
    "08": _DOWN,
    "url": "correct the parameters of the url",
    "ssl": "give sslmode and certificates in the url as the server wants them",
    "host": "correct the host in the url, or the name service of this machine; accepted events are "
    "safe",
}
"""By SQLSTATE, or its class."""
_FOR_GOOD: Final = ("28", "3D", "42P01", "42501", "url", "ssl")
_SIGNS: Final = {
    "password authentication failed": "28",
    "no pg_hba.conf entry": "28",
    'role "': "28",
    'database "': "3D",
    "too many clients": "53300",
    "connection slots": "53300",
    "could not write init file": "53100",
    "No space left on device": "53100",
}
"""Texts of refused connections -> SQLSTATE, which libpq does not hand on."""
_UNMADE: Final = {
    "invalid sslmode": "url",
    "invalid integer value": "url",
    "invalid port number": "url",
    "invalid target_session_attrs": "url",
    "support SSL": "ssl",
    "certificate": "ssl",
    "resolve host": "host",
    "translate host name": "host",
    "session is read-only": "25006",
    "server is in hot standby": "25006",
}
"""Texts of connections that were not made, of libpq and psycopg -> the key of the remedy."""


def spool_error(name: str, error: psycopg.Error) -> SpoolError:
    """Return the error to raise for the spool of this name, with the remedy."""
    state = _state(error)
    hint = _REMEDIES.get(state) or _REMEDIES.get(state[:2])
    text = str(error).split("\n", 1)[0]
    for told_again in ("connection failed: ", "consuming input failed: "):
        text = text.removeprefix(told_again)
    text = storable(text or type(error).__name__)
    if may_heal(error):
        return ServerTrouble(f"{name}: {text}; {hint or _DOWN}")
    return SpoolError(f"{name}: {text}; {hint or 'see the log of the server'}")


def may_heal(error: psycopg.Error) -> bool:
    """Return whether the same may succeed a moment later."""
    state = _state(error)
    if not state:  # no answer of a server: the connection was lost, or not made
        return isinstance(error, psycopg.OperationalError)
    return (state in _REMEDIES or state[:2] in _REMEDIES) and not state.startswith(_FOR_GOOD)


def is_conflict(error: psycopg.Error) -> bool:
    """Return whether others came between: the transaction is to be repeated at once."""
    return error.sqlstate in ("40001", "40P01")


def _state(error: psycopg.Error) -> str:
    if error.sqlstate:
        return error.sqlstate
    _, fatal, text = str(error).partition("FATAL:")
    signs = _SIGNS if fatal else _UNMADE
    return next((state for sign, state in signs.items() if sign in (text or str(error))), "")
