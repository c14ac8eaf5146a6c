"""The inspector of `walker serve`: the source that serves it, its token and its address."""

import secrets
from typing import Any, Self
from urllib.parse import urlsplit

import attrs
import click
from attrs import field, frozen

from walker_collector import inspector
from walker_collector.collector import Collector
from walker_collector.config import FlowConfig
from walker_collector.figures import Figures

_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}


def with_inspector(flow: FlowConfig) -> FlowConfig:
    """Return the flow with the inspector at the first source that can serve it."""
    for id, entry in flow.sources.items():
        settings = entry.config.settings
        if hasattr(settings, "inspect"):
            served = attrs.evolve(settings, inspect=True)
            changed = attrs.evolve(entry, config=attrs.evolve(entry.config, settings=served))
            return attrs.evolve(flow, sources={**flow.sources, id: changed})
    raise click.UsageError("--inspect needs a source http, which serves the page")


@frozen
class Inspection:
    """The inspector of a flow that is served: the id of its source, and the token of its page."""

    source: str
    token: str = field(repr=False)
    show_values: bool
    remote: bool

    @classmethod
    def of(cls, flow: FlowConfig, *, show_values: bool, remote: bool) -> Self | None:
        """Return the inspector of a flow, with a new token; None: no source serves one."""
        for id, entry in flow.sources.items():
            if getattr(entry.config.settings, "inspect", False):
                return cls(id, secrets.token_urlsafe(), show_values, remote)
        return None

    def page(self, collector: Collector, figures: Figures) -> Any:
        """Return the ASGI application of a process."""
        return inspector.app(
            collector,
            token=self.token,
            show_values=self.show_values,
            remote=self.remote,
            figures=figures,
        )

    def address(self, place: str) -> str:
        """Return the URL of the page, given that of its source; no server sees the fragment."""
        parts = urlsplit(place)
        host = parts.hostname or ""
        shown = _EVERYWHERE.get(host, f"[{host}]" if ":" in host else host)
        return f"{parts.scheme}://{shown}:{parts.port}/inspect/#token={self.token}"
