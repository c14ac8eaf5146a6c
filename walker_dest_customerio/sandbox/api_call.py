"""An API call, as it is given to the endpoints."""

from collections.abc import Callable, Mapping
from typing import TypeAlias

import orjson
from attrs import frozen

from walker_dest_customerio.sandbox.checks import is_object
from walker_dest_customerio.sandbox.received import JsonObject
from walker_dest_customerio.sandbox.response import Response
from walker_dest_customerio.sandbox.workspace import Workspace


@frozen
class ApiCall:
    """A request after authentication: path parameters, body, time of receipt (unix s)."""

    workspace: Workspace
    params: Mapping[str, str]
    body: bytes
    now: float
    host: str = "127.0.0.1"
    region: str = "us"

    def content(self) -> JsonObject | None:
        """Return the body as a JSON object, or None if it is not one.

        NaN and Infinity are not JSON. The real service has answered 200 to NaN and stored nothing
        (https://github.com/customerio/customerio-python/issues/35); here it is malformed.
        """
        try:
            content = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return None
        return content if is_object(content) else None


Handler: TypeAlias = Callable[[ApiCall], Response]
