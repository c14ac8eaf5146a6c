"""The statements of a person about consent, for people to read."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from attrs import frozen

from walker_collector.spool import LEARNED, ConsentRecord
from walker_collector.spool.person_keys import is_claimed

_US: Final = 1_000


@frozen
class ConsentStatement:
    """A statement about consent, at a time (ms since 1970).

    origin: "statement": a call or a command; "event": the consent that an event came with.
    claimed: a sender that is not trusted said so.
    """

    key: str
    granted: bool
    at: int
    origin: str
    claimed: bool


def statements_under(
    keys: Iterable[str], consent_of: Callable[[str], ConsentRecord]
) -> list[ConsentStatement]:
    """Return the statements under these keys of a person, sorted by consent key and time."""
    found = [item for key in sorted(keys) for item in _statements(key, consent_of(key))]
    return sorted(found, key=lambda item: (item.key, item.at))


def _statements(key: str, record: ConsentRecord) -> Iterator[ConsentStatement]:
    for name, (granted, stamp) in record.items():
        if name == LEARNED:  # the time of the event that the learned ones are from
            continue
        origin = "event" if name.startswith(LEARNED) else "statement"
        shown = name.removeprefix(LEARNED)
        yield ConsentStatement(shown, granted, stamp // _US, origin, is_claimed(key))
