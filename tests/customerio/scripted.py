"""A Customer.io whose answers are scripted, in the place of the network alone.

The SDK's clients, sessions and requests are the real ones; only the adapter, which would open a
socket, answers by itself. It notes what arrived, in order.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import orjson
import requests
from requests.adapters import HTTPAdapter

from walker_dest_customerio.clients import Clients

FAULTS = (
    "429",
    "503",
    "500",
    "500 applied",
    "400",
    "413",
    "401",
    "reset",
    "reset applied",
    "garbage",
    "garbage applied",
    "207 without index",
    "207 wrong index",
)
"""What a request may meet, once each time it stands in the script."""


class Scripted(HTTPAdapter):
    """Answers requests: the next fault of the script, or as well as the operations allow.

    An operation whose number stands in `poison` is refused: "item" by its index in a 207, "blind"
    in a 207 without an index, "whole" by a 400 and "server" by a 500 for all of its request.
    """

    def __init__(
        self, script: Sequence[str] = (), poison: Mapping[int, str] = MappingProxyType({})
    ):
        super().__init__()
        self.arrived: list[int] = []
        self.requests: list[list[int]] = []
        self._poison = poison
        self._left = iter(script)

    def into(self, clients: Clients) -> Clients:
        """Have the clients' requests answered here."""
        for client in (clients.track, clients.app):
            if client is not None:
                client.http.mount("https://", self)
        return clients

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """Answer a request, as a session asks its adapter to."""
        numbers = _numbers_in(request)
        self.requests.append(numbers)
        fault = next(self._left, "")
        if fault.startswith("207") and not str(request.url).endswith("/batch"):
            fault = ""
        if not fault or fault.endswith("applied") or fault.startswith("207"):
            self.arrived += self._accepted(numbers)
        if fault.startswith("reset"):
            raise requests.ConnectionError("reset")
        status, body = self._answer(fault, numbers)
        return _response(request, status, body)

    def _accepted(self, numbers: list[int]) -> list[int]:
        kinds = {self._poison.get(number) for number in numbers}
        if kinds & {"whole", "server"}:
            return []
        return [number for number in numbers if number not in self._poison]

    def _answer(self, fault: str, numbers: list[int]) -> tuple[int, Any]:
        if fault.startswith("garbage"):
            return 200, "<html>"
        if fault.startswith("207"):
            index = None if fault == "207 without index" else 99_999
            return 207, {"errors": [{"batch_index": index, "message": "some item"}]}
        if fault:
            return int(fault.split()[0]), {"meta": {"error": "as scripted"}}
        return self._judged(numbers)

    def _judged(self, numbers: list[int]) -> tuple[int, Any]:
        kinds = {number: self._poison[number] for number in numbers if number in self._poison}
        if "server" in kinds.values():
            return 500, {}
        if "whole" in kinds.values() or (kinds and len(numbers) == 1):
            return 400, {"meta": {"error": "poison"}}
        errors = [
            {"batch_index": at, "message": "poison"}
            if kinds[number] == "item"
            else {"message": "poison"}
            for at, number in enumerate(numbers)
            if number in kinds
        ]
        return (207, {"errors": errors}) if errors else (200, {})


def _numbers_in(request: requests.PreparedRequest) -> list[int]:
    """Return the numbers of the operations in a request, in order."""
    body = orjson.loads(request.body or b"{}")
    return [_number(item) for item in body.get("batch", [body])]


def _number(item: dict[str, Any]) -> int:
    """Return the number that the tests put somewhere into each operation."""
    if secondary := item.get("secondary"):
        return int(secondary["id"].lstrip("m"))
    device = item.get("device") or {}
    places = [
        item,
        device.get("attributes"),
        *map(item.get, ("attributes", "data", "message_data")),
    ]
    return next(int(place["n"]) for place in places if place and "n" in place)


def _response(request: requests.PreparedRequest, status: int, body: Any) -> requests.Response:
    response = requests.Response()
    response.status_code = status
    response._content = body.encode() if isinstance(body, str) else orjson.dumps(body)
    response.request = request
    response.url = request.url or ""
    return response
