"""Other ways of sending the same events to Customer.io, all to the emulator."""

import asyncio
import http.client
import os
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
from attrs import frozen

from tests.benchmarks.measure import Run, measure
from tests.benchmarks.workload import Event

BATCH = 500
ROOT = Path(__file__).parents[3]


@frozen
class Server:
    """A running emulator."""

    port: int
    ca_file: str

    def connect(self) -> http.client.HTTPSConnection:
        """Return a connection that trusts the emulator."""
        context = ssl.create_default_context(cafile=self.ca_file)
        return http.client.HTTPSConnection("localhost", self.port, context=context)

    def count(self) -> int:
        """Return how many operations came since the last call."""
        connection = self.connect()
        connection.request("GET", "/count")
        found = int(connection.getresponse().read())
        connection.close()
        return found


@contextmanager
def emulator(latency: int) -> Iterator[Server]:
    """Run an emulator that answers after `latency` ms, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tests.benchmarks.peers.emulator", str(latency), folder]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        ) as process:
            assert process.stdin
            assert process.stdout
            server = Server(int(process.stdout.readline()), str(Path(folder) / "ca.pem"))
            os.environ["REQUESTS_CA_BUNDLE"] = os.environ["SSL_CERT_FILE"] = server.ca_file
            try:
                yield server
            finally:
                process.stdin.close()
                process.wait()


def sdk(server: Server, events: Sequence[Event], threads: int = 1) -> Run:
    """Make one call of the official SDK per event, from so many threads."""
    from customerio import CustomerIO

    client = CustomerIO("site", "key", host="localhost", port=server.port)

    def track(event: Event) -> None:
        client.track(event["user"]["id"], event["name"], event["data"])

    def work() -> None:
        with ThreadPoolExecutor(threads) as pool:
            for _ in pool.map(track, events, chunksize=1):
                pass

    return measure(len(events), work)


def sdk_batches(server: Server, events: Sequence[Event]) -> Run:
    """Call the official SDK's `batch` by hand, one batch after the other."""
    from customerio import CustomerIO

    client = CustomerIO("site", "key", host="localhost", port=server.port)

    def work() -> None:
        for at in range(0, len(events), BATCH):
            client.batch([entry(event) for event in events[at : at + BATCH]])

    return measure(len(events), work)


def async_client(server: Server, events: Sequence[Event], tasks: int = 64) -> Run:
    """Make one call of async-customerio per event, so many under way at once."""
    from async_customerio import AsyncCustomerIO

    async def send() -> None:
        async with AsyncCustomerIO("site", "key", host="localhost", port=server.port) as client:
            todo = iter(events)

            async def worker() -> None:
                for event in todo:
                    await client.track(event["user"]["id"], event["name"], data=event["data"])

            await asyncio.gather(*(worker() for _ in range(tasks)))

    return measure(len(events), lambda: asyncio.run(send()))


def ready_made(server: Server, events: Sequence[Event]) -> Run:
    """Post batches that were written before: what no client can be faster than."""
    bodies = [
        orjson.dumps({"batch": [entry(event) for event in events[at : at + BATCH]]})
        for at in range(0, len(events), BATCH)
    ]
    connection = server.connect()
    connection.connect()

    def work() -> None:
        for body in bodies:
            connection.request("POST", "/api/v2/batch", body)
            connection.getresponse().read()

    run = measure(len(events), work)
    connection.close()
    return run


def entry(event: Event) -> dict[str, Any]:
    """Return the event as an operation of a Track v2 batch."""
    return {
        "type": "person",
        "identifiers": {"id": event["user"]["id"]},
        "action": "event",
        "name": event["name"],
        "attributes": event["data"],
        "timestamp": event["timestamp"] // 1000,
    }
