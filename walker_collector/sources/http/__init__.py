"""The source `http`: an ASGI application that walkerOS's and Segment's clients post to."""

from collections.abc import Iterable
from functools import partial
from typing import Final, Protocol

from walker_collector.config import FlowConfig
from walker_collector.errors import ConfigError, WalkerError
from walker_collector.figures import Figures
from walker_collector.hookspecs import Received
from walker_collector.results import PushResult, Status
from walker_collector.sources.http.app import App
from walker_collector.sources.http.settings import Key, Route, Settings

__all__ = ["App", "Key", "Route", "Settings", "app"]

_NAME: Final = "http"
"""The name in figures of an application that is no source of a flow."""


class Accepting(Protocol):
    """The part of a collector that the application uses."""

    @property
    def flow(self) -> FlowConfig: ...

    def status(self) -> Status: ...

    def push_from(
        self, source: str | None, events: Iterable[Received]
    ) -> list[PushResult | WalkerError]: ...


def app(
    collector: Accepting, settings: Settings | None = None, *, source: str | None = None
) -> App:
    """Return an ASGI application that hands the events posted to it to a collector.

    `source` names a source of the collector's flow: the events pass its steps, and the application
    has its settings, unless others are given. Raises ConfigError for one that the flow does not
    have, or that lacks a secret.
    """
    figures = Figures(lambda: collector.status())
    if source is None:
        accept = figures.counting(_NAME, partial(collector.push_from, None))
        return App(accept, settings or Settings(), lambda: collector.status(), figures, _NAME)
    if source not in collector.flow.sources:
        raise ConfigError(
            f"sources: there is no {source} that can be served; `walker validate --serve` says why",
            collector.flow.source,
        )
    config = collector.flow.sources[source].config
    settings = settings or config.settings.common()
    accept = figures.counting(source, partial(collector.push_from, source))
    status = collector.status
    return App(accept, settings, status, figures, source, reads_whole=config.has_steps)
