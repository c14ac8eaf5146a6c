"""The keys that the undecided events of a group name."""

from collections.abc import Mapping, Sequence
from typing import Any

from walker_collector.people.identity import KINDS
from walker_collector.spool.person_keys import is_signed_in, unclaimed


class OpenKeys:
    """The keys that undecided events of a group name, which may be news.

    A later event of the group that they may concern is decided after them, with the group; any
    other at once, which takes a fraction of the time. News of an id concerns its person and the
    keys themselves, since it is only people without an id that are merged into somebody else. News
    without an id may concern anybody: to know better, the spool would have to be asked.
    """

    def __init__(self) -> None:
        self._keys: set[str] = set()
        self._concern_anybody = False

    def add(self, keys: Sequence[str]) -> None:
        """Add the keys that an event names, strongest first; of a single one nothing follows."""
        if len(keys) > 1:
            self._keys.update(map(unclaimed, keys))
            self._concern_anybody |= not is_signed_in(keys[0])

    def may_concern(self, user: Mapping[str, Any], person: str) -> bool:
        """Return whether news of these keys may concern a user, known to be this person."""
        if not person or not self._keys:
            return False
        if self._concern_anybody or not is_signed_in(person):
            return True
        keys = (f"{kind}:{user[kind]}" for kind in KINDS if user.get(kind))
        return not self._keys.isdisjoint((unclaimed(person), *keys))
