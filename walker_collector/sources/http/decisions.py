"""Answers under `acknowledge: "delivered"`: the decisions of destinations, as outcomes."""

from collections.abc import Mapping

from walker_collector.results import PushResult
from walker_collector.sources.http.call import Outcome
from walker_collector.sources.http.messages import RETRY_AFTER, RequestRejected


def outcome_of_decisions(result: PushResult, *, durable: bool) -> Outcome:
    """Return the outcome of an event that destinations have decided on, or have not in time.

    Reasons are left out: they may tell of destinations what is no sender's business. `durable`:
    held events survive the end of the process.
    """
    statuses = result.destinations
    if refusing := _at("failed", statuses):
        return _refused(502, f"refused by {refusing}; it is kept as a dead letter")
    if _at("closed", statuses):
        return _refused(503, "the server closed before delivery")
    if not durable and (holding := _at("held", statuses)):
        return _refused(503, f"held for {holding} until consent is granted, and in memory alone")
    if _at("accepted", statuses):
        return _refused(504, "not delivered in time; it stays accepted under its id")
    return Outcome(result.id)


def _at(status: str, statuses: Mapping[str, str]) -> str:
    """Return the destinations where an event has a status, as text."""
    return ", ".join(sorted(id_ for id_, found in statuses.items() if found == status))


def _refused(status: int, message: str) -> Outcome:
    return Outcome(refused=RequestRejected(status, message, RETRY_AFTER if status > 502 else None))
