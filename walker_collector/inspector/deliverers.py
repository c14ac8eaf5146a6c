"""The deliverer of a destination, and its health, as a command sees them from outside."""

from collections.abc import Iterable, Iterator
from typing import Any, Literal

from attrs import frozen

from walker_collector.config import FlowConfig
from walker_collector.moments import moment
from walker_collector.spool import Deliverer, DestinationHealth, Member, Observer
from walker_collector.spool.deliverer import TROUBLED
from walker_collector.text import storable


@frozen
class Attendance:
    """The deliverer of a destination, or the lack of one.

    state: "unattended": no process does. "stopped": the one that has to gives no sign of life.
    "down", "failing": nothing goes out now. "ready", "idle": it goes, or nothing was tried yet.
    health: as that process tells; of an unattended destination, as the last one told.
    """

    destination: str
    state: Literal["unattended", "stopped", "down", "failing", "ready", "idle"]
    member: Member | None
    health: DestinationHealth | None
    hint: str = ""

    @property
    def is_in_trouble(self) -> bool:
        """Whether events wait for the destination rather than for something of their own."""
        return self.state not in ("ready", "idle")

    def lines(self, known: str = "") -> Iterator[str]:
        """Yield the trouble of the destination, its deliverer, and the way out.

        `known`: the last failure of the event, which need not be told again.
        """
        if self.health is not None and self.health.reason:
            yield from self._cause(self.health, known)
        if self.state == "unattended":
            yield "no process delivers to it now"
        elif self.state == "stopped":
            yield f"{self.member} has to deliver, and gives no sign of life"
        else:
            yield f"{self.member} delivers to it"
        if self.hint:
            yield self.hint

    def _cause(self, health: DestinationHealth, known: str) -> Iterator[str]:
        since = moment(health.since)
        if health.state not in TROUBLED:
            if health.reason != known:
                yield f"events for {self.destination} have failed since {since}: {health.reason}"
        elif self.state == health.state:
            yield f"{self.destination} is {health.state} since {since}: {health.reason}"
            if health.until:
                yield f"its next attempt is at {moment(health.until)}"
        else:
            yield f"{self.destination} was {health.state} since {since}: {health.reason}"

    def as_object(self) -> dict[str, Any]:
        """Return it for --json; times in ms since 1970."""
        health, member = self.health, self.member
        process = None
        if member is not None:
            since = round(member.since * 1000)
            process = {"pid": member.pid, "host": storable(member.host), "since": since}
        return {
            "state": self.state,
            "reason": health.reason if health else "",
            "since": health.since if health and health.since else None,
            "until": health.until if health and health.until else None,
            "process": process,
            "hint": self.hint,
        }


def unattended(observer: Observer, destinations: Iterable[str]) -> set[str]:
    """Return those of the destinations that no process delivers to."""
    found = {id_: observer.deliverers(id_).values() for id_ in destinations}
    return {id_ for id_, each in found.items() if all(item.member is None for item in each)}


def attendance(found: Deliverer, destination: str, flow: FlowConfig | None) -> Attendance:
    """Return how a destination is attended to by a deliverer; `flow`: that of the command."""
    member, health = found.member, found.health
    if member is None:
        hint = _how_to_start(destination, flow)
        if health is not None and health.state == "down":
            hint = f"mend the cause, then {hint}"
        return Attendance(destination, "unattended", None, health, hint)
    if member.silent:
        hint = f"process {member.pid} is stopped, or its machine is: let it go on, or end it"
        return Attendance(destination, "stopped", member, health, hint)
    if health is not None and health.state == "down":
        hint = "mend the cause; a process reads its flow and its secrets at its start"
        return Attendance(destination, "down", member, health, hint)
    if health is not None and health.state == "failing":
        return Attendance(destination, "failing", member, health)
    state: Literal["ready", "idle"] = "ready" if health and health.state == "ready" else "idle"
    return Attendance(destination, state, member, health)


def _how_to_start(destination: str, flow: FlowConfig | None) -> str:
    if flow is None:
        return "start a collector whose flow has it, or `walker deliver FLOW`"
    entry = flow.destinations.get(destination)
    if entry is None:
        return (
            "the flow has no such destination: add it again, or drop its events with "
            f"`walker spool drop {flow.source} {destination}`"
        )
    if entry.config.disabled:
        return "it is disabled in the flow: enable it, or drop its events with `walker spool drop`"
    return f"start a collector with the flow, or `walker deliver {flow.source}`"
