"""Warnings of keys that no event has, and of keys of a user that identify nobody."""

from collections.abc import Mapping
from typing import Any, Final

from walker_collector.events import hint_at_part, misnamed
from walker_collector.text import get_logger, storable

_UNKNOWN_MAX: Final = 20
"""Unknown keys of events that are logged, once each."""

logger = get_logger("walker_collector")


class UnknownKeys:
    """Warns of keys that are probably misspelt, each once."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def of_event(self, key: Any) -> None:
        """Warn of a key that no event has."""
        shown = storable(key, 80)
        if self._is_new(shown):
            logger.warning(
                "%r is no part of an event and is left out%s", shown, hint_at_part(shown)
            )

    def of_user(self, user: Mapping[Any, Any]) -> None:
        """Warn of keys of a user that identify nobody, in place of the right ones."""
        for key, meant in misnamed(user):
            if self._is_new(f"user.{key}"):
                logger.warning(
                    "user.%s identifies nobody: a person is known by id, device and session; did "
                    'you mean user={"%s": ...}?',
                    key,
                    meant,
                )

    def _is_new(self, key: str) -> bool:
        if key in self._seen or len(self._seen) >= _UNKNOWN_MAX:
            return False
        self._seen.add(key)
        return True
