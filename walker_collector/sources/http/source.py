"""The plugin: the source `http`, and walkerOS's two server sources with their own settings."""

import socket
from collections.abc import Mapping
from typing import Any, ClassVar

from walker_collector.hookspecs import SourceContext, hookimpl
from walker_collector.sources.http.app import App
from walker_collector.sources.http.server import address_of, listen, run_server
from walker_collector.sources.http.settings import ExpressSettings, FetchSettings, Settings
from walker_collector.sources.http.tls import tls_of


class _Server:
    @staticmethod
    def is_open(settings: Any) -> bool:
        """Return whether anybody may send events: callers need no key."""
        return not settings.keys

    @staticmethod
    def listen(settings: Any) -> socket.socket:
        """Return a socket that listens where the settings say."""
        return listen(settings.host, settings.port)

    @hookimpl
    def run(self, context: SourceContext) -> None:
        """Listen, and hand on the events of requests."""
        settings: Settings = context.settings.common()
        tls = tls_of(settings)
        inspector = context.inspector if settings.inspect else None
        app = App(
            context.accept,
            settings,
            context.status,
            context.figures,
            context.id,
            inspector,
            reads_whole=context.config.has_steps,
        )
        with context.listener or self.listen(context.settings) as listener:
            place = address_of(listener, "https" if tls else "http") + settings.routes[0].path
            run_server(app, settings, tls, listener, place, context)


class ExpressSource(_Server):
    """As walkerOS's source of that name: for its own clients."""

    settings = ExpressSettings


class FetchSource(_Server):
    """As walkerOS's source of that name, which runs in a server that others write."""

    settings = FetchSettings


class HttpSource(_Server):
    """Takes events over HTTP, from walkerOS's and Segment's clients."""

    settings = Settings
    aliases: ClassVar[Mapping[str, type]] = {
        "@walkeros/server-source-express": ExpressSource,
        "@walkeros/server-source-fetch": FetchSource,
    }
