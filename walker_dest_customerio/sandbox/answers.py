"""What goes back to a client: status and body, in Customer.io's three error shapes."""

from collections.abc import Iterable
from typing import NamedTuple

import orjson
from attrs import frozen

JSON_TYPE = "application/json; charset=utf-8"


class Problem(NamedTuple):
    """One mistake in a v2 operation, as its error answers spell it."""

    reason: str
    field: str
    message: str


def invalid(field: str, message: str) -> Problem:
    """A value that is there and wrong."""
    return Problem("invalid", field, message)


def missing(field: str) -> Problem:
    """A value that must be there."""
    return Problem("required", field, f"{field} is required")


@frozen
class Answer:
    """A response before it is sent; of the request's `operations`, so many were `rejected`."""

    status: int
    body: bytes
    operations: int = 1
    rejected: int = 0


def as_json(content: object) -> bytes:
    """Encode a body; the line end is there in recordings of the real service."""
    return orjson.dumps(content) + b"\n"


ACCEPTED = Answer(200, as_json({}))


def one_error(status: int, message: str, operations: int = 1) -> Answer:
    """`{"meta": {"error": ...}}`: merges, App API, and where nothing is documented."""
    return Answer(status, as_json({"meta": {"error": message}}), operations, operations)


def error_list(messages: Iterable[str]) -> Answer:
    """`{"meta": {"errors": [...]}}` with 400: identify, events and devices of v1."""
    return Answer(400, as_json({"meta": {"errors": list(messages)}}), rejected=1)


def problem_list(status: int, problems: Iterable[Problem]) -> Answer:
    """`{"errors": [{"reason", "field", "message"}]}`: a whole v2 request."""
    errors = [problem._asdict() for problem in problems]
    return Answer(status, as_json({"errors": errors}), rejected=1)
