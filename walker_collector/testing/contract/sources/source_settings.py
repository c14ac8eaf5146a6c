"""The settings of a source: the same requirements as for those of a destination."""

import pytest

from walker_collector.plugins import SOURCES, Registry
from walker_collector.testing.contract.settings_contract import Loading, PluginSettingsContract
from walker_collector.testing.contract.sources.source_base import SourceBase
from walker_collector.testing.sender import Sender
from walker_collector.testing.source_harness import SourceHarness
from walker_collector.verification import verify_source


class SourceSettingsContract(PluginSettingsContract, SourceBase):
    """The settings of a source."""

    @pytest.fixture
    def loading(self, sender: Sender) -> Loading:
        """The ways in which the source is loaded."""
        return Loading(
            settings=sender.settings,
            place="sources.source.config.settings",
            load=lambda settings: SourceHarness(self.plugin, settings, config=sender.config),
            verify=verify_source,
            find=lambda package: Registry().discover().find_source(package),
            group=SOURCES,
        )
