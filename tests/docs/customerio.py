"""What the Customer.io destination makes of an event under a rule, without a network."""

import json
from typing import Any

import orjson
from customerio import APIClient, CustomerIO
from requests import Response

from walker_collector.delivery.destination import build_destinations
from walker_collector.events import Bounds, decode, encode
from walker_collector.flow import load_flow
from walker_collector.hookspecs import PushContext
from walker_dest_customerio.identify_cache import IdentifyCache, WorkspaceCaches
from walker_dest_customerio.operations import Operation
from walker_dest_customerio.plan import plan

Json = Any
Request = tuple[str, str, Json]

SETTINGS = {"siteId": "site", "apiKey": "key", "appApiKey": "app"}


class Recording:
    """A client of the SDK, with requests noted instead of sent."""

    made: list[Request]

    def send_request(self, method: str, url: str, data: Json) -> Response:
        self.made.append((method, url.removeprefix("https://host"), json.loads(json.dumps(data))))
        answer = Response()
        answer._content = b"{}"  # no public way to give an answer its body
        return answer


class TrackApi(Recording, CustomerIO):  # type: ignore[misc]  # the SDK ships no types
    def __init__(self, made: list[Request]) -> None:
        super().__init__("site", "key", host="host")
        self.made = made


class AppApi(Recording, APIClient):  # type: ignore[misc]  # the SDK ships no types
    def __init__(self, made: list[Request]) -> None:
        super().__init__("key", url="https://host")
        self.made = made


def operations(event: Json, config: Json) -> list[Operation]:
    """Return what an event asks of Customer.io; `config` is a destination's, with one rule for it.

    A config with `rule` has that for every event; its `settings` are added to credentials.
    """
    config = dict(config)
    if "rule" in config:
        config["mapping"] = {"*": {"*": config.pop("rule")}}
    config["settings"] = {**SETTINGS, **config.get("settings", {})}
    flow = load_flow({"destinations": {"customerio": {"package": "customerio", "config": config}}})
    destination = build_destinations(flow)[0]
    event = decode(encode(event, Bounds()))
    context = PushContext(destination.context, event, event.get("consent") or {})
    mapped = destination.mapper(event, context)
    context.event = mapped.event
    made = plan(
        mapped.event, mapped.data, mapped.rule, context, IdentifyCache(10, 60, WorkspaceCaches())
    )
    return list(made.operations)


def requests(event: Json, config: Json) -> list[Request]:
    """Return the requests of `"delivery": "single"`."""
    made: list[Request] = []
    clients = {"track": TrackApi(made), "app": AppApi(made)}
    for operation in operations(event, config):
        operation.send(clients[operation.api])
    return made


def entries(event: Json, config: Json) -> list[Json]:
    """Return what the event has in the list of a batch."""
    made = (operation.entry() for operation in operations(event, config))
    # By way of JSON: parts of an entry may be encoded already.
    return [orjson.loads(orjson.dumps(entry)) for entry in made if entry is not None]


def parse_requests(text: str) -> list[Request]:
    """Read requests as the pages show them: method and path, and the body below."""
    made = []
    for part in text.strip().split("\n\n"):
        head, _, body = part.partition("\n")
        method, path = head.split(" ")
        made.append((method, path, json.loads(body or "{}")))
    return made
