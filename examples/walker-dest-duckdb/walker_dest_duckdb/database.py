"""The database: tables that gain columns as needed, and inserts of rows."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Final

import duckdb
import orjson

from walker_collector import DestinationDown, RetryLater
from walker_dest_duckdb.rows import Columns, Row
from walker_dest_duckdb.settings import SHARED, Kind

_TYPES: Final[Mapping[Kind, str]] = {
    "text": "VARCHAR",
    "number": "DOUBLE",
    "integer": "BIGINT",
    "boolean": "BOOLEAN",
    "time": "TIMESTAMP WITH TIME ZONE",
    "json": "JSON",
}
_KINDS: Final = {type_: kind for kind, type_ in _TYPES.items()}
_TRANSIENT: Final = (
    duckdb.IOException,  # such as a full disk
    duckdb.OutOfMemoryException,
    duckdb.TransactionException,  # another connection changes the same table
)


class DuckdbDatabase:
    """A database file with one connection. Safe to use from several threads, one at a time."""

    def __init__(self, path: str) -> None:
        """Open the file, or create it; raises DestinationDown."""
        self._path = path
        self._lock = Lock()
        try:
            self._connection = duckdb.connect(path)
        except duckdb.Error as error:
            raise DestinationDown(f"{path} cannot be opened: {_first_line(error)}") from None

    @contextmanager
    def transaction(self) -> Iterator["Tables"]:
        """Run a block on the tables, in one thread at a time and as one transaction.

        Raises RetryLater for errors that pass, DestinationDown for those that a person must mend.
        Reasons have the type of the error only, since DuckDB's messages may quote values.
        """
        with self._lock:
            try:
                self._connection.begin()
                yield Tables(self._connection)
                self._connection.commit()
            except duckdb.Error as error:
                self._roll_back()
                raise self._failure(error) from None
            except BaseException:
                self._roll_back()
                raise

    def close(self) -> None:
        """Write pending changes to the file, and close it."""
        with self._lock:
            self._connection.close()

    def _roll_back(self) -> None:
        try:
            self._connection.rollback()
        except duckdb.Error:
            return  # the error itself has ended the transaction

    def _failure(self, error: duckdb.Error) -> Exception:
        reason = f"{self._path}: {type(error).__name__}"
        if isinstance(error, _TRANSIENT):
            return RetryLater(reason)
        return DestinationDown(f"{reason}; do the tables have the columns that events fill?")


class Tables:
    """The tables of a database, within a transaction."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def columns(self, table: str) -> Columns:
        """Return the columns of a table, none if it does not exist.

        Raises DestinationDown for a column of an unsupported type.
        """
        found = self._connection.execute(
            "SELECT lower(column_name), data_type FROM duckdb_columns()"
            " WHERE lower(table_name) = lower(?) AND schema_name = current_schema()",
            [table],
        )
        columns: dict[str, Kind] = {}
        for name, type_ in found.fetchall():
            if type_ not in _KINDS:
                types = ", ".join(_KINDS)
                raise DestinationDown(
                    f"table {table}: column {name} is {type_}; make it one of {types}"
                )
            columns[name] = _KINDS[type_]
        return columns

    def prepare(self, table: str, kinds: Columns) -> None:
        """Create a table, or add missing columns to it."""
        name = _identifier(table)
        there = self.columns(table)
        if not there:
            shared = ", ".join(f"{column} {_TYPES[kind]}" for column, kind in SHARED.items())
            self._connection.execute(f"CREATE TABLE {name} ({shared}, PRIMARY KEY (event_id))")
        for column, kind in kinds.items():
            if column not in (there or SHARED):
                self._connection.execute(
                    f"ALTER TABLE {name} ADD COLUMN {_identifier(column)} {_TYPES[kind]}"
                )

    def insert(self, table: str, rows: Sequence[Row]) -> None:
        """Insert rows into a table, in order, except those of events that it has already."""
        kinds = {column: kind for row in rows for column, kind in row.kinds.items()}
        self.prepare(table, kinds)
        fresh = self._fresh(table, rows)
        columns = ", ".join(map(_identifier, kinds))
        shape = {column: _TYPES[kind] for column, kind in kinds.items()}
        body = [{column: row.cells.get(column) for column in kinds} for row in fresh]
        # All rows in one parameter: executemany takes a hundred times as long.
        self._connection.execute(
            f"INSERT INTO {_identifier(table)} ({columns}) SELECT row.* FROM"
            f" (SELECT unnest(from_json_strict(?::JSON, {_literal(_json([shape]))})) AS row)",
            [_json(body)],
        )

    def _fresh(self, table: str, rows: Sequence[Row]) -> list[Row]:
        """Return the rows of new events, each once. ON CONFLICT would not keep their order."""
        by_id: dict[str, Row] = {}
        for row in rows:
            by_id.setdefault(row.cells["event_id"], row)
        known = self._connection.execute(
            f"SELECT event_id FROM {_identifier(table)}"
            " WHERE event_id IN (SELECT unnest(from_json_strict(?::JSON, '[\"VARCHAR\"]')))",
            [_json(list(by_id))],
        )
        for (id,) in known.fetchall():
            del by_id[id]
        return list(by_id.values())


def _json(value: object) -> str:
    return orjson.dumps(value).decode()


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _first_line(error: duckdb.Error) -> str:
    """Return the cause of a failed opening; at that point it cannot quote values."""
    return str(error).splitlines()[0]
