"""The sources of a flow at work: each on a thread of its own, until they are told to stop."""

import socket
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from walker_collector.collector import Collector
from walker_collector.config import SourceEntry
from walker_collector.error_details import failure_of
from walker_collector.errors import PluginError, WalkerError
from walker_collector.figures import Figures
from walker_collector.hooks import connect_source
from walker_collector.hookspecs import Positions, SourceContext
from walker_collector.offsets import PositionStore
from walker_collector.plugins import Registry, extensions_at_work
from walker_collector.text import get_logger
from walker_collector.tracebacks import HINT, is_wanted, log_traceback

logger = get_logger("walker_collector")


def open_listeners(sources: Mapping[str, SourceEntry]) -> dict[str, socket.socket]:
    """Return the open socket of each source that listens, by its id.

    Raises PluginError, with all of them closed, if one cannot be opened.
    """
    found: dict[str, socket.socket] = {}
    try:
        for id, entry in sources.items():
            if listens(entry):
                found[id] = _listener_of(id, entry)
    except BaseException:
        for listener in found.values():
            listener.close()
        raise
    return found


def listens(entry: SourceEntry) -> bool:
    """Return whether a source takes a socket, which several processes can share."""
    return hasattr(entry.plugin, "listen")


def runs_in_every_worker(entry: SourceEntry) -> bool:
    """Return whether a source runs in each of several workers."""
    return listens(entry) or bool(getattr(entry.plugin, "every_worker", False))


def _listener_of(id: str, entry: SourceEntry) -> socket.socket:
    plugin: Any = entry.plugin
    try:
        listener: socket.socket = plugin.listen(entry.config.settings)
    except WalkerError as error:
        raise PluginError(f"source {id}: {error}") from None
    except Exception as error:  # from the plugin's own code
        failure = failure_of(error, entry.plugin.__module__)
        raise PluginError(f"source {id}: listen raised {failure}") from error
    return listener


class RunningSources:
    """Runs sources, which hand their events to a collector.

    `ready` is called with a source's id and its place, once it takes events. `listeners` are the
    sockets of sources, by id, that are open already; each is closed when its source has ended.
    `inspector` is the ASGI application for those that serve it.
    Raises PluginError if a plugin cannot be instantiated, or a socket not be opened; then none is
    started.
    """

    def __init__(
        self,
        collector: Collector,
        sources: Mapping[str, SourceEntry],
        registry: Registry,
        ready: Callable[[str, str], None] = lambda id, place: None,
        *,
        listeners: Mapping[str, socket.socket] | None = None,
        figures: Figures | None = None,
        inspector: Any = None,
    ) -> None:
        self._inspector = inspector
        self._stop = threading.Event()
        self._figures = figures or Figures(collector.status)
        self._grace = collector.flow.collector.close_timeout / 1000
        collector._life.own_runtime().workers.watch.counts = self._figures.of_sources
        self.failures: list[PluginError] = []
        """The reasons why sources have ended by themselves."""
        extensions = extensions_at_work(collector.flow.collector, registry)
        hooks = {id: connect_source(id, entry, extensions) for id, entry in sources.items()}
        self._listeners = open_listeners(sources) if listeners is None else listeners
        self._threads = {
            id: threading.Thread(
                target=self._run,
                args=(
                    id,
                    hooks[id],
                    self._context(collector, id, entry, ready),
                    entry.plugin.__module__,
                ),
                name=f"walker-source-{id}",
                daemon=True,
            )
            for id, entry in sources.items()
        }
        for thread in self._threads.values():
            thread.start()

    @property
    def running(self) -> bool:
        """Whether any source is at work, and none has failed."""
        return not self.failures and any(thread.is_alive() for thread in self._threads.values())

    def stop(self) -> bool:
        """Tell the sources to stop, and wait for them; return whether all have ended."""
        self._stop.set()
        for id, thread in self._threads.items():
            thread.join(self._grace + 1)
            if thread.is_alive():
                logger.warning(
                    "source %s did not end within %g s (collector.closeTimeout and a second); its"
                    " run must return within context.grace seconds once context.stop is set",
                    id,
                    self._grace + 1,
                )
        return not any(thread.is_alive() for thread in self._threads.values())

    def _context(
        self,
        collector: Collector,
        id: str,
        entry: SourceEntry,
        ready: Callable[[str, str], None],
    ) -> SourceContext:
        log = get_logger(f"walker_collector.sources.{id}")
        if entry.config.logger and entry.config.logger.level_name:
            log.setLevel(entry.config.logger.level_name)
        return SourceContext(
            id=id,
            settings=entry.config.settings,
            config=entry.config,
            accept=self._figures.counting(id, partial(collector.push_from, id)),
            stop=self._stop,
            status=collector.status,
            ready=lambda place: ready(id, place),
            grace=self._grace,
            max_bytes=collector.flow.collector.max_bytes,
            logger=log,
            listener=self._listeners.get(id),
            figures=self._figures,
            inspector=self._inspector,
            positions=_positions_of(collector),
        )

    def _run(self, id: str, run: Callable[..., Any], context: SourceContext, module: str) -> None:
        try:
            run(context=context)
        except WalkerError as error:
            self.failures.append(PluginError(f"source {id}: {error}"))
        except BaseException as error:  # from the plugin's own code
            log_traceback(f"source {id}", error)
            self.failures.append(PluginError(_raised(id, error, module)))
        finally:
            if context.listener is not None:
                context.listener.close()


def _positions_of(collector: Collector) -> Positions | None:
    """Return the positions of sources in their inputs; None: the spool is in memory."""

    def store() -> PositionStore:
        spool = collector._life.own_runtime().spool
        assert spool.durable
        return spool

    return Positions(store) if collector.flow.collector.spool is not None else None


def _raised(id: str, error: BaseException, module: str) -> str:
    more = "" if is_wanted(logger) else HINT
    return f"source {id} raised {failure_of(error, module)}{more}"
