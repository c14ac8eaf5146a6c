"""Check the destinations of a flow: are address and credentials right, as `walker check` asks."""

import sys
import threading
import time
from collections.abc import Iterable
from contextlib import redirect_stdout
from typing import Any, Final, Literal

import attrs
from attrs import frozen

from walker_collector.config import FlowConfig
from walker_collector.delivery.destination import Destination, build_destinations
from walker_collector.error_details import definition_of, failure_of, reason_of
from walker_collector.errors import Untested, WalkerError
from walker_collector.hooks import implements
from walker_collector.text import storable, type_name
from walker_collector.tracebacks import log_traceback

WITHIN: Final = 30.0
"""Seconds in which a destination has to answer."""

CheckStatus = Literal["ok", "reachable", "wrong", "not checked"]


@frozen
class Checked:
    """The result of one destination: its status, and the problems or why it was not checked.

    "reachable": it answers, and its credentials could not be tested.
    """

    status: CheckStatus
    reasons: tuple[str, ...] = ()


class _Check(threading.Thread):
    """Checks one destination, on a thread of its own, as a plugin may hang."""

    def __init__(self, id: str, flow: FlowConfig, within: float) -> None:
        super().__init__(name=f"walker-check-{id}", daemon=True)
        self._flow = flow
        self.result = Checked("wrong", (f"no answer within {within:g} s",))

    def run(self) -> None:
        try:
            (destination,) = build_destinations(self._flow)
            self.result = _check(destination)
        except BaseException as error:  # of the plugin's code, which may raise anything
            self.result = Checked("wrong", (_reason(error),))


def check_destinations(flow: FlowConfig, within: float = WITHIN) -> dict[str, Checked]:
    """Return the result of each destination, by id; all are checked at the same time.

    `within`: seconds until those that have not answered count as wrong.
    """
    results: dict[str, Checked] = {}
    checks: dict[str, _Check] = {}
    for id, entry in flow.destinations.items():
        if entry.config.disabled:
            results[id] = Checked("not checked", ("it is disabled",))
        elif not implements(entry.plugin, "check"):
            results[id] = Checked("not checked", (f"{entry.package} cannot be checked",))
        else:
            checks[id] = _Check(id, attrs.evolve(flow, destinations={id: entry}), within)
    deadline = time.monotonic() + within
    with redirect_stdout(sys.stderr):  # plugins may print; stdout is ours
        for check in checks.values():
            check.start()
        for check in checks.values():
            check.join(max(0.0, deadline - time.monotonic()))
    results |= {id: check.result for id, check in checks.items()}
    return {id: results[id] for id in flow.destinations}


def _check(destination: Destination) -> Checked:
    try:
        found: Iterable[Any] | None = destination.hooks.check(context=destination.context)
    except Untested as error:
        return Checked("reachable", (reason_of(error),))
    if found is not None and not isinstance(found, Iterable):
        check = type(destination.instance).check
        return Checked(
            "wrong",
            (
                f"{check.__qualname__} ({definition_of(check)}) returned {type_name(found)}; return"
                " nothing, or a list of problems as text",
            ),
        )
    problems = [found] if isinstance(found, str) else list(found or ())
    return Checked("wrong" if problems else "ok", tuple(map(storable, problems)))


def _reason(error: BaseException) -> str:
    """Return the reason of one of the collector's errors; of any other its type and place."""
    if isinstance(error, WalkerError):
        return reason_of(error)
    log_traceback("check", error)
    return failure_of(error)
