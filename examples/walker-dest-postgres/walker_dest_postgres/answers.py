"""What PostgreSQL's errors mean for the events that were on their way.

Codes: PostgreSQL's appendix of error codes; the first two characters are the class. No reason
quotes a message about a statement, since these quote values.
"""

from typing import Final

import psycopg

from walker_collector import DestinationDown, Rejected, RetryLater, WalkerError

_UNFIT: Final = frozenset({"22", "23"})
"""Data that a type or a constraint does not take."""
_FOR_A_PERSON: Final = frozenset({"0A", "28", "3D", "3F", "42"})
"""No such table, schema or column; no right to it; the login is refused."""
_PASSING_REFUSALS: Final = (
    "starting up",
    "shutting down",
    "in recovery",
    "too many",
    "remaining connection slots",
)


def refused_login(error: psycopg.OperationalError) -> WalkerError:
    """Return what a failed connection means; the server's own words name user and database."""
    reason = str(error).strip().splitlines()[0].rpartition("failed: ")[2] if str(error) else ""
    said = f"no connection to PostgreSQL: {reason or type(error).__name__}"
    if "FATAL" in reason and not any(passing in reason for passing in _PASSING_REFUSALS):
        return DestinationDown(f"{said}; check settings.url")
    return RetryLater(said)


def failure(error: psycopg.Error) -> WalkerError:
    """Return what a failed statement means."""
    code = error.sqlstate
    what = f"PostgreSQL: {type(error).__name__}" + (f" ({code})" if code else "")
    kind = (code or "")[:2]
    if kind in _UNFIT or (code is None and isinstance(error, psycopg.DataError)):
        return Rejected(f"{what}: the table does not take a value of this event")
    if kind in _FOR_A_PERSON:
        return DestinationDown(f"{what}; check the table, its columns and the user's rights")
    return RetryLater(what)
