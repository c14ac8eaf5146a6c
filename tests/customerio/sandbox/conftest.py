"""A sandbox with a clock of its own, and clients that trust it."""

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from attrs import define
from customerio import APIClient, CustomerIO

from walker_dest_customerio.sandbox import Sandbox

NOW = 1_700_000_000


@define
class Clock:
    """A clock that moves when told to (unix s)."""

    now: float = float(NOW)

    def __call__(self) -> float:
        return self.now


class Web:
    """Plain HTTP to the sandbox, with the Track credentials."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.base = sandbox.track_url
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = sandbox.ca_file
        self.session.auth = (sandbox.site_id, sandbox.api_key)

    def __call__(self, method: str, path: str, **options: Any) -> requests.Response:
        return self.session.request(method, self.base + path, timeout=10, **options)

    def entity(self, **operation: Any) -> requests.Response:
        return self("POST", "/api/v2/entity", json={"type": "person", **operation})

    def faults(self, content: Any) -> requests.Response:
        return self("POST", "/sandbox/faults", json=content)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def sandbox(clock: Clock) -> Iterator[Sandbox]:
    with Sandbox(clock=clock) as running:
        yield running


@pytest.fixture
def web(sandbox: Sandbox) -> Iterator[Web]:
    result = Web(sandbox)
    with result.session:
        yield result


@pytest.fixture
def track(sandbox: Sandbox) -> Iterator[CustomerIO]:
    with CustomerIO(sandbox.site_id, sandbox.api_key, host=sandbox.track_url, retries=0) as client:
        client.http.verify, client.http.trust_env = sandbox.ca_file, False
        yield client


@pytest.fixture
def app(sandbox: Sandbox) -> Iterator[APIClient]:
    with APIClient(sandbox.app_api_key, url=sandbox.api_url, retries=0) as client:
        client.http.verify, client.http.trust_env = sandbox.ca_file, False
        yield client
