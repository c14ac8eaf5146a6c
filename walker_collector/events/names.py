"""The names of events: entity and action, and advice on invalid ones."""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from walker_collector.errors import EventError
from walker_collector.events.identifiers import check_identifier, may_need_check

_NOT_NAMES: Final = ("event", "eventName", "event_name")
"""Keys that other collectors have the name of an event under."""
_SEPARATORS: Final = re.compile(r"[\s_.:/-]+")
_CAPITAL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def split_name(name: Any) -> tuple[str, str]:
    """Return entity and action of an event name; further words are part of the name only.

    Raises EventError if the name is missing, not a string, lacks one of the two, or begins with
    "walker", which is reserved for commands.
    """
    if not isinstance(name, str):
        kind = "missing" if name is None else f"of type {type(name).__name__}"
        raise EventError(f'event name is {kind}; write "entity action", such as "order complete"')
    return words_of(str.__str__(name))


@lru_cache(maxsize=1024)
def words_of(name: str) -> tuple[str, str]:
    """Return entity and action of an event name that is plain text; see `split_name`."""
    words = name.split(" ")
    if len(words) < 2 or not words[0] or not words[1]:
        raise EventError(
            f'event name {name[:80]!r} is not "entity action": two words with one space between'
            f"{_meant(name)}"
        )
    if may_need_check(name):
        check_identifier("event name", name)
    if words[0].lower() == "walker":  # `Walker Consent` is hardly meant to be an event
        raise EventError(
            f"{name[:80]!r} is no command; there are walker consent, walker user, walker globals"
        )
    return words[0], words[1]


def _meant(name: str) -> str:
    """Return text to follow a name that is not two words: the one that was probably meant."""
    words = _CAPITAL.sub(" ", _SEPARATORS.sub(" ", name)).split()
    if len(words) < 2 or len(name) > 80:
        return ', such as "order complete"'
    return f"; did you mean {' '.join(words).lower()!r}?"


def missing_name(raw: Mapping[str, Any]) -> EventError:
    """Return the error for an event without a name, which may stand in another place."""
    found = next((key for key in _NOT_NAMES if isinstance(raw.get(key), str)), None)
    place = f', and stands under "name", not under "{found}"' if found else ""
    return EventError(
        f'event name is missing{place}; write "entity action", such as "order complete"'
    )
