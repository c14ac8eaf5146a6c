"""Warnings of keys that no event has."""

from typing import Any, Final

from walker_collector.events import hint_at_part
from walker_collector.text import get_logger, storable

_UNKNOWN_MAX: Final = 20
"""Unknown keys of events that are logged, once each."""

logger = get_logger("walker_collector")


class UnknownKeys:
    """Warns of keys that no event has, each once: one may be misspelt."""

    def __init__(self) -> None:
        self._seen: set[str] = set()

    def __call__(self, key: Any) -> None:
        shown = storable(key, 80)
        if shown in self._seen or len(self._seen) >= _UNKNOWN_MAX:
            return
        self._seen.add(shown)
        logger.warning("%r is no part of an event and is left out%s", shown, hint_at_part(shown))
