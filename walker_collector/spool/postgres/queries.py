"""The statements of the spool, from files of SQL.

A line `-- name` begins a statement, which goes on to the next such line. `{schema}` stands for the
schema of the spool: nothing depends on a search path, which a pooler may give to somebody else.
"""

import re
from functools import cache
from importlib.resources import files
from typing import Final

from psycopg.sql import Identifier

from walker_collector.spool.postgres.quick_statements import QuickStatement

_NAME: Final = re.compile(r"^-- (\w+)$", re.MULTILINE)
_FILES: Final = (
    "commits",
    "events",
    "marks",
    "people",
    "search",
    "erasures",
    "leases",
    "claims",
    "outbox",
    "samples",
    "access",
)

_QUICK: Final = ("claim", "ack")


class Queries:
    """The statements by their names, for one schema."""

    def __init__(self, schema: str) -> None:
        self.schema = schema
        self._quoted = Identifier(schema).as_string(None)
        self._texts = {
            name: text.replace("{schema}", self._quoted).encode() for name, text in _all().items()
        }
        self.quick = {name: QuickStatement(name, self._texts[name]) for name in _QUICK}
        """Those that run for every batch, each in one session of a process."""

    def __getitem__(self, name: str) -> bytes:
        return self._texts[name]

    def script(self, file: str) -> bytes:
        """Return all statements of a file: those that make tables, or views."""
        return _read(file).replace("{schema}", self._quoted).encode()


@cache
def _all() -> dict[str, str]:
    found: dict[str, str] = {}
    for file in _FILES:
        _, *parts = _NAME.split(_read(file))
        names, texts = parts[::2], parts[1::2]
        found.update(zip(names, map(str.strip, texts), strict=True))
    return found


def _read(file: str) -> str:
    return files(__package__).joinpath("sql", f"{file}.sql").read_text("utf-8")
