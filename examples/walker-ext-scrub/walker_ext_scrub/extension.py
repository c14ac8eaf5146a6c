"""The extension: wraps the deliveries of every destination, except those that need addresses."""

import os
from collections.abc import Generator, Sequence
from typing import Any, Final

from walker_collector import Context, Event, Item, PushContext, Rejected, hookimpl
from walker_ext_scrub.text import scrubbed

EXCEPT: Final = "WALKER_SCRUB_EXCEPT"
"""Environment variable: ids of destinations that get addresses, separated by commas."""


class Scrub:
    """Removes email addresses from deliveries, except to `spared` (default: customerio)."""

    def __init__(self, spared: Sequence[str] | None = None) -> None:
        names = os.environ.get(EXCEPT, "customerio").split(",") if spared is None else spared
        self._spared = frozenset(name.strip() for name in names)

    @hookimpl(wrapper=True)
    def push(self, event: Event, data: Any, context: PushContext) -> Generator[None, Any, Any]:
        """Scrub one event before its destination sees it."""
        if context.id not in self._spared:
            _scrub_in_place(event)
            _scrub_data(data)
        return (yield)

    @hookimpl(wrapper=True)
    def push_batch(self, batch: Sequence[Item], context: Context) -> Generator[None, Any, Any]:
        """Scrub every event of a batch before its destination sees it."""
        if context.id not in self._spared:
            for item in batch:
                _scrub_in_place(item.event)
                item.data = scrubbed(item.data)
        return (yield)


def _scrub_in_place(event: dict[str, Any]) -> None:
    """Put scrubbed values into the object itself, as a wrapper cannot pass on another one.

    Nested values are replaced, not changed, since the mapping may share them.
    """
    clean = scrubbed(event)
    if clean is not event:
        event.clear()
        event.update(clean)


def _scrub_data(data: Any) -> None:
    """Scrub the mapped data in place; raises Rejected if they are a bare address."""
    if isinstance(data, dict):
        _scrub_in_place(data)
    elif isinstance(data, list):
        data[:] = scrubbed(data)
    elif scrubbed(data) is not data:
        raise Rejected("the mapped data is an email address; map it into an object instead")
