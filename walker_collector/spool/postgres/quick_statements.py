"""Statements that run for every batch, prepared and run beneath psycopg's cursors.

A cursor finds the types of all values, packs them, and keeps account of what is prepared. Twice for
each batch, that was a third of what a claim and an acknowledgement took of the process.
"""

import re
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any, Final

import psycopg
from psycopg.errors import error_from_result
from psycopg.postgres import types
from psycopg.pq import DiagnosticField, ExecStatus
from psycopg.pq.abc import PGconn, PGresult

_PLACE: Final = re.compile(rb"%\((\w+)\)s")
_NOT_PREPARED: Final = b"26000"
"""SQLSTATE of a statement that the session has not, or not any more."""
_PREPARED_BEFORE: Final = b"42P05"
"""SQLSTATE of a statement whose name the session has already."""


class QuickStatement:
    """A statement with numbers, text, and lists of numbers or bytes as its values.

    It must not be part of a transaction. Of its rows, numbers and booleans are read. It serves one
    connection at a time: a thread that runs it in another one has to wait for its turn.
    """

    def __init__(self, name: str, text: bytes) -> None:
        self._keys = list(dict.fromkeys(found.decode() for found in _PLACE.findall(text)))
        places = {key.encode(): b"$%d" % at for at, key in enumerate(self._keys, 1)}
        self._text = _PLACE.sub(lambda found: places[found[1]], text)
        # Of its text: so what a session has by this name is this very statement.
        self._name = f"walker_{name}_{blake2b(self._text, digest_size=8).hexdigest()}".encode()
        self._prepared_in: object = None

    def rows(
        self, connection: psycopg.Connection[Any], values: Mapping[str, Any]
    ) -> list[tuple[Any, ...]]:
        """Return the rows of the statement. Raises psycopg.Error."""
        pgconn = connection.pgconn
        texts = [_text(values[key]) for key in self._keys]
        if self._prepared_in is not pgconn:
            self._prepare(pgconn)
        result = pgconn.exec_prepared(self._name, texts)
        # After a rollback, psycopg has the session forget all that is prepared.
        if result.error_field(DiagnosticField.SQLSTATE) == _NOT_PREPARED:
            self._prepare(pgconn)
            result = pgconn.exec_prepared(self._name, texts)
        if result.status != ExecStatus.TUPLES_OK:
            raise _error_of(result)
        readers = [_READERS.get(result.ftype(at), bytes.decode) for at in range(result.nfields)]
        return [
            tuple(
                None if (value := result.get_value(row, at)) is None else read(value)
                for at, read in enumerate(readers)
            )
            for row in range(result.ntuples)
        ]

    def _prepare(self, pgconn: PGconn) -> None:
        made = pgconn.prepare(self._name, self._text)
        state = made.error_field(DiagnosticField.SQLSTATE)
        if made.status != ExecStatus.COMMAND_OK and state != _PREPARED_BEFORE:
            raise _error_of(made)
        self._prepared_in = pgconn


def _error_of(result: PGresult) -> psycopg.Error:
    if result.error_field(DiagnosticField.SQLSTATE) is None:  # the connection was lost
        return psycopg.OperationalError(result.get_error_message())
    return error_from_result(result)


def _text(value: Any) -> bytes:
    """Return a value as the server reads it from text."""
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, list):
        items = (f'"\\\\x{item.hex()}"' if isinstance(item, bytes) else str(item) for item in value)
        return f"{{{','.join(items)}}}".encode()
    return str(value).encode()


_READERS: Final[Mapping[int, Callable[[bytes], Any]]] = {
    types["bool"].oid: b"t".__eq__,
    types["int2"].oid: int,
    types["int4"].oid: int,
    types["int8"].oid: int,
}
