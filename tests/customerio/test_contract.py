"""The destination keeps the contract of all destinations, in both ways of delivery."""

from typing import Any, ClassVar, Literal

import pytest

from tests.customerio.test_plan import GUARDED
from walker_collector.testing import Backend, DestinationContract
from walker_dest_customerio.destination import CustomerioDestination
from walker_dest_customerio.sandbox import Sandbox


class Contract(DestinationContract):
    plugin = CustomerioDestination
    bad_settings: ClassVar = {"region": "asia", "trackUrl": "http://proxy", "timeout": 0}
    delivery: ClassVar[Literal["batch", "single"]]

    @pytest.fixture
    def backend(self, customerio: Sandbox) -> Backend:
        def content(event_id: str) -> Any:
            (found,) = [event for event in customerio.events if event["data"]["id"] == event_id]
            data = {key: value for key, value in found["data"].items() if key != "id"}
            return {**{key: found[key] for key in ("person", "type", "name")}, "data": data}

        def answer(status: int) -> None:
            customerio.fault("status", status=status, times=None)

        def break_connections() -> None:
            customerio.fault("reset", times=None)

        return Backend(
            settings={
                **customerio.settings(),
                "delivery": self.delivery,
                "rateLimit": 100_000,
                "identify": {"map": {"email": "user.email"}},
            },
            config={"data": {"map": {"id": "id", "total": "data.total"}}},
            received=lambda: [event["data"]["id"] for event in customerio.events],
            content=content,
            reject={"user": {"id": "x" * 151}},
            retry=lambda: answer(503),
            down=lambda: answer(401),
            unreachable=break_connections,
            recover=customerio.clear_faults,
            guarded=GUARDED,
        )


class TestBatch(Contract):
    delivery = "batch"


class TestSingle(Contract):
    delivery = "single"


del Contract, DestinationContract  # not to be collected as tests themselves
