"""Spools of each engine, as several processes see them."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from subprocess import PIPE, Popen

import pytest
from attrs import define, field

from tests.core.spool_contract.engines import ENGINES, Process
from tests.support import program
from walker_collector.spool.engine_protocol import EventStore
from walker_collector.spool.memory import MemorySpool

ROOT = Path(__file__).parents[3]


@define
class Store:
    """One spool of an engine."""

    engine: str
    place: str
    open_ones: ExitStack
    shards: int = field(default=1)

    def open(self) -> Process:
        """Open it as another process would."""
        process = Process(ENGINES[self.engine].open(self.place, self.shards))
        self.open_ones.callback(process.close)
        return process

    @contextmanager
    def elsewhere(self, *people: str) -> Iterator["Popen[str]"]:
        """Run a process that delivers, and has claimed calls for these people."""
        module = "tests.core.spool_contract.engines"
        command = [sys.executable, "-m", module, self.engine, self.place, self.shards, *people]
        with program(command, cwd=ROOT, stdin=PIPE, stdout=PIPE) as running:
            assert running.stdout is not None
            assert running.stdout.readline() == "ready\n"
            yield running


PARAMS = [
    pytest.param(name, marks=pytest.mark.services(engine.service) if engine.service else ())
    for name, engine in ENGINES.items()
]


@pytest.fixture(params=PARAMS)
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    engine = str(request.param)
    with ExitStack() as open_ones:
        yield Store(engine, ENGINES[engine].place(request), open_ones)


@pytest.fixture(params=["memory", *PARAMS])
def event_store(request: pytest.FixtureRequest) -> Iterator[EventStore]:
    """A store of any engine, that in memory among them, as its process uses it."""
    if request.param == "memory":
        found: EventStore = MemorySpool()
    else:
        engine = ENGINES[str(request.param)]
        found = engine.open(engine.place(request), 1)
    yield found
    found.close()


@pytest.fixture
def process(store: Store) -> Process:
    return store.open()


@pytest.fixture
def other(store: Store, process: Process) -> Process:
    """The same spool as `process`, as another process sees it."""
    return store.open()
