"""Commands of another process, while three processes deliver and one pushes."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import define

from tests.core.cli_support import (
    Server,
    completed,
    event,
    objects,
    serving,
    spawned,
    to_file,
    to_server,
    walker,
    write_flow,
)
from tests.core.support import MARKETING, PATIENCE, config, flow, join, plugin
from tests.support import wait_until
from walker_collector import Collector
from walker_collector.errors import Rejected


@define
class Market:
    """A flow with three deliverers, and a collector that only accepts.

    `out` is a server, `held` asks for consent.
    """

    flow: Path
    server: Server
    collector: Collector
    pids: list[int]

    def status(self) -> Any:
        return objects(walker("spool", "status", self.flow, "--json").stdout)[0]

    def stored(self, destination: str, what: str) -> int:
        return int(self.status()["destinations"].get(destination, {}).get(what, 0))

    def refuse(self, *people: str) -> None:
        """Make one dead letter of each of these people."""
        self.server.status = 400
        for n, person in enumerate(people):
            self.collector.push(event(n, person))
        wait_until(lambda: self.stored("out", "dead") == len(people))
        self.server.status = 204

    def came(self, person: str) -> int:
        """Return how often the server has taken an event of a person."""
        return sum(body["user"]["id"] == person for body in self.server.bodies)


@pytest.fixture
def market(tmp_path: Path) -> Iterator[Market]:
    with serving() as server, ExitStack() as stack:
        destinations = {
            "out": to_server(server.url, breaker={"threshold": 1_000_000}),
            "held": to_file(tmp_path / "held", consent=MARKETING),
        }
        spool = {"path": str(tmp_path / "spool.db")}
        flow = write_flow(tmp_path, destinations, spool=spool, deliver=False)
        deliverers = [stack.enter_context(spawned("deliver", str(flow))) for _ in range(3)]
        for each in deliverers:
            assert each.stderr is not None
            assert each.stderr.readline().startswith("delivering from ")
        with Collector.from_file(flow) as collector:
            yield Market(flow, server, collector, [each.pid for each in deliverers])


@contextmanager
def load(market: Market) -> Iterator[None]:
    """Push events of other people inside the block, each once the last one is delivered."""
    over, answers = threading.Event(), set()

    def push() -> None:
        for n in range(1_000_000):
            if over.is_set():
                return
            result = market.collector.push(event(n, f"load{n % 20}"), wait=True, timeout=PATIENCE)
            answers.add(result.destinations["out"])

    thread = threading.Thread(target=push)
    thread.start()
    try:
        wait_until(lambda: bool(answers))
        yield
    finally:
        over.set()
        join(thread)
    assert "delivered" in answers
    assert answers <= {"delivered", "accepted"}  # the latter while the server fails


def test_dead_letters_are_replayed_at_once(market: Market) -> None:
    market.refuse("ana", "ben", "eva")
    with load(market):
        before = {who: market.came(who) for who in ("ana", "ben", "eva")}
        done = completed("dead", "replay", market.flow, "--all")
        assert done.returncode == 0, done.stderr
        assert {who: market.came(who) - count for who, count in before.items()} == {
            "ana": 1,
            "ben": 1,
            "eva": 1,
        }
        assert market.stored("out", "dead") == 0


def test_a_replay_that_is_refused_again_elsewhere_is_told(market: Market) -> None:
    market.refuse("ana")
    market.server.status = 400
    done = completed("dead", "replay", market.flow, "--all")
    assert done.returncode == 1
    assert "1 event dead again" in done.stderr


def test_dropped_dead_letters_are_gone_in_the_status_of_all(market: Market) -> None:
    market.refuse("ana", "ben")
    with load(market):
        assert walker("dead", "drop", market.flow, "--all", "--yes").exit_code == 0
        assert market.stored("out", "dead") == 0
        assert market.collector.status().destinations["out"].dead == 0
    market.refuse("eva")  # its deliverer counts from one


def test_a_person_is_forgotten_with_all_that_any_process_has(market: Market) -> None:
    market.refuse("ana", "ben")
    with load(market):
        done = walker("forget", market.flow, "--user-id", "ana", "--json")
        assert objects(done.stdout) == [{"events": 1, "underWay": 0}]
        assert market.stored("out", "dead") == 1
        market.server.status = 503
        market.collector.push(event(7, "ana"))
        wait_until(lambda: market.stored("out", "retrying") > 0)
        done = walker("forget", market.flow, "--user-id", "ana", "--json")
        assert objects(done.stdout) == [{"events": 1, "underWay": 0}]
        came = market.came("ana")
        market.server.status = 204
    market.collector.consent(MARKETING, user={"id": "ana"})
    market.collector.push(event(8, "ana"))
    assert market.collector.flush(PATIENCE)
    assert [body["data"]["n"] for body in market.server.bodies if body["user"]["id"] == "ana"][
        came:
    ] == [8]
    assert (market.flow.parent / "held").read_text().count("\n") == 1


def test_events_of_a_destination_are_dropped_while_it_is_delivered_to(market: Market) -> None:
    market.refuse("ana", "ben")
    with load(market):
        assert walker("spool", "drop", market.flow, "held", "--yes").exit_code == 0
    market.collector.push(event(7, "eva"))
    for person in ("ana", "eva"):
        market.collector.consent(MARKETING, user={"id": person})
    assert market.collector.flush(PATIENCE)
    (delivered,) = objects((market.flow.parent / "held").read_text())
    assert delivered["user"] == {"id": "eva"}


def test_processes_are_listed_with_what_they_deliver(market: Market) -> None:
    def delivering() -> list[str]:
        return sorted(id_ for each in market.status()["processes"] for id_ in each["delivers"])

    with load(market):
        wait_until(lambda: delivering() == ["held", "out"])
        processes = market.status()["processes"]
        assert {each["pid"] for each in processes} > set(market.pids)
        assert len(processes) == 4
        assert not any(each["silent"] for each in processes)
        text = walker("spool", "status", market.flow).stdout
        assert all(str(pid) in text for pid in market.pids)
    assert "process " in text


def test_dead_letters_that_another_process_deletes_leave_the_figures_of_the_deliverer(
    tmp_path: Path,
) -> None:
    def refuse(event: dict[str, Any], context: Any) -> None:
        raise Rejected("refused")

    the_flow = flow({"there": (plugin(refuse), config())}, tmp_path / "spool.db")
    with Collector(the_flow) as deliverer, Collector(the_flow) as other:
        deliverer.push_many([event(n, f"u{n}") for n in range(3)])
        assert deliverer.flush(PATIENCE)
        wait_until(lambda: deliverer.status().destinations["there"].dead == 3)
        assert other.bury(other.dead()[:2]) == 2
        wait_until(lambda: deliverer.status().destinations["there"].dead == 1)
