"""Faults on demand: which request gets which fault, decided without I/O.

Faults are in a list: each request gets the first one that applies to it. Latency is the exception:
it delays the request and lets it go on to the next fault.
"""

import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from attrs import asdict, define, field, fields, frozen

from walker_dest_customerio.sandbox.received import JsonObject

FaultKind = Literal["latency", "status", "hang", "reset", "reset_body", "redirect", "garbage"]

KINDS: dict[str, str] = {
    "latency": "answer `ms` milliseconds later",
    "status": "answer `status` (503), with a Retry-After of `retry_after` seconds if given",
    "hang": "never answer; ends when the client leaves, or faults are cleared",
    "reset": "reset the connection before answering",
    "reset_body": "close the connection in the middle of the body",
    "redirect": "redirect to `location` with `status` (301), as in the wrong region",
    "garbage": "answer `status` (200) with `body`, which is not JSON",
}

_STATUS = {"status": 503, "redirect": 301, "garbage": 200, "reset_body": 200}


class FaultError(ValueError):
    """An invalid fault: an unknown kind or key, or a value out of range."""


@frozen(kw_only=True)
class Fault:
    """One fault of the API.

    kind: one of `KINDS`.
    times: number of requests it hits; None: until cleared.
    path: hits only requests with a path that starts with this; empty: all.
    every: hits only every n-th of the matching requests, the n-th first.
    probability, seed: hits by chance, 0 to 1, in a sequence fixed by the seed.
    apply: processes the request first, so that only the response is lost or replaced.
    ms: latency in milliseconds. status, retry_after (s), body, location: parts of the response.
    """

    kind: FaultKind
    times: int | None = 1
    path: str = ""
    every: int = 1
    probability: float = 1.0
    seed: int = 0
    apply: bool = False
    ms: float = 0.0
    status: int = 0
    retry_after: int | str | None = None
    body: str | None = None
    location: str | None = None

    def __attrs_post_init__(self) -> None:
        problem = _problem(self)
        if problem:
            raise FaultError(f"fault {self.kind!r}: {problem}")

    @property
    def answer_status(self) -> int | None:
        """The status that the client gets, as given or by default of the kind; None: no status."""
        default = _STATUS.get(self.kind)
        return default if default is None else self.status or default


def _problem(fault: Fault) -> str | None:
    if fault.kind not in list(KINDS):  # a list, as the kind from JSON may not be hashable
        return f"unknown kind; one of {', '.join(KINDS)}"
    for name, is_right in _RANGES.items():
        if not is_right(getattr(fault, name)):
            return f"{name} cannot be {getattr(fault, name)!r}"
    return None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_text_or_none(value: object) -> bool:
    return value is None or isinstance(value, str)


_RANGES: dict[str, Callable[[Any], bool]] = {
    "times": lambda value: value is None or (type(value) is int and value > 0),
    "path": lambda value: isinstance(value, str),
    "every": lambda value: type(value) is int and value > 0,
    "probability": lambda value: _is_number(value) and 0 <= value <= 1,
    "seed": lambda value: type(value) is int,
    "apply": lambda value: isinstance(value, bool),
    "ms": lambda value: _is_number(value) and value >= 0,
    "status": lambda value: type(value) is int and (value == 0 or 200 <= value <= 599),
    "retry_after": lambda value: _is_text_or_none(value) or (type(value) is int and value >= 0),
    "body": _is_text_or_none,
    "location": _is_text_or_none,
}


def fault_from(content: object) -> Fault:
    """Read a fault from JSON; raises FaultError."""
    if not isinstance(content, Mapping):
        raise FaultError("a fault must be an object with a kind")
    known = [attribute.name for attribute in fields(Fault)]
    unknown = [name for name in content if name not in known]
    if unknown:
        raise FaultError(f"unknown key {unknown[0]!r}; one of {', '.join(known)}")
    if "kind" not in content:
        raise FaultError(f"kind is missing; one of {', '.join(KINDS)}")
    return Fault(**content)


@define
class _ActiveFault:
    """A fault in force, with the hits that remain and the number of matching requests."""

    fault: Fault
    remaining: int | None
    chance: random.Random
    seen: int = 0

    def hits(self, path: str) -> bool:
        """Count a request; return whether the fault hits it, which uses up one of the times."""
        if not path.startswith(self.fault.path):
            return False
        self.seen += 1
        if self.seen % self.fault.every or self.chance.random() >= self.fault.probability:
            return False
        if self.remaining is not None:
            self.remaining -= 1
        return True


@frozen
class Disturbance:
    """The disturbance of one request: a delay in milliseconds, then perhaps a fault."""

    delay_ms: float = 0.0
    fault: Fault | None = None


@define
class FaultQueue:
    """The faults in force, in order."""

    _active: list[_ActiveFault] = field(factory=list)

    def add(self, faults: Iterable[Fault]) -> None:
        """Add faults after those in force."""
        self._active += [
            _ActiveFault(fault, fault.times, random.Random(fault.seed)) for fault in faults
        ]

    def clear(self) -> None:
        """Remove all faults."""
        self._active.clear()

    def next_for(self, path: str) -> Disturbance:
        """Return the disturbance of a request, and use up the faults in it."""
        delay_ms = 0.0
        hit = None
        for active in self._active:
            if active.hits(path):
                if active.fault.kind != "latency":
                    hit = active.fault
                    break
                delay_ms += active.fault.ms
        self._active = [active for active in self._active if active.remaining != 0]
        return Disturbance(delay_ms, hit)

    def snapshot(self) -> list[JsonObject]:
        """Return each fault in force, with the number of hits that remain (`remaining`)."""
        return [{**asdict(active.fault), "remaining": active.remaining} for active in self._active]
