"""`walker top`: show the work of the processes of a spool, live."""

import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import click

from walker_collector.cli.options import FILE, examples, flow_option
from walker_collector.cli.spool_access import flow_of, fullness, owning, reading, spool_of
from walker_collector.cli.streams import say_json
from walker_collector.cli.top_screen import is_screen, print_view, show
from walker_collector.config import FlowConfig, SpoolConfig
from walker_collector.errors import SpoolError
from walker_collector.inspector.spool_view import RENEW, SpoolView, stop_watching, watch
from walker_collector.moments import now_ms
from walker_collector.spool import NothingStored, StoredSpool

_INTERVAL: Final = 1.0
"""Seconds from one look to the next."""
_POLL: Final = 0.1
_FIRST: Final = 5.0
"""Seconds for which a look that is the only one waits for the figures of all processes."""


@click.command(
    epilog=examples(
        "walker top flow.json",
        "walker top flow.json --once",
        "walker top flow.json --once --json | jq .destinations[].waiting",
    )
)
@click.argument("flow", type=FILE)
@flow_option
@click.option("--once", "single", is_flag=True, help="Print it once, and end.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print JSON: an object each second, or one with --once."
)
def top(flow: Path, name: str | None, single: bool, as_json: bool) -> None:
    """Show the work of the processes of FLOW, live.

    Of each source: events per second, and the lag of topics. Of each destination: its state and why
    nothing goes out, events per second, the time of a call, what waits, the age of the oldest, and
    what is held or dead. Below are the events that were delivered, held, failed or ignored just
    now, without their values. A person with ~ before it is one that a sender claims who is not
    trusted.

    The processes run with the same spool, on this machine or, with a spool in PostgreSQL, on any.
    They write figures, and up to 20 samples of events a second each, for as long as somebody looks.
    FLOW is a flow file or a spool file. Ctrl-C ends it.

    Where the output is no terminal, it is printed once, as with --once. That takes two to three
    seconds, in which the processes publish their rates.
    """
    config, loaded = spool_of(flow, name), flow_of(flow, name)
    with _watching(config, loaded) as watching, suppress(KeyboardInterrupt):
        if single or not (as_json or is_screen()):
            found = watching.look_with_rates()
            if as_json:
                say_json(found)
            else:
                print_view(found)
        elif as_json:
            while True:
                say_json(watching.look())
                sys.stdout.flush()
                time.sleep(_INTERVAL)
        else:
            show(watching.look, _INTERVAL)


class _Watching:
    """Looks at a spool, and has its processes publish their figures."""

    def __init__(self, config: SpoolConfig, flow: FlowConfig | None) -> None:
        self._config = config
        self._flow = flow
        self._viewer = secrets.token_hex(8)
        self._open = ExitStack()
        self._view: SpoolView | None = None
        self._store: StoredSpool | None = None
        self._renew_at = 0.0
        self._looks = 0
        self._trouble = ""

    def look(self) -> dict[str, Any]:
        """Return the view of now. Raises SpoolError if even the first look fails."""
        found: dict[str, Any] = {"at": now_ms(), "sources": [], "destinations": []}
        found |= {"processes": [], "live": [], "outbox": None}
        full = note = ""
        try:
            self._renew()
            store, view = self._opened()
            full = fullness(self._config, store)
            found = view.look()
            note = self._trouble
        except NothingStored as error:
            note = str(error)
        except SpoolError as error:
            self.close()
            if not self._looks:
                raise
            note = f"{error}; it is tried again"
        self._looks += 1
        return {"spool": self._config.place, "full": full, "note": note, **found}

    def look_with_rates(self) -> dict[str, Any]:
        """Return the view as soon as all processes have published rates, or some seconds later."""
        deadline = time.monotonic() + _FIRST
        while True:
            found = self.look()
            waits = [item for item in found["processes"] if not item["publishes"]]
            waits = [item for item in waits if item["delivers"] and not item["silent"]]
            if not waits or time.monotonic() > deadline:
                return {**found, "live": list(self._view.samples) if self._view else []}
            time.sleep(_POLL)

    def _renew(self) -> None:
        """Renew the watch; without it, there are no rates and no live events."""
        if time.monotonic() < self._renew_at:
            return
        self._trouble = ""
        try:
            with owning(self._config) as store:
                watch(store.sample_table, self._viewer)
        except NothingStored:
            raise
        except SpoolError as error:
            self._trouble = f"no rates and no live events: {error}"
        self._renew_at = time.monotonic() + RENEW

    def _opened(self) -> tuple[StoredSpool, SpoolView]:
        if self._store is None or self._view is None:
            self._store = self._open.enter_context(reading(self._config))
            self._view = SpoolView(self._store, self._flow)
        return self._store, self._view

    def end(self) -> None:
        """Take the watch back."""
        self.close()
        with suppress(SpoolError), owning(self._config) as store:
            stop_watching(store.sample_table, self._viewer)

    def close(self) -> None:
        """Close the spool; the next look opens it again."""
        self._open.close()
        self._store = self._view = None


@contextmanager
def _watching(config: SpoolConfig, flow: FlowConfig | None) -> Iterator[_Watching]:
    watching = _Watching(config, flow)
    try:
        yield watching
    finally:
        watching.end()
