"""The source `http`: an ASGI application that walkerOS's and Segment's clients post to."""

from walker_collector.sources.http.app import App, EventDoor
from walker_collector.sources.http.settings import Key, Route, Settings

__all__ = ["App", "Key", "Route", "Settings", "app"]


def app(collector: EventDoor, settings: Settings | None = None) -> App:
    """Return an ASGI application that hands the events posted to it to a collector."""
    return App(collector, settings or Settings())
