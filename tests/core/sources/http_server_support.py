"""A flow served over HTTP in the process of its test."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from tests.support import PATIENCE, wait_until
from walker_collector import Collector, hookimpl
from walker_collector.flow import load_flow
from walker_collector.plugins import Registry
from walker_collector.serving import RunningSources
from walker_collector.sources.http.source import HttpSource


class Kept:
    """A destination that keeps what it gets."""

    def __init__(self) -> None:
        self.got: list[str] = []

    @hookimpl
    def push(self, event: Any) -> None:
        self.got.append(event["id"])


class Server:
    """A served flow; `failures` says why it ended."""

    def __init__(self, url: str, failures: list[Any], collector: Collector) -> None:
        self.address = (urlsplit(url).hostname or "", urlsplit(url).port or 0)
        self.url = url
        self.failures = failures
        self.collector = collector

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, PATIENCE)


@contextmanager
def served(destination: type = Kept, **settings: Any) -> Iterator[Server]:
    """Serve a flow with one destination, `kept`."""
    registry = Registry()
    registry.register("kept", destination)
    registry.register_source("http", HttpSource)
    source = {"package": "http", "config": {"settings": {"port": 0, **settings}}}
    raw = {"sources": {"web": source}, "destinations": {"kept": {"package": "kept"}}}
    flow = load_flow(raw, environ={}, registry=registry, serve=True)
    urls: list[str] = []
    with Collector(flow, registry) as collector:
        sources = RunningSources(
            collector, flow.sources, registry, lambda id, url: urls.append(url)
        )
        try:
            wait_until(lambda: urls or sources.failures)
            yield Server(urls[0] if urls else "", sources.failures, collector)
        finally:
            assert sources.stop()
