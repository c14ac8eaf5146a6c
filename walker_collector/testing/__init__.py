"""A kit for plugin authors: tests that every plugin must pass, and tools for other tests.

    from walker_collector.testing import Backend, DestinationContract

    class TestMyDestination(DestinationContract):
        plugin = MyDestination

        @pytest.fixture
        def backend(self, service):
            return Backend(settings={"url": service.url}, received=lambda: service.ids)

`SourceContract` is the like for sources, with a fixture `sender` that returns a `Sender`. The two
contracts require pytest (extra `testing`), the other names do not. Where pytest is installed, it
has the fixtures `walker_event` and `walker_recorder`.
"""

from typing import TYPE_CHECKING

from walker_collector.lazy import names_of

if TYPE_CHECKING:
    from walker_collector.testing.kit import *
else:
    __getattr__, __dir__ = names_of(__name__, "walker_collector.testing.kit")
