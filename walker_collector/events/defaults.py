"""The values that a collector adds to its events."""

import itertools
import os
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson
from attrs import Factory, define, field

from walker_collector.config import CollectorConfig
from walker_collector.errors import EventError
from walker_collector.events.period import Period
from walker_collector.secret import revealed
from walker_collector.version import __version__

SCHEMA: Final = "4"


@define(eq=False)
class Defaults:
    """The values that a collector adds to its events.

    new_id: returns a new id: text that JSON writes as it is. trace: the same for all events of a
        run. count: numbers them.
    name, release: of this collector, in `source.release`. The platform of the event's source
        replaces a missing name, the version of this package a missing release.
    user, globals: merged below every event's own.
    period: the accepted times of events.
    on_unknown: called with each key that no event has; such keys are left out.
    on_misnamed: called with each user whose keys are not all identifiers.
    """

    new_id: Callable[[], str]
    trace: str = ""
    count: Callable[[], int] = Factory(lambda: itertools.count(1).__next__)
    name: str | None = None
    release: str | None = None
    user: Mapping[str, Any] = Factory(dict)
    globals: Mapping[str, Any] = Factory(dict)
    period: Period = Factory(Period)
    on_unknown: Callable[[Any], object] = id
    on_misnamed: Callable[[Mapping[Any, Any]], object] = id
    _own_release: dict[str, str] = field(init=False)
    _shown_source: tuple[str | None, str, str] = field(default=(None, "", ""), init=False)
    """The trace, and the JSON of a source with it, before and after its count."""

    @classmethod
    def of(cls, config: CollectorConfig, new_id: Callable[[], str], **more: Any) -> "Defaults":
        """Return the defaults of a collector of this configuration."""
        return cls(
            new_id,
            name=config.name,
            release=config.release,
            user=revealed(config.user),
            globals=revealed(config.globals),
            period=Period.of(config.oldest, config.max_ahead),
            **more,
        )

    def __attrs_post_init__(self) -> None:
        self._own_release = {self.name or "default": self.release or __version__}

    def begin_run(self) -> None:
        """Begin a run of a collector: a new trace, and events counted from 1."""
        self.trace = os.urandom(16).hex()
        self.count = itertools.count(1).__next__

    def own_source(self) -> str:
        """Return the source of an event that comes without one, as JSON after a comma."""
        trace, before, after = self._shown_source
        if trace is not self.trace:
            source = orjson.dumps({"source": self._source_of("@")}).decode()
            before, after = source[1:-1].split('"@"')
            self._shown_source = trace, before, after = self.trace, f",{before}", after
        return f"{before}{self.count()}{after}"

    def source(self, own: Any) -> dict[str, Any]:
        """Return an event's source: its own statements, completed by the collector.

        As in walkerOS (collector, handle.ts): only an event without a source gets the type
        `collector`, and an event with a count of its own does not advance the collector's.
        """
        if own is None:
            return self._source_of(self.count())
        if not isinstance(own, dict):
            raise EventError("source: must be an object")
        return {
            **own,
            "count": self.count() if own.get("count") is None else own["count"],
            "trace": self.trace if own.get("trace") is None else own["trace"],
            "release": self._release_after(own),
        }

    def _source_of(self, count: int | str) -> dict[str, Any]:
        return {
            "type": "collector",
            "schema": SCHEMA,
            "count": count,
            "trace": self.trace,
            "release": self._own_release,
        }

    def _release_after(self, own: Mapping[str, Any]) -> dict[str, Any]:
        """Return the releases of all collectors that the event has passed, this one last."""
        passed = own.get("release") or {}
        if not isinstance(passed, dict):
            raise EventError("source.release: must be an object")
        if self.name is None and isinstance(platform := own.get("platform"), str):
            return {**passed, platform: self._own_release["default"]}
        return {**passed, **self._own_release}
