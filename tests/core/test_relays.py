"""Destinations that relay: they get events as they were received, and statements of consent."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tests.core.support import (
    MARKETING,
    WITHDRAWN,
    Clock,
    Record,
    flow,
    plugin,
    running,
    wake_workers,
)
from tests.support import PATIENCE
from walker_collector import (
    Collector,
    ConfigError,
    Item,
    NotTrusted,
    Received,
    RetryLater,
    hookimpl,
)
from walker_collector.config import DestinationConfig
from walker_collector.errors import PluginError
from walker_collector.flow import load_flow
from walker_collector.plugins import Registry

NOW = 1_700_000_000_000
S1 = {"session": "s1"}


class Relay:
    """Keeps what it gets; fails while `fails` is set."""

    settings: ClassVar = None
    rule_settings: ClassVar = None
    relays: ClassVar = True
    items: ClassVar[list[Item]] = []
    fails: ClassVar = threading.Event()
    failed: ClassVar = threading.Event()

    @hookimpl
    def push_batch(self, batch: Sequence[Item]) -> None:
        if self.fails.is_set():
            self.failed.set()
            raise RetryLater("away")
        self.items.extend(batch)


@pytest.fixture(params=["memory", "durable"])
def spool(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path / "spool.db" if request.param == "durable" else None


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
def edge(spool: Path | None, clock: Clock) -> Iterator[Collector]:
    Relay.items.clear()
    Relay.fails.clear()
    Relay.failed.clear()
    with running(flow(Relay, spool), now=clock) as collector:
        yield collector


def sent(collector: Collector, *events: Any) -> list[Any]:
    return list(collector.push_from(None, events))


def relayed(collector: Collector, number: int) -> list[Item]:
    """Return what has been relayed, that many items."""
    assert collector.flush(PATIENCE)
    assert len(Relay.items) == number
    return Relay.items


def statement(update: dict[str, bool], **parts: Any) -> dict[str, Any]:
    return {"name": "walker consent", "data": update, "user": S1, **parts}


@pytest.mark.parametrize("own", [None, {}, {"marketing": False}, {"marketing": True, "a": False}])
def test_event_keeps_the_consent_that_it_came_with(
    edge: Collector, own: dict[str, bool] | None
) -> None:
    edge.consent(MARKETING)
    parts = {} if own is None else {"consent": own}
    edge.push("page view", user=S1, **parts)
    event = relayed(edge, 2)[1].event
    assert event.get("consent") == own
    assert set(event) & {"untrusted", "consentAt"} == set()


@pytest.mark.parametrize(("trusted", "limited"), [(True, False), (False, False), (False, True)])
@pytest.mark.parametrize("learn", [True, False])
def test_trust_in_its_sender_comes_along(
    edge: Collector, trusted: bool, limited: bool, learn: bool
) -> None:
    event = {"name": "page view", "user": S1, "consent": MARKETING, "timestamp": NOW + 5_000}
    sent(edge, Received(event, trusted, limited, learn))
    received = relayed(edge, 1)[0].context.received
    assert received is not None
    assert (received.trusted, received.limited, received.learn) == (trusted, limited, learn)
    assert received.stated_at == (NOW * 1_000 if learn else None)


def test_sender_of_an_event_without_a_person_counts_as_one_that_is_not_trusted(
    edge: Collector,
) -> None:
    edge.push("page view")
    received = relayed(edge, 1)[0].context.received
    assert received is not None
    assert (received.trusted, received.limited) == (False, False)


def test_statements_are_relayed_in_the_order_of_their_person(edge: Collector, clock: Clock) -> None:
    edge.push("page view", user=S1)
    edge.consent(MARKETING, S1)
    clock.advance(1_000)
    sent(edge, Received(statement(WITHDRAWN, id="c2"), trusted=False, limited=True))
    edge.push("page leave", user=S1)
    first, grant, withdrawal, last = relayed(edge, 4)
    assert (first.event["name"], last.event["name"]) == ("page view", "page leave")
    assert grant.event["data"] == MARKETING
    assert withdrawal.event == statement(WITHDRAWN, id="c2", timestamp=NOW + 1_000)
    trusts = []
    for item in (grant, withdrawal):
        received = item.context.received
        assert received is not None
        trusts.append((received.trusted, received.limited, received.learn))
        assert received.stated_at is not None
        assert received.stated_at // 1_000 == item.event["timestamp"]
    assert trusts == [(True, False, False), (False, True, False)]


def test_default_consent_is_relayed_as_of_a_trusted_sender(edge: Collector) -> None:
    edge.consent(MARKETING)
    (item,) = relayed(edge, 1)
    assert item.context.received is not None
    assert item.context.received.trusted
    assert "user" not in item.event


def test_person_that_is_known_here_is_not_named_for_an_untrusted_sender(edge: Collector) -> None:
    edge.push("user login", user={"id": "u1", **S1})
    sent(edge, Received(statement(MARKETING), trusted=False))
    assert relayed(edge, 2)[1].event["user"] == S1


def test_statement_that_is_sent_again_is_relayed_again_under_its_id(edge: Collector) -> None:
    command = Received(statement(MARKETING, id="c1"), trusted=False)
    sent(edge, command, Received(statement(WITHDRAWN, id="c2"), trusted=False), command)
    assert [item.event["id"] for item in relayed(edge, 3)] == ["c1", "c2", "c1"]
    assert edge.status().repeated == 1
    (result,) = sent(edge, Received({**statement(MARKETING, id="c1"), "user": {"id": "u1"}}, False))
    assert isinstance(result, NotTrusted)


@pytest.mark.parametrize("id_", ["c1", None])
def test_sender_that_waits_is_answered_when_its_statement_has_been_relayed(
    edge: Collector, clock: Clock, id_: str | None
) -> None:
    Relay.fails.set()
    answers: list[Future[Any]] = [Future(), Future()]
    for answer in answers:  # the second is a repetition, if it has an id
        command = statement(MARKETING, id=id_)
        (first,) = sent(edge, Received(command, trusted=False, decided=answer))
        assert first.destinations == {"there": "accepted"}
    assert Relay.failed.wait(PATIENCE)
    assert not any(answer.done() for answer in answers)
    Relay.fails.clear()
    clock.advance(60_000)
    wake_workers(edge)
    for answer in answers:
        assert answer.result(PATIENCE).destinations == {"there": "delivered"}


def test_learned_consent_is_relayed_with_its_event_alone(spool: Path | None, clock: Clock) -> None:
    Relay.items.clear()
    Relay.fails.clear()
    heard: list[Any] = []
    listening = plugin(Record().push, consent=lambda update, *_: heard.append(update))
    plain = DestinationConfig()
    both = flow({"d": (Relay, plain), "e": (listening, plain)}, spool)
    with running(both, now=clock) as collector:
        event = {"name": "page view", "user": S1, "consent": MARKETING}
        sent(collector, Received(event, trusted=False, learn=True))
        assert collector.flush(PATIENCE)
    assert [item.event["name"] for item in Relay.items] == ["page view"]
    assert heard == [MARKETING]


def test_consent_cannot_be_required_where_events_are_relayed() -> None:
    registry = Registry()
    registry.register("relay", Relay)
    rules = {"order": {"complete": {"consent": MARKETING}, "view": [{"consent": MARKETING}, {}]}}
    config = {"consent": MARKETING, "mapping": rules}
    flow = {"destinations": {"d": {"package": "relay", "config": config}}}
    with pytest.raises(ConfigError) as raised:
        Collector.from_config(flow, registry=registry)
    assert [problem.path for problem in raised.value.problems] == [
        "destinations.d.config.consent",
        "destinations.d.config.mapping.order.complete.consent",
        "destinations.d.config.mapping.order.view[0].consent",
    ]
    assert "in the flow that reads them" in raised.value.problems[0].message


def test_a_plugin_relays_or_does_not() -> None:
    class Wrong(Relay):
        relays: ClassVar[Any] = "yes"

    with pytest.raises(PluginError, match="relays must be True or False"):
        Registry().register("wrong", Wrong)


@pytest.mark.parametrize(
    ("acknowledge", "spool", "warns"),
    [("accepted", None, True), ("delivered", None, False), ("accepted", {"path": "s.db"}, False)],
)
def test_flow_that_loses_what_it_has_acknowledged_is_warned_of(
    acknowledge: str, spool: dict[str, str] | None, warns: bool, tmp_path: Path
) -> None:
    registry = Registry().discover()
    registry.register("relay", Relay)
    settings = {"acknowledge": acknowledge}
    flow = {
        "collector": {"spool": spool and {"path": str(tmp_path / spool["path"])}},
        "sources": {"web": {"package": "http", "config": {"settings": settings}}},
        "destinations": {"out": {"package": "relay"}},
    }
    warnings = load_flow(flow, registry=registry, serve=True).warnings
    found = [line for line in warnings if "acknowledged while they are in memory" in line]
    assert len(found) == warns
    assert all(line.startswith("sources.web: ") and "before out has" in line for line in found)


@pytest.mark.parametrize(("spool", "warns"), [(None, True), ({"path": "s.db"}, False)])
def test_worker_that_reads_a_topic_without_a_spool_is_warned_of(
    spool: dict[str, str] | None, warns: bool, tmp_path: Path
) -> None:
    settings = {"brokers": "localhost:9092", "topics": ["events"], "group": "workers"}
    flow = {
        "collector": {"spool": spool and {"path": str(tmp_path / spool["path"])}},
        "sources": {"events": {"package": "kafka", "config": {"settings": settings}}},
        "destinations": {"out": {"package": "console"}},
    }
    found = [line for line in load_flow(flow, serve=True).warnings if "without a spool" in line]
    assert [line.partition(":")[0] for line in found] == ["sources.events"] * warns
