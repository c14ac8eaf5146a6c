"""From an error of PostgreSQL to the error that it means for the events of a statement.

The first two characters of an error code are its class (PostgreSQL documentation, appendix A). No
reason quotes a message about a statement, since such messages quote values.
"""

from typing import Final

import psycopg

from walker_collector import DestinationDown, Rejected, RetryLater, WalkerError

_BAD_DATA: Final = frozenset({"22", "23"})
"""Classes of errors about values that a type or a constraint does not allow."""
_MISCONFIGURED: Final = frozenset({"0A", "28", "3D", "3F", "42"})
"""Classes of errors that a person must mend: missing tables, columns or rights, refused logins."""
_TRANSIENT_REFUSALS: Final = (
    "starting up",
    "shutting down",
    "in recovery",
    "too many",
    "remaining connection slots",
)


def connection_error(error: psycopg.OperationalError) -> WalkerError:
    """Return the error for a failed connection; the reason quotes the server."""
    reason = str(error).strip().splitlines()[0].rpartition("failed: ")[2] if str(error) else ""
    what = f"no connection to PostgreSQL: {reason or type(error).__name__}"
    if "FATAL" in reason and not any(refusal in reason for refusal in _TRANSIENT_REFUSALS):
        return DestinationDown(f"{what}; check settings.url")
    return RetryLater(what)


def statement_error(error: psycopg.Error) -> WalkerError:
    """Return the error for a failed statement."""
    code = error.sqlstate
    what = f"PostgreSQL: {type(error).__name__}" + (f" ({code})" if code else "")
    kind = (code or "")[:2]
    if kind in _BAD_DATA or (code is None and isinstance(error, psycopg.DataError)):
        return Rejected(f"{what}: the table does not accept a value of this event")
    if kind in _MISCONFIGURED:
        return DestinationDown(f"{what}; check the table, its columns and the user's rights")
    return RetryLater(what)
