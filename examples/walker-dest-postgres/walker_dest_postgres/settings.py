"""Settings of the PostgreSQL destination, and of its mapping rules."""

import re
from typing import Any, Final

from attrs import field, frozen
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from walker_collector import Secret
from walker_collector.clients import positive

_NAME: Final = re.compile(r"[^.\0]{1,63}(\.[^.\0]{1,63})?")


def _conninfo(_: Any, __: Any, value: Secret) -> None:
    try:
        conninfo_to_dict(value.reveal())
    except ProgrammingError:
        # The driver's message would quote what it cannot read, password and all.
        raise ValueError("must be postgresql://user:password@host/database") from None


def _table(_: Any, __: Any, value: str | None) -> None:
    if value is not None and not _NAME.fullmatch(value):
        raise ValueError("must be a name of up to 63 characters, or schema.name")


@frozen(kw_only=True)
class Settings:
    """Settings of the destination.

    url: address of the database, with user and password: postgresql://user:password@host/database.
    table: table of events if their rule has none; also as `schema.name`.
    create: create missing tables.
    timeout: timeout of connecting, and of a statement, in ms.
    """

    url: Secret = field(validator=_conninfo)
    table: str = field(default="events", validator=_table)
    create: bool = True
    timeout: int = field(default=10_000, validator=positive)


@frozen(kw_only=True)
class RuleSettings:
    """Settings of a mapping rule.

    table: table of the rule's events, instead of the destination's.
    """

    table: str | None = field(default=None, validator=_table)
