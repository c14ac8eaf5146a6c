"""How requests go wrong: faults, and scripts of them."""

import random
from collections.abc import Callable, Sequence
from typing import Literal

from attrs import define, field, frozen

from tests.emulator.requests import Operation


@frozen
class Answer:
    """A status in place of the request's effect."""

    status: int
    retry_after: str | None = None


@frozen
class Reset:
    """The connection is reset: before or after the request was read, or after it took effect."""

    when: Literal["unread", "read", "accepted"]


@frozen
class Garbage:
    """Something other than Customer.io answers; the request has no effect."""

    status: int = 200
    body: bytes = b"<html>It works!</html>"


@frozen
class Raw:
    """These bytes are the answer, whatever they are, and the last of the connection; no effect."""

    data: bytes


@frozen
class TooLarge:
    """413 for more operations than this; fewer are accepted."""

    items: int


@frozen
class Refuse:
    """207: an operation is refused for ever, the others are accepted; `indexed`: with its index."""

    indexed: bool = True


@frozen
class Slow:
    """The request is accepted, the answer comes after `seconds`."""

    seconds: float


Fault = Answer | Reset | Garbage | Raw | TooLarge | Refuse | Slow


@define
class Poison:
    """Operations that make their request go wrong, each time or the first few `times`.

    A Refuse concerns the operations themselves, any other fault the request.
    """

    matches: Callable[[Operation], bool]
    fault: Fault
    times: int | None = None
    met: int = field(default=0, init=False)

    def strike(self, operations: Sequence[Operation]) -> bool:
        """Tell whether it makes a request with these operations go wrong now, and count it."""
        if self.met == self.times or not any(map(self.matches, operations)):
            return False
        self.met += 1
        return True


PASSING: tuple[Fault, ...] = (
    Answer(429),
    Answer(429, retry_after="0"),
    Answer(500),
    Answer(503),
    Answer(502),
    Reset("unread"),
    Reset("read"),
    Reset("accepted"),
    Garbage(),
    Garbage(503),
    Garbage(207, b'{"errors": "what?"}'),
    Garbage(
        207, b'{"errors": [{"batch_index": true}, {"batch_index": -1}, {"batch_index": 9999}, 7]}'
    ),
    Garbage(207, b'{"errors": [{"message": "\\ud800"}]}'),
    Answer(418),
    Answer(999),
    Answer(429, retry_after="-1"),
    Answer(503, retry_after="\u0663"),
    Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{}"),
    Raw(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"),
    Raw(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"),
    Raw(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500),
    Raw(b"\xff\x00 no HTTP at all"),
    TooLarge(3),
    TooLarge(50),
    Slow(0.05),
)
"""Faults after which everything can still arrive."""


def outage(
    seed: int, requests: int = 26, share: float = 0.6, faults: Sequence[Fault] = PASSING
) -> list[Fault | None]:
    """Return a script in which a share of the first requests go wrong, decided by the seed."""
    chance = random.Random(seed)
    return [chance.choice(faults) if chance.random() < share else None for _ in range(requests)]
