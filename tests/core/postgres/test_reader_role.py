"""A role of the database that may read the views, as a dashboard has."""

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from walker_collector.spool import NewEvent, State
from walker_collector.spool.postgres import Place, open_spool


def test_role_with_the_views_needs_no_right_to_the_tables(place: Place) -> None:
    spool = open_spool(place, shards=1)
    body = b'{"name":"page view","id":"e1"}'
    spool.append([NewEvent("id:ines", 1_000, body, {"crm": State.HELD})], lambda runs: None)
    spool.close()
    role, schema = Identifier(f"reader_of_{place.schema}"), Identifier(place.schema)
    with psycopg.connect(place.url) as db:
        db.execute(SQL("CREATE ROLE {}").format(role))
        db.execute(SQL("GRANT USAGE ON SCHEMA {} TO {}").format(schema, role))
        db.execute(SQL("GRANT SELECT ON {}.walker_held TO {}").format(schema, role))
        db.execute(SQL("SET ROLE {}").format(role))
        held = SQL("SELECT id, name, destination FROM {}.walker_held").format(schema)
        assert db.execute(held).fetchall() == [("e1", "page view", "crm")]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            db.execute(SQL("SELECT * FROM {}.events").format(schema))
        db.rollback()  # the role, too
