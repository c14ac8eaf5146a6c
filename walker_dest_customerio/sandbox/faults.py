"""Faults on demand: what to do to which requests, decided without I/O.

A list of faults is consumed in order: each request meets the first one that applies to it. Latency
is the exception; it slows the request down and lets it go on to the next fault.
"""

import random
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

from attrs import asdict, define, field, fields, frozen

from walker_dest_customerio.sandbox.operations import JsonObject

Kind = Literal["latency", "status", "hang", "reset", "reset_body", "redirect", "garbage"]

KINDS: dict[str, str] = {
    "latency": "answer `ms` milliseconds later",
    "status": "answer `status` (503), with a Retry-After of `retry_after` seconds if given",
    "hang": "never answer; ends when the client leaves, or faults are cleared",
    "reset": "reset the connection before answering",
    "reset_body": "close the connection in the middle of the body",
    "redirect": "send to `location` with `status` (301), as a wrong region is answered",
    "garbage": "answer `status` (200) with `body`, which is no JSON",
}

_STATUS = {"status": 503, "redirect": 301, "garbage": 200, "reset_body": 200}


class FaultError(ValueError):
    """A fault that cannot be: unknown kind or key, or a value out of range."""


@frozen(kw_only=True)
class Fault:
    """One disturbance of the API.

    kind: one of `KINDS`.
    times: how many requests it hits; None until cleared.
    path: only requests whose path starts so; empty for all.
    every: only every n-th of the requests it could hit, the n-th first.
    probability, seed: hit by chance, 0 to 1, in a sequence fixed by the seed.
    apply: process the request first, so that only the answer is lost or replaced.
    ms: of latency, milliseconds. status, retry_after (s), body, location: of the answer.
    """

    kind: Kind
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
        """The status the client gets to see: as given, else that of the kind; None for none."""
        default = _STATUS.get(self.kind)
        return default if default is None else self.status or default


def _problem(fault: Fault) -> str | None:
    if fault.kind not in list(KINDS):  # it may be anything, also unhashable
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
    """Read a fault from JSON; raises FaultError and says what is wrong."""
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
class _Armed:
    """A fault at work: how often it may still hit, and how many requests it has seen."""

    fault: Fault
    remaining: int | None
    chance: random.Random
    seen: int = 0

    def hits(self, path: str) -> bool:
        """Count a request; tell whether it is one to hit, and use up one of the times if so."""
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
    """What one request suffers: a delay in milliseconds, then perhaps a fault."""

    delay_ms: float = 0.0
    fault: Fault | None = None


@define
class FaultQueue:
    """The faults in force, in order."""

    _armed: list[_Armed] = field(factory=list)

    def add(self, faults: Iterable[Fault]) -> None:
        """Append faults after those in force."""
        self._armed += [_Armed(fault, fault.times, random.Random(fault.seed)) for fault in faults]

    def clear(self) -> None:
        """Forget every fault."""
        self._armed.clear()

    def next_for(self, path: str) -> Disturbance:
        """Decide what happens to a request, and use up what it takes."""
        delay_ms = 0.0
        hit = None
        for armed in self._armed:
            if armed.hits(path):
                if armed.fault.kind != "latency":
                    hit = armed.fault
                    break
                delay_ms += armed.fault.ms
        self._armed = [armed for armed in self._armed if armed.remaining != 0]
        return Disturbance(delay_ms, hit)

    def snapshot(self) -> list[JsonObject]:
        """Each fault in force, with how often it may still hit (`remaining`)."""
        return [{**asdict(armed.fault), "remaining": armed.remaining} for armed in self._armed]
