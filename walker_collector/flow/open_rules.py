"""Find rules with guarded effects that anybody can cause, through an open source."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs

from walker_collector.config import DestinationEntry, SourceEntry
from walker_collector.flow.types import disk_key
from walker_collector.mapping import each_rule
from walker_collector.naming import join

_SHOWN_MAX: Final = 20
"""Rules that a warning names."""


def warn_of_open_rules(
    sources: Mapping[str, SourceEntry], destinations: Mapping[str, DestinationEntry]
) -> tuple[str, ...]:
    """Return a warning that lists the rules which anybody can reach; none if there are none.

    A rule with `untrusted` is meant to be reached.
    """
    opened = [id for id, entry in sources.items() if _is_open(entry)]
    found = [*_guarded_rules(destinations)] if opened else []
    if not found:
        return ()
    more = f" and {len(found) - _SHOWN_MAX:,} more" if len(found) > _SHOWN_MAX else ""
    return (
        f"sources.{', sources.'.join(opened)}: anybody can send events, and cause with them "
        f"{', '.join(found[:_SHOWN_MAX])}{more}; give the source keys, or write "
        '"untrusted": true in a rule that is meant for anybody',
    )


def _is_open(entry: SourceEntry) -> bool:
    is_open = getattr(entry.plugin, "is_open", None)
    return is_open is not None and bool(is_open(entry.config.settings))


def _guarded_rules(destinations: Mapping[str, DestinationEntry]) -> Iterator[str]:
    """Yield each rule with a guarded setting, as its place and the settings."""
    for id, entry in destinations.items():
        guarded: frozenset[str] = getattr(entry.plugin, "guarded", frozenset())
        for place, rule in each_rule(
            entry.config.mapping, join("destinations", id, "config", "mapping")
        ):
            keys = [] if rule.ignore or rule.untrusted else _set_keys(rule.settings, guarded)
            if keys and not entry.config.disabled:
                yield f"{place} ({', '.join(keys)})"


def _set_keys(settings: Any, guarded: frozenset[str]) -> list[str]:
    """Return the guarded keys of a rule's settings that have a value."""
    if settings is None:
        return []
    fields = {disk_key(field): field.name for field in attrs.fields(type(settings))}
    return [key for key, name in fields.items() if key in guarded and getattr(settings, name)]
