"""For plugin authors: a contract to test a destination against, and what such tests are made of.

    from walker_collector.testing import Backend, DestinationContract

    class TestMyDestination(DestinationContract):
        plugin = MyDestination

        @pytest.fixture
        def backend(self, service):
            return Backend(settings={"url": service.url}, received=lambda: service.ids)

Needs pytest, which the extra `testing` brings. pytest then knows the fixtures `walker_event` and
`walker_recorder`.
"""

from walker_collector.testing.backend import Backend
from walker_collector.testing.contract import DestinationContract
from walker_collector.testing.events import Events
from walker_collector.testing.harness import Harness, registry_of
from walker_collector.testing.recorder import Delivery, Recorder

__all__ = [
    "Backend",
    "Delivery",
    "DestinationContract",
    "Events",
    "Harness",
    "Recorder",
    "registry_of",
]
