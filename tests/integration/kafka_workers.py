"""Workers that read a topic into one spool in PostgreSQL, while somebody sends events to it."""

import json
import re
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import Any, Final

from confluent_kafka import KafkaException

from tests.emulator import Emulator
from tests.emulator.arrivals import doubles, inversions, numbers
from tests.forms import form
from tests.integration.test_processes import write_flow
from tests.kafka_broker import KafkaBroker
from tests.postgres_server import PostgresServer
from tests.support import ROOT, program, wait_until

COMMAND: Final = [sys.executable, "-m", "walker_collector", "-v"]
GROUP: Final = "workers"
PARTITIONS: Final = 6
LIVES: Final = 600.0
"""Seconds that a worker may live."""
SESSION: Final = 6_000


def flow_of(
    folder: Path, emulator: Emulator, server: PostgresServer, brokers: str, topic: str
) -> Path:
    """Write the flow of the workers."""
    path = write_flow(folder, emulator.settings(), spool={"url": server.url("postgres")})
    flow = json.loads(path.read_text())
    settings = {
        "brokers": brokers,
        "topics": [topic],
        "group": GROUP,
        "sessionTimeout": SESSION,
    }
    flow["sources"] = {"in": {"package": "kafka", "config": {"settings": settings}}}
    path.write_text(json.dumps(flow))
    return path


class Workers:
    """Processes of `walker serve`; what they say goes to a file of each."""

    def __init__(self, flow: Path, stack: ExitStack) -> None:
        self._flow, self._stack = flow, stack
        self._started = 0
        self.running: list[Popen[str]] = []
        self._logs: dict[int, Path] = {}

    def start(self) -> None:
        """Start one more; returns when its source has begun."""
        self._started += 1
        log = self._flow.parent / f"worker-{self._started}.log"
        with log.open("w") as stderr:
            process = self._stack.enter_context(
                program(
                    [*COMMAND, "serve", self._flow],
                    LIVES,
                    cwd=ROOT,
                    stdin=DEVNULL,
                    stdout=DEVNULL,
                    stderr=stderr,
                )
            )
        self.running.append(process)
        self._logs[process.pid] = log
        wait_until(lambda: "in: kafka" in log.read_text(), log.read_text, timeout=60)

    def wait_until_shared(self) -> None:
        """Wait until each of them has its part of the partitions."""
        part = PARTITIONS // len(self.running)

        def have_parts() -> bool:
            return all(count == part for count in self._assigned())

        wait_until(
            have_parts,
            lambda: f"{len(self.running)} workers share the partitions; {self.state()}",
            timeout=60,
        )

    def state(self) -> str:
        """Tell how many partitions each has, as it says."""
        return f"partitions of the workers: {self._assigned()}"

    def _assigned(self) -> list[int]:
        logs = [self._logs[process.pid].read_text() for process in self.running]
        found = [re.findall(r"partitions assigned: (\d+)", log) for log in logs]
        return [int(counts[-1]) if counts else 0 for counts in found]

    def kill(self) -> None:
        """Kill the oldest."""
        self.running.pop(0).kill()

    def end(self) -> int:
        """Have the oldest end in order; return its exit status."""
        process = self.running.pop(0)
        process.send_signal(signal.SIGTERM)
        return process.wait(60)


class Sending:
    """Sends events of people who take turns, on a thread, so many a second, and as far as asked."""

    def __init__(
        self, broker: KafkaBroker, topic: str, events: int, people: int, rate: int
    ) -> None:
        self._broker, self._topic = broker, topic
        self._producer = broker.producer()
        self.events, self._people, self._rate = events, people, rate
        self.sent = self._end = self._acknowledged = 0
        self._errors: Counter[str] = Counter()
        self._more = threading.Event()
        self._thread = threading.Thread(target=self._send, name="sending", daemon=True)
        self._thread.start()

    def go_to(self, share: float) -> None:
        """Send up to that share of the events, without waiting for it."""
        self._end = int(share * self.events)
        self._more.set()

    def end(self) -> None:
        """Wait until the broker has all that is to be sent for now."""
        self._wait_until_sent(self._end)
        self._producer.flush(60)
        wait_until(lambda: self._acknowledged == self._end, self.state)

    def wait_for(self, share: float) -> None:
        """Wait until that share of the events is sent."""
        self._wait_until_sent(int(share * self.events))

    def _wait_until_sent(self, events: int) -> None:
        wait_until(
            lambda: self.sent >= events or not self._thread.is_alive(), self.state, timeout=LIVES
        )
        assert self.sent >= events, self.state()

    def state(self) -> str:
        """Tell how far the events have come: at the producer, the broker, and the group."""
        try:
            stored, read = self._broker.progress(self._topic, GROUP)
            broker = f"the broker has {stored}, and its group {read} of them"
        except KafkaException as error:
            broker = f"the broker does not answer: {error}"
        return (
            f"{self.sent} of {self.events} are sent, {self._acknowledged} acknowledged"
            f"{dict(self._errors) or ''}; {broker}"
        )

    def _send(self) -> None:
        for n in range(self.events):
            while n >= self._end:
                self._more.clear()
                if n >= self._end and not self._more.wait(LIVES):
                    return
                began, first = time.monotonic(), n
            person = f"u{n % self._people}"
            event = {"name": "cart add", "data": {"n": n}, "user": {"id": person}}
            value, key = json.dumps(event), f"id:{person}"
            self._producer.produce(self._topic, value, key, on_delivery=self._on_delivery)
            self.sent = n + 1
            if n % 50 == 0:
                ahead = (n - first) / self._rate - (time.monotonic() - began)
                self._producer.poll(max(0.0, ahead))

    def _on_delivery(self, error: Any, _: Any) -> None:
        if error is None:
            self._acknowledged += 1
        else:
            self._errors[error.str()] += 1


@contextmanager
def workers(flow: Path, count: int) -> Iterator[Workers]:
    """Run workers; they are killed at the end of the block."""
    with ExitStack() as stack:
        found = Workers(flow, stack)
        for _ in range(count):
            found.start()
        yield found


def check(emulator: Emulator, sending: Sending, running: Workers) -> None:
    """Wait until all events have arrived; assert that each did once, in its person's order."""
    wait_until_came(emulator, sending, running, sending.events)
    assert numbers(emulator.accepted) == set(range(sending.events))
    assert emulator.violations == []
    assert doubles(emulator.accepted) == []
    assert inversions(emulator.accepted) == []


def wait_until_came(emulator: Emulator, sending: Sending, running: Workers, events: int) -> None:
    """Wait until so many events have arrived; a failure tells which side has stopped."""

    def came() -> int:
        return len(numbers(list(emulator.accepted)))

    wait_until(
        lambda: came() >= events,
        lambda: f"{came()} of {events} came; {sending.state()}; {running.state()}",
        timeout=form(120.0, 500.0),
    )


def until(seconds: float) -> Callable[[Any], bool]:
    """Return a condition that holds for ten people, until so many seconds after its first use."""
    end: list[float] = []

    def holds(operation: Any) -> bool:
        if not end:
            end.append(time.monotonic() + seconds)
        is_one = operation.person in {f"id:u{n}" for n in range(10)}
        return is_one and time.monotonic() < end[0]

    return holds
