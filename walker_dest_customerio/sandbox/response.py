"""Responses to clients: status and body, in Customer.io's three error shapes."""

from collections.abc import Iterable
from typing import NamedTuple

import orjson
from attrs import frozen

JSON_TYPE = "application/json; charset=utf-8"


class FieldError(NamedTuple):
    """One mistake in a v2 operation, with the keys of an error response."""

    reason: str
    field: str
    message: str


def invalid(field: str, message: str) -> FieldError:
    """Return the error of a wrong value."""
    return FieldError("invalid", field, message)


def missing(field: str) -> FieldError:
    """Return the error of a missing value."""
    return FieldError("required", field, f"{field} is required")


@frozen
class Response:
    """A response, with the number of `operations` in its request and of those `rejected`."""

    status: int
    body: bytes
    operations: int = 1
    rejected: int = 0


def as_json(content: object) -> bytes:
    """Encode a body; it ends with a line feed, as in recordings of the real service."""
    return orjson.dumps(content) + b"\n"


ACCEPTED = Response(200, as_json({}))


def one_error(status: int, message: str, operations: int = 1) -> Response:
    """Return `{"meta": {"error": ...}}`: for merges, the App API, and undocumented errors."""
    return Response(status, as_json({"meta": {"error": message}}), operations, operations)


def error_list(messages: Iterable[str]) -> Response:
    """Return `{"meta": {"errors": [...]}}` with 400: for identify, events and devices of v1."""
    return Response(400, as_json({"meta": {"errors": list(messages)}}), rejected=1)


def field_errors(status: int, problems: Iterable[FieldError]) -> Response:
    """Return `{"errors": [{"reason", "field", "message"}]}`: for a whole v2 request."""
    errors = [problem._asdict() for problem in problems]
    return Response(status, as_json({"errors": errors}), rejected=1)
