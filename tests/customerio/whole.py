"""Events through a whole flow: to the sandbox, and through a simulation."""

from typing import Any

from tests.customerio.support import CREDENTIALS, NOON
from walker_collector import Collector, Event
from walker_collector.flow import load_flow
from walker_collector.hookspecs import Received
from walker_collector.simulation import Simulated, Simulation
from walker_collector.spool import DeadLetter
from walker_dest_customerio.sandbox import Sandbox

Json = dict[str, Any]

PATIENCE = 30.0


def flow_of(settings: Json, rule: Json | None = None, **config: Any) -> Json:
    """Return a flow with one destination, and one rule for all events."""
    if rule is not None:
        config["mapping"] = {"*": {"*": rule}}
    entry = {"package": "customerio", "config": {**config, "settings": settings}}
    return {"destinations": {"customerio": entry}}


def delivered(
    customerio: Sandbox, *events: Json, rule: Json | None = None, **settings: Any
) -> list[DeadLetter]:
    """Deliver events to the sandbox; return what became dead letters."""
    given = {**customerio.settings(), "rateLimit": 100_000, **settings}
    with Collector.from_config(flow_of(given, rule)) as collector:
        for event in events:
            collector.push(event)
        assert collector.flush(PATIENCE)
        return collector.dead()


def simulated(
    *events: Event | Received, rule: Json | None = None, **settings: Any
) -> list[Simulated]:
    """Return what the events would do."""
    flow = load_flow(flow_of({**CREDENTIALS, **settings}, rule))
    simulation = Simulation(flow, now=lambda: NOON, new_id=lambda: "e1")
    return [result for event in events for result in simulation.push(event)]
