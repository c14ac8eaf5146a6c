"""Checks of the settings of a spool: its path, or the URL and the schema of a database."""

import re
from contextlib import suppress
from typing import Any, Final

from walker_collector.naming import hint
from walker_collector.validators import names_file

_PARTS: Final = re.compile(r"(postgres(?:ql)?://)([^/?#]*)([^?#]*)")
"""Scheme, login with hosts, and path. `urlsplit` refuses brackets beside other hosts."""
_HOST: Final = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*)(:[0-9]{0,5})?")
"""A host with its port, either of which PostgreSQL's library knows where it is left out."""
_SCHEMA: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_URL: Final = '{"url": "$secret.DATABASE_URL"}, with the url in that environment variable'
"""An example that leaves the password out of the flow."""
_SHARED: Final = ("public", "information_schema")


def names_spool(spool: Any, _: Any, value: str) -> None:
    """Refuse a path that `names_file` refuses, and names that SQLite does not take for a file.

    Without a `url` there must be a path, and beside one none.
    """
    url = getattr(spool, "url", None)
    if value and url is not None:
        raise ValueError("has a path and a url; leave one of them out")
    if not value and hasattr(spool, "url"):  # while a flow is read, only if it was given
        if url is not None:
            return
        raise ValueError('needs a path, such as "spool.db", or the url of a PostgreSQL database')
    if _is_url(value):  # not quoted: it has a password
        raise ValueError(f"is the url of a database; write {_URL}")
    if value == ":memory:" or value.startswith("file:"):
        raise ValueError("must be the path of a file; without a spool, events wait in memory")
    try:
        names_file(spool, _, value)
    except ValueError as error:
        raise ValueError(f"{error}, such as spool.db") from None


def spool_example(raw: Any) -> str:
    """Return a right setting for the place of a value that is no object."""
    return _URL if isinstance(raw, str) and _is_url(raw) else '{"path": "spool.db"}'


def _is_url(text: str) -> bool:
    return text.startswith(("postgresql:", "postgresql+", "postgres:"))


def names_database(_: Any, __: Any, value: Any) -> None:
    """Refuse a URL (a Secret) that is none of PostgreSQL; None passes.

    Its parameters are checked where psycopg is installed.
    """
    if value is None:
        return
    url: str = value.reveal()
    parts = _PARTS.match(url)
    if parts is None:
        raise ValueError("must be a URL of PostgreSQL: postgresql://USER:PASSWORD@HOST/DATABASE")
    # Nothing is quoted: of a password with an "@" or a "/", a part would count as host or port.
    login_and_hosts = parts[2]
    if login_and_hosts.count("@") > 1:
        raise ValueError("has two @; write %40 for an @ in the password")
    # Of several hosts, any may be the one that takes writes.
    hosts = login_and_hosts.rpartition("@")[2].split(",")
    if not all(_HOST.fullmatch(host) for host in hosts):
        raise ValueError("has a port that is no number; write %2F for a / in the password")
    with suppress(ImportError):  # told when the spool is opened
        url_parameters(url)


def url_parameters(url: str) -> dict[str, Any]:
    """Return the parameters of a URL, host and password among them.

    Raises ValueError with a text that has no part of the password, ImportError without psycopg.
    """
    from psycopg import ProgrammingError, conninfo, pq  # an extra of this package

    try:
        return conninfo.conninfo_to_dict(url)
    except ProgrammingError as error:
        # Not chained: its text has parts of the url, and so maybe of the password.
        name = str(error).partition('query parameter: "')[2].partition('"')[0]
        known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
        meant = hint(name, known)
        if name and "did you mean" in meant:  # else it may be part of the password
            raise ValueError(f"has an unknown parameter {name}{meant}") from None
        raise ValueError(
            "is no url of a database; write postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with "
            "%40 for an @ in the password, %2F for a /, and %25 for a %"
        ) from None


def without_login(url: str) -> str:
    """Return a URL for people: its scheme, host, port and path alone."""
    parts = _PARTS.match(url)
    return f"{parts[1]}{parts[2].rpartition('@')[2]}{parts[3]}" if parts else ""


def names_schema(_: Any, __: Any, value: str) -> None:
    """Refuse schemas of others, and names that would need quotes or that PostgreSQL reserves."""
    if value in _SHARED:
        raise ValueError("the spool needs a schema of its own; write another")
    if not _SCHEMA.fullmatch(value) or value.startswith("pg_"):
        raise ValueError(
            "must be small letters, digits and _, up to 63 of them, and not begin with pg_"
        )
