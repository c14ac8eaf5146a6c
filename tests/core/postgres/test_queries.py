"""The files of statements: each one is used, and can be run."""

import re
from pathlib import Path

import psycopg

import walker_collector.spool.postgres
from tests.core.postgres.test_sessions import prepared
from walker_collector.spool.postgres import Place
from walker_collector.spool.postgres.queries import Queries

FOLDER = Path(walker_collector.spool.postgres.__file__).parent
NOT_PREPARED = {"begin", "commit", "vacuum"}


def names() -> list[str]:
    files = [path for path in FOLDER.glob("sql/*.sql") if not path.stem.startswith("schema")]
    return [name for path in files for name in re.findall(r"^-- (\w+)$", path.read_text(), re.M)]


def test_every_statement_has_a_name_of_its_own_and_is_used() -> None:
    code = "".join(path.read_text("utf-8") for path in FOLDER.glob("*.py"))
    assert len({*names()}) == len(names())
    assert [name for name in names() if f'"{name}"' not in code] == []


def numbered(statement: str) -> str:
    """Return a statement with its values as the server has them: $1, $2."""
    known: dict[str, int] = {}

    def number(match: re.Match[str]) -> str:
        return f"${known.setdefault(match[1] or str(match.start()), len(known) + 1)}"

    return re.sub(r"%(?:\((\w+)\))?s", number, statement)


def test_server_understands_every_statement(place: Place) -> None:
    prepared(place)
    queries = Queries(place.schema)
    with psycopg.connect(place.url, autocommit=True) as connection:
        for name in {*names()} - NOT_PREPARED:
            text = numbered(queries[name].decode())
            connection.execute(f"PREPARE {name} AS {text}".encode())
