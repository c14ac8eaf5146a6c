"""Events in the outbox: pushed in transactions that have committed, and accepted by nobody yet."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from attrs import frozen

from walker_collector.people.consent import ConsentStore
from walker_collector.people.posted import object_in, rows_of_people
from walker_collector.spool import OutboxRow, StoredSpool
from walker_collector.text import storable


@frozen
class PostedEvent:
    """An event or command that waits in the outbox. at: the time of its push (ms since 1970)."""

    id: str
    event: str
    at: int
    data: Mapping[str, Any]

    def as_object(self, *, with_data: bool) -> dict[str, Any]:
        """Return it for --json."""
        made: dict[str, Any] = {"id": self.id, "event": self.event, "pushed": self.at}
        return {**made, "data": self.data} if with_data else made


def posted_with_id(store: StoredSpool, id_: str) -> list[PostedEvent]:
    """Return the events with an id that wait in the outbox."""
    rows = store.outbox.with_text(id_) if store.outbox else []
    return [item for item in _read(rows) if item.id == id_]


def posted_by(store: StoredSpool, keys: set[str], consents: ConsentStore) -> list[PostedEvent]:
    """Return the events of people that wait in the outbox."""
    if store.outbox is None:
        return []
    numbers, _ = rows_of_people(store.outbox.rows(), keys, consents)
    wanted = {*numbers}
    rows = store.outbox.rows() if wanted else ()
    return [*_read(row for row in rows if row.number in wanted)]


def _read(rows: Iterable[OutboxRow]) -> Iterator[PostedEvent]:
    for row in rows:
        data = object_in(row.body)
        id_, name = (storable(data.get(key) or "", 200) for key in ("id", "name"))
        yield PostedEvent(id_, name, row.at // 1_000, data)
