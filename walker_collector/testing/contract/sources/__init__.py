"""The contract of sources, as test classes to subclass."""

from walker_collector.testing.contract.sources.handing_on_contract import HandingOnContract
from walker_collector.testing.contract.sources.refusal_contract import RefusalContract
from walker_collector.testing.contract.sources.source_settings import SourceSettingsContract
from walker_collector.testing.contract.sources.stop_contract import StopContract


class SourceContract(SourceSettingsContract, HandingOnContract, RefusalContract, StopContract):
    """Tests that every source must pass; subclass it with a plugin and a sender.

    plugin: class of the source.
    package: name of the entry point, to have the installation tested as well.
    bad_settings: values that your validators must refuse, by key.
    grace: seconds within which the source ends after a stop.

    Define a fixture `sender` that returns a `Sender`. Override a test that cannot hold for your
    source, with the reason in its docstring.
    """
